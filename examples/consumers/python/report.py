"""What a detector knows in the end: counts, open source gaps, and how far each topic is complete."""

from detector import COUNTS, text


def after(detector, topics):
    tallies = {key: track.tally() for key, track in sorted(detector.tracks.items())}
    total = {count: sum(tally[count] for tally in tallies.values()) for count in COUNTS}
    return {
        "total": total,
        "tracks": [{**name(key), "tally": tally} for key, tally in tallies.items()],
        "unnumbered": detector.unnumbered,
        "open_gaps": [
            {"stream": stream, "gap_id": gap_id}
            for stream, gap_id in sorted({(stream, gap_id) for _, _, stream, gap_id in detector.gaps})
        ],
        "complete_up_to": {topic: maybe(complete_up_to(detector, topic)) for topic in sorted(topics)},
        "behind": [entry for topic in sorted(topics) for entry in behind(detector, topic)],
    }


def complete_up_to(detector, topic):
    """The time up to which all shards and lanes are complete; none if one of them lacks a watermark."""
    shards = shards_of(detector, topic)
    if not shards or len(shards) < detector.shards.get(topic, 0):
        return None
    times = [track and track.complete for lanes in shards.values() for track in lanes.values()]
    times += [since for (of, *_), since in detector.gaps.items() if of == topic]
    return None if None in times else min(times)


def behind(detector, topic):
    """Lanes that lack watermarks which other lanes of the same shard have: their tails may be lost."""
    for shard, lanes in sorted(shards_of(detector, topic).items()):
        latest = {lane: track and track.latest() for lane, track in lanes.items()}
        others = max((time for time in latest.values() if time is not None), default=None)
        for lane, time in sorted(latest.items()):
            if others is not None and (time is None or time < others):
                key = {"topic": topic, "lane": lane, "shard": shard}
                yield {"key": key, "watermark": maybe(time), "others": text(others)}


def shards_of(detector, topic):
    """For each shard that was seen, the track of each of its lanes; none for a lane that was never seen."""
    seen = {}
    for key, track in detector.tracks.items() if detector.by_lane else ():
        if key[0] == topic:
            seen.setdefault(key[2], {})[key[1]] = track
    return {
        shard: {lane: lanes.get(lane) for lane in range(max(max(lanes) + 1, detector.lanes.get((topic, shard), 0)))}
        for shard, lanes in seen.items()
    }


def name(key):
    return {"stream": key} if isinstance(key, str) else {"lane": dict(zip(("topic", "lane", "shard"), key))}


def maybe(time):
    return None if time is None else text(time)
