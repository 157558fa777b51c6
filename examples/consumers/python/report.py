"""What a detector knows in the end: counts, open source gaps, and how far each topic is complete."""

from detector import text


def after(detector, topics):
    tallies = {key: track.tally() for key, track in sorted(detector.tracks.items())}
    counts = ["read", "missing", "duplicates", "reordered", "older"]
    return {
        "total": {count: sum(tally[count] for tally in tallies.values()) for count in counts},
        "tracks": [{"lane": lane(*key), "tally": tally} for key, tally in tallies.items()],
        "unnumbered": detector.unnumbered,
        "open_gaps": [
            {"stream": stream, "gap_id": gap_id}
            for stream, gap_id in sorted({(stream, gap_id) for _, _, stream, gap_id in detector.gaps})
        ],
        "complete_up_to": {topic: maybe(detector.complete_up_to(topic)) for topic in sorted(topics)},
        "behind": [entry for topic in sorted(topics) for entry in behind(detector, topic)],
    }


def behind(detector, topic):
    """Lanes that lack watermarks which other lanes of the same shard have: their tails may be lost."""
    for (of, shard), lanes in sorted(detector.lanes.items()):
        tracks = [detector.tracks.get((topic, number, shard)) for number in range(lanes) if of == topic]
        latest = [max(watermarks(track), default=None) for track in tracks]
        others = max((time for time in latest if time is not None), default=None)
        for number, time in enumerate(latest):
            if others is not None and (time is None or time < others):
                yield {"key": lane(topic, number, shard), "watermark": maybe(time), "others": text(others)}


def watermarks(track):
    """The times that hold, and that don't yet."""
    times = [track.complete, track.pending and track.pending[1]] if track else []
    return [time for time in times if time is not None]


def lane(topic, number, shard):
    return {"topic": topic, "lane": number, "shard": shard}


def maybe(time):
    return None if time is None else text(time)
