"""Knows from the records alone what is missing, double, late, and complete up to when.

A port of the bridge's own detector; `proto/conformance/README.md` explains the algorithm.
"""

from bisect import bisect_right, insort

from google.protobuf.timestamp_pb2 import Timestamp

NO_SEQUENCE = 2**64 - 1
BEGINNING = (1, 1)
COUNTED_AS = {"duplicate": "duplicates", "reordered": "reordered", "older": "older"}


class Track:
    """A shard in a lane of a topic: all from `floor` (epoch, sequence) to the ends was seen, but for the holes."""

    def __init__(self, floor):
        self.floor = floor
        self.ends = {}  # the last sequence known of each epoch
        self.holes = []  # (epoch, first, last), ascending
        self.counts = dict.fromkeys(["read", "duplicates", "reordered", "older"], 0)
        self.complete = None  # the time of the latest watermark that holds
        self.pending = None  # (epoch, sequence), time of the latest one that doesn't yet

    def place(self, epoch, sequence):
        """Where the next record stands, and how many are missing before it."""
        continuity, missing = self.find(epoch, sequence)
        self.counts["read"] += 1
        if continuity in COUNTED_AS:
            self.counts[COUNTED_AS[continuity]] += 1
        return continuity, missing

    def find(self, epoch, sequence):
        if (epoch, sequence) < self.floor:
            return "older", 0
        if sequence > self.end(epoch):
            missing = self.expect(epoch, sequence - 1)
            self.ends[epoch] = sequence
            return ("missing" if missing else "in_order"), missing
        at = bisect_right(self.holes, (epoch, sequence, NO_SEQUENCE)) - 1
        if at < 0 or self.holes[at][0] < epoch or self.holes[at][2] < sequence:
            return "duplicate", 0
        _, first, last = self.holes[at]
        rest = (epoch, first, sequence - 1), (epoch, sequence + 1, last)
        self.holes[at : at + 1] = [hole for hole in rest if hole[1] <= hole[2]]
        return "reordered", 0

    def expect(self, epoch, last):
        """The epoch reaches to `last`: how many of it are missing that weren't known to be."""
        end = self.end(epoch)
        if (epoch, last) < self.floor or last <= end:
            return 0
        insort(self.holes, (epoch, end + 1, last))
        self.ends[epoch] = last
        return last - end

    def end(self, epoch):
        return self.ends.get(epoch, self.floor[1] - 1 if epoch == self.floor[0] else 0)

    def advance(self):
        """The time up to which the track has become complete, if it has."""
        if self.pending is None or (self.holes and self.holes[0][:2] < self.pending[0]):
            return None
        time, self.pending = self.pending[1], None
        if self.complete is not None and self.complete >= time:
            return None
        self.complete = time
        return time

    def tally(self):
        return {**self.counts, "missing": sum(last - first + 1 for _, first, last in self.holes)}


class Detector:
    """Follows the lanes of topics. Times are nanoseconds."""

    def __init__(self, from_beginning=True):
        self.from_beginning = from_beginning
        self.tracks = {}  # by (topic, lane, shard)
        self.shards = {}  # by topic: (epoch, how many), of the latest epoch
        self.lanes = {}  # by (topic, shard): to how many it writes
        self.began = {}  # by (topic, shard): its lanes from this one on began while we were there
        self.gaps, self.healed = {}, set()  # by (topic, lane, stream, gap id); nothing before the time is lost
        self.unnumbered = 0

    def observe(self, topic, record):
        """The verdict on the next record of a lane of the topic."""
        at, kind = record.position, record.WhichOneof("body")
        body = getattr(record, kind) if kind else None
        if at.epoch == 0 or at.lane_sequence in (0, NO_SEQUENCE):
            self.unnumbered += 1
            return {"continuity": "unnumbered"}
        self.note_size(topic, at, kind, body)
        track = self.track(topic, at)
        newest = max(track.ends, default=at.epoch)
        continuity, missing = track.place(at.epoch, at.lane_sequence)
        verdict = {"continuity": continuity}
        if missing:
            verdict["missing"] = missing
        if continuity not in ("duplicate", "older"):  # what those say was news once
            news = self.news(topic, track, at, kind, body, newest)
            if news:
                verdict["news"] = news
        return verdict

    def note_size(self, topic, at, kind, body):
        shard = topic, at.shard
        if kind == "watermark":
            self.shards[topic] = max(self.shards.get(topic, (0, 0)), (at.epoch, body.shards))
            self.lanes[shard] = max(self.lanes.get(shard, 0), body.lanes)
        elif kind == "lanes_changed":
            self.began[shard] = min(self.began.get(shard, body.previous_count), body.previous_count)

    def track(self, topic, at):
        key = topic, at.lane, at.shard
        if key not in self.tracks:
            born = at.lane >= self.began.get((topic, at.shard), at.lane + 1)
            whole = self.from_beginning or born
            self.tracks[key] = Track(BEGINNING if whole else (at.epoch, at.lane_sequence))
        return self.tracks[key]

    def news(self, topic, track, at, kind, body, newest):
        ended = 0
        if kind == "epoch_start":
            ended = track.expect(body.previous_epoch, body.previous_lane_sequence)
        elif kind == "watermark":
            time = body.complete_up_to.ToNanoseconds()
            if track.pending is None or track.pending[1] < time:
                track.pending = (at.epoch, at.lane_sequence), time
        completed = track.advance()
        if kind == "epoch_start":
            return {"kind": "epoch_changed", "previous_epoch": body.previous_epoch, "missing": ended}
        if kind == "lanes_changed":
            return {"kind": kind, "previous_count": body.previous_count, "count": body.count}
        if kind in ("source_gap", "source_gap_healed"):
            return self.note_gap((topic, at.lane, at.stream, body.gap_id), kind, body)
        if newest < at.epoch:
            return {"kind": "epoch_changed", "previous_epoch": newest, "missing": 0}
        return None if completed is None else {"kind": "complete_up_to", "time": text(completed)}

    def note_gap(self, key, kind, body):
        if kind == "source_gap_healed":
            self.gaps.pop(key, None)
            self.healed.add(key)  # the gap's own record may come late
            return {"kind": kind, "gap_id": body.gap_id}
        if key not in self.healed:
            self.gaps[key] = body.last_complete_poll_at.ToNanoseconds()
        return {"kind": "source_gap_opened", "gap_id": body.gap_id}

    def complete_up_to(self, topic):
        """The time up to which all lanes of all shards are complete; none if one of them lacks a watermark."""
        _, shards = self.shards.get(topic, (0, 0))
        lanes = ((shard, lane) for shard in range(shards) for lane in range(self.lanes.get((topic, shard), 1)))
        tracks = [self.tracks.get((topic, lane, shard)) for shard, lane in lanes]
        # A shard that has ended holds nothing back, unless some of it is missing.
        tracks += [track for key, track in self.tracks.items() if key[0] == topic and key[2] >= shards and track.holes]
        times = [track and track.complete for track in tracks]
        times += [since for key, since in self.gaps.items() if key[0] == topic]
        return None if None in times else min(times, default=None)


def text(time):
    """RFC 3339."""
    timestamp = Timestamp()
    timestamp.FromNanoseconds(time)
    return timestamp.ToJsonString()
