"""What the detectors of some topics know in the end: counts, open source gaps, and how far each topic is complete."""

from detector import text

COUNTS = ["read", "missing", "duplicates", "reordered", "older"]


def after(detectors):
    detectors = sorted(detectors.items())
    tracks = [
        {"lane": lane(topic, *key), "tally": track.tally}
        for topic, detector in detectors
        for key, track in sorted(detector.tracks.items())
    ]
    gaps = {(stream, gap_id) for _, detector in detectors for _, stream, gap_id in detector.gaps}
    return {
        "total": {count: sum(track["tally"][count] for track in tracks) for count in COUNTS},
        "tracks": tracks,
        "unnumbered": sum(detector.unnumbered for _, detector in detectors),
        "open_gaps": [{"stream": stream, "gap_id": gap_id} for stream, gap_id in sorted(gaps)],
        "complete_up_to": {topic: maybe(detector.complete_up_to()) for topic, detector in detectors},
        "behind": [entry for topic, detector in detectors for entry in behind(topic, detector)],
    }


def behind(topic, detector):
    """Lanes that lack watermarks which other lanes of the same shard have: their tails may be lost."""
    for shard, lanes in sorted(detector.lanes.items()):
        tracks = [detector.tracks.get((number, shard)) for number in range(lanes)]
        latest = [track.watermark[0] if track and track.watermark else None for track in tracks]
        others = max((time for time in latest if time is not None), default=None)
        for number, time in enumerate(latest):
            if others is not None and (time is None or time < others):
                yield {"key": lane(topic, number, shard), "watermark": maybe(time), "others": text(others)}


def lane(topic, number, shard):
    return {"topic": topic, "lane": number, "shard": shard}


def maybe(time):
    return None if time is None else text(time)
