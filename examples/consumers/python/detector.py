"""Knows from the records alone what is missing, double, late, and complete up to when.

A port of the bridge's own detector; `proto/conformance/README.md` explains the algorithm.
"""

from bisect import bisect_right

from google.protobuf.timestamp_pb2 import Timestamp

EPOCHS_REMEMBERED = 4
NO_SEQUENCE = 2**64 - 1
COUNTS = ["read", "missing", "duplicates", "reordered", "older"]
COUNTED_AS = {"duplicate": "duplicates", "reordered": "reordered", "older": "older"}


class Counter:
    """The sequences of one epoch: all from `floor` on and below `next` were seen, but for the holes."""

    def __init__(self, first):
        self.floor = self.next = first
        self.holes = []  # (first, last), ascending

    def place(self, sequence):
        if sequence >= self.next:
            missing = self.expect(sequence - 1)
            self.next = sequence + 1
            return ("missing", missing) if missing else ("in_order", 0)
        if sequence < self.floor:
            return "older", 0
        at = bisect_right(self.holes, (sequence, NO_SEQUENCE)) - 1
        if at < 0 or self.holes[at][1] < sequence:
            return "duplicate", 0
        first, last = self.holes[at]
        rest = (first, sequence - 1), (sequence + 1, last)
        self.holes[at : at + 1] = [hole for hole in rest if hole[0] <= hole[1]]
        return "reordered", 0

    def expect(self, last):
        missing = max(last + 1 - self.next, 0)
        if missing:
            self.holes.append((self.next, last))
            self.next = last + 1
        return missing

    def width(self):
        return sum(last - first + 1 for first, last in self.holes)


class Track:
    """A shard in a lane of a topic, or a stream."""

    def __init__(self):
        self.epochs, self.retired = {}, 0
        self.counts = dict.fromkeys(COUNTS, 0)
        self.complete = self.pending = None  # a time; (epoch, sequence, time)

    def place(self, epoch, sequence, whole):
        counter = self.find(epoch, sequence, whole)
        continuity, missing = counter.place(sequence) if counter else ("older", 0)
        self.retire()
        self.counts["read"] += 1
        if continuity in COUNTED_AS:
            self.counts[COUNTED_AS[continuity]] += 1
        return continuity, missing

    def expect(self, epoch, last):
        if epoch == 0 or last in (0, NO_SEQUENCE):
            return 0
        counter = self.find(epoch, 1, whole=True)
        missing = counter.expect(last) if counter else 0
        self.retire()
        return missing

    def find(self, epoch, first, whole):
        if epoch not in self.epochs:
            begins = whole or self.retired > 0 or any(known < epoch for known in self.epochs)
            if epoch <= self.retired or (self.epochs and not begins):
                return None
            self.epochs[epoch] = Counter(1 if begins else first)
        return self.epochs[epoch]

    def retire(self):
        while len(self.epochs) > EPOCHS_REMEMBERED:
            self.retired = min(self.epochs)
            self.counts["missing"] += self.epochs.pop(self.retired).width()

    def advance(self):
        lowest = ((epoch, counter.holes[0][0]) for epoch, counter in self.epochs.items() if counter.holes)
        if self.pending is None or self.counts["missing"] or any(hole < self.pending[:2] for hole in lowest):
            return None
        time, self.pending = self.pending[2], None
        if self.complete is not None and self.complete >= time:
            return None
        self.complete = time
        return time

    def latest(self):
        """The time of the latest watermark, whatever is missing before it."""
        times = [self.complete, self.pending and self.pending[2]]
        return max((time for time in times if time is not None), default=None)

    def holes(self):
        return sum(len(counter.holes) for counter in self.epochs.values())

    def give_up(self, count):
        for _, counter in sorted(self.epochs.items()):
            for first, last in counter.holes[:count]:
                self.counts["missing"] += last - first + 1
                counter.floor = last + 1
            count, counter.holes = max(count - len(counter.holes), 0), counter.holes[count:]

    def tally(self):
        return {**self.counts, "missing": self.counts["missing"] + sum(c.width() for c in self.epochs.values())}


class Detector:
    """Follows lanes (for who reads whole topics) or streams (for who reads single streams). Times are nanoseconds."""

    def __init__(self, by_lane=True, from_beginning=True, most_holes=1 << 20):
        self.by_lane, self.from_beginning, self.most_holes = by_lane, from_beginning, most_holes
        self.tracks = {}  # by (topic, lane, shard), or by stream
        self.shards, self.lanes, self.began = {}, {}, {}  # by topic, by (topic, shard), by (topic, shard)
        self.gaps, self.healed_early = {}, set()  # (topic, lane, stream, gap id); what bounds their number is left out
        self.unnumbered = self.holes = 0

    def observe(self, topic, record):
        """The verdict on the next record of a lane of the topic."""
        position, kind = record.position, record.WhichOneof("body")
        body = getattr(record, kind) if kind else None
        sequence = position.lane_sequence if self.by_lane else position.stream_sequence
        if not self.by_lane and position.epoch and not position.stream:
            return {"continuity": "not_followed"}
        if position.epoch == 0 or sequence in (0, NO_SEQUENCE):
            self.unnumbered += 1
            return {"continuity": "unnumbered"}
        key, whole = position.stream, self.from_beginning
        if self.by_lane:
            key = topic, position.lane, position.shard
            began = self.note_lanes(topic, position.shard, kind, body)
            whole = whole or 0 < began <= position.lane  # who saw the lanes grow saw the new ones begin
        track = self.tracks.setdefault(key, Track())
        known, newest, holes = whole or bool(track.epochs), max(track.epochs, default=0), track.holes()
        continuity, missing = track.place(position.epoch, sequence, whole)
        verdict = {"continuity": continuity, **({"missing": missing} if missing else {})}
        if continuity not in ("duplicate", "older"):  # what those say was news once
            verdict |= self.news(topic, track, position, kind, body, known, newest)
        self.holes += track.holes() - holes
        while self.holes > self.most_holes:
            worst = max(self.tracks.values(), key=Track.holes)
            given_up = (worst.holes() + 1) // 2
            worst.give_up(given_up)
            self.holes -= given_up
        return verdict

    def note_lanes(self, topic, shard, kind, body):
        key = topic, shard
        if kind == "watermark":
            self.shards[topic] = max(self.shards.get(topic, 0), body.shards)
            self.lanes[key] = max(self.lanes.get(key, 0), body.lanes)
        elif kind == "lanes_changed":
            self.lanes[key] = max(self.lanes.get(key, 0), body.count)
            self.began[key] = min(self.began.get(key) or body.previous_count, body.previous_count)
        return self.began.get(key, 0)

    def news(self, topic, track, position, kind, body, known, newest):
        ended, completed = 0, None
        if self.by_lane and kind == "epoch_start" and known:
            ended = track.expect(body.previous_epoch, body.previous_lane_sequence)
        if self.by_lane:
            if kind == "watermark" and body.HasField("complete_up_to"):
                time = body.complete_up_to.ToNanoseconds()
                if track.pending is None or track.pending[2] < time:
                    track.pending = position.epoch, position.lane_sequence, time
            completed = track.advance()
        news = {}
        if kind == "epoch_start":
            news = {"kind": "epoch_changed", "previous_epoch": body.previous_epoch, "missing": ended}
        elif kind == "lanes_changed":
            news = {"kind": kind, "previous_count": body.previous_count, "count": body.count}
        elif kind in ("source_gap", "source_gap_healed"):
            self.note_gap(topic if self.by_lane else "", position, kind, body, track.holes() > 0)
            said = "source_gap_opened" if kind == "source_gap" else kind
            news = {"kind": said, "gap_id": body.gap_id}
        elif 0 < newest < position.epoch:
            news = {"kind": "epoch_changed", "previous_epoch": newest, "missing": 0}
        elif completed is not None:
            news = {"kind": "complete_up_to", "time": text(completed)}
        return {"news": news} if news else {}

    def note_gap(self, topic, position, kind, body, late):
        key = topic, position.lane if self.by_lane else 0, position.stream, body.gap_id
        if kind == "source_gap_healed":
            self.gaps.pop(key, None)
            if late:  # the gap's own record may be among what is missing
                self.healed_early.add(key)
        elif key not in self.healed_early:
            since = body.last_complete_poll_at
            self.gaps[key] = since.ToNanoseconds() if body.HasField("last_complete_poll_at") else None


def text(time):
    """RFC 3339."""
    timestamp = Timestamp()
    timestamp.FromNanoseconds(time)
    return timestamp.ToJsonString()
