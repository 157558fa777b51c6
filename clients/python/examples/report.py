"""What the detectors of some topics know at the end, as JSON: the `after` of the conformance vectors."""

from dataclasses import asdict

from asana_event_bridge import rfc3339

COUNTS = ["read", "missing", "duplicates", "reordered", "older"]


def of_verdict(verdict):
    said = {"continuity": verdict.continuity.value}
    if verdict.missing:
        said["missing"] = verdict.missing
    if verdict.news:
        said["news"] = {key: value for key, value in asdict(verdict.news).items() if value is not None}
    return said


def after(detectors):
    detectors = sorted(detectors.items())
    tracks = [
        {"lane": lane(topic, *place), "tally": asdict(tally)}
        for topic, detector in detectors
        for place, tally in detector.tallies().items()
    ]
    gaps = {gap for _, detector in detectors for gap in detector.open_gaps()}
    return {
        "total": {count: sum(track["tally"][count] for track in tracks) for count in COUNTS},
        "tracks": tracks,
        "unnumbered": sum(detector.unnumbered for _, detector in detectors),
        "open_gaps": [{"stream": stream, "gap_id": gap_id} for stream, gap_id in sorted(gaps)],
        "complete_up_to": {topic: time(detector.complete_up_to()) for topic, detector in detectors},
        "behind": [
            {"key": lane(topic, it.lane, it.shard), "watermark": time(it.watermark), "others": time(it.others)}
            for topic, detector in detectors
            for it in detector.behind()
        ],
    }


def lane(topic, lane, shard):
    return {"topic": topic, "lane": lane, "shard": shard}


def time(nanoseconds):
    return None if nanoseconds is None else rfc3339(nanoseconds)
