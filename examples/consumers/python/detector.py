"""Knows from the records of a topic alone what is missing, double, late, and complete up to when.

A port of the bridge's own detector; `proto/conformance/README.md` explains the algorithm.
"""

from bisect import bisect_left, insort

from google.protobuf.timestamp_pb2 import Timestamp

NO_SEQUENCE = 2**64 - 1
BEGINNING = (1, 1)


class Track:
    """A shard in a lane. All (epoch, sequence) from the floor to the ends were seen, but for the holes."""

    def __init__(self, floor):
        self.floor = floor
        self.newest = 0
        self.ends = {floor[0]: floor[1] - 1}  # the last sequence known of each epoch
        self.holes = []  # (epoch, last, first), ascending
        self.tally = {"read": 0, "missing": 0, "duplicates": 0, "reordered": 0, "older": 0}
        self.watermark = None  # time, (epoch, sequence) of the latest
        self.complete = None  # the time of the latest that nothing is missing before
        self.is_cut = False  # an epoch's end isn't known

    def place(self, epoch, sequence):
        """Where the next record stands, and how many are missing before it."""
        self.tally["read"] += 1
        self.newest = max(self.newest, epoch)
        if (epoch, sequence) < self.floor:
            self.tally["older"] += 1
            return "older", 0
        if sequence > self.ends.get(epoch, 0):
            missing = self.expect(epoch, sequence - 1)
            self.ends[epoch] = sequence
            return ("missing" if missing else "in_order"), missing
        at = bisect_left(self.holes, (epoch, sequence))
        hole = self.holes[at] if at < len(self.holes) else None
        if hole is None or (epoch, sequence) < (hole[0], hole[2]):
            self.tally["duplicates"] += 1
            return "duplicate", 0
        rest = (epoch, sequence - 1, hole[2]), (epoch, hole[1], sequence + 1)
        self.holes[at : at + 1] = [(epoch, last, first) for epoch, last, first in rest if first <= last]
        self.tally["reordered"] += 1
        self.tally["missing"] -= 1
        return "reordered", 0

    def expect(self, epoch, last):
        """The epoch reaches to `last`: how many of it are missing that weren't known to be."""
        end = self.ends.get(epoch, 0)
        if (epoch, last) < self.floor or last <= end:
            return 0
        insort(self.holes, (epoch, last, end + 1))
        self.ends[epoch] = last
        self.tally["missing"] += last - end
        return last - end

    def begin(self, epoch, previous, last):
        """An epoch begins, and says where the one before it ended. Of one that it doesn't know of, nobody knows that."""
        seen = max((before for before, end in self.ends.items() if before < epoch and end), default=0)
        if previous == 0 < seen:
            self.is_cut = True
            return epoch_changed(seen)
        return epoch_changed(previous) | {"missing": self.expect(previous, last)}

    def advance(self):
        """The time up to which the track has become complete, if it has."""
        if self.watermark is None or self.is_cut or (self.holes and self.holes[0][:2] < self.watermark[1]):
            return None
        if self.complete is not None and self.watermark[0] <= self.complete:
            return None
        self.complete = self.watermark[0]
        return self.complete


class Detector:
    """Follows the lanes of a topic. Times are nanoseconds."""

    def __init__(self, from_beginning=True):
        self.from_beginning = from_beginning
        self.tracks = {}  # by (lane, shard)
        self.epoch = self.shards = 0  # of the latest watermarks, and how many there are, say those
        self.lanes = {}  # by shard: to how many it writes
        self.gaps = {}  # by (lane, stream, gap id): nothing before the time is lost
        self.healed = set()
        self.unnumbered = 0

    def observe(self, record):
        """The verdict on the next record of a lane."""
        at = record.position
        if at.epoch == 0 or at.lane_sequence in (0, NO_SEQUENCE):
            self.unnumbered += 1
            return {"continuity": "unnumbered"}
        place = at.epoch, at.lane_sequence
        if (at.lane, at.shard) not in self.tracks:
            self.tracks[at.lane, at.shard] = Track(BEGINNING if self.from_beginning else place)
        track = self.tracks[at.lane, at.shard]
        newest = track.newest
        continuity, missing = track.place(*place)
        verdict = {"continuity": continuity}
        if missing:
            verdict["missing"] = missing
        if continuity not in ("duplicate", "older"):  # what those say was news once
            news = self.news(track, at, record)
            completed = track.advance()
            if not news and 0 < newest < at.epoch:
                news = epoch_changed(newest)
            elif not news and completed is not None:
                news = {"kind": "complete_up_to", "time": text(completed)}
            if news:
                verdict["news"] = news
        return verdict

    def news(self, track, at, record):
        """What the record's body says."""
        kind = record.WhichOneof("body")
        body = getattr(record, kind) if kind else None
        if kind == "epoch_start":
            return track.begin(at.epoch, body.previous_epoch, body.previous_lane_sequence)
        if kind == "watermark":
            if at.epoch >= self.epoch:
                self.epoch, self.shards = at.epoch, body.shards
            self.lanes[at.shard] = max(self.lanes.get(at.shard, 0), body.lanes)
            time = body.complete_up_to.ToNanoseconds()
            if track.watermark is None or track.watermark[0] < time:
                track.watermark = time, (at.epoch, at.lane_sequence)
        if kind == "source_gap":
            key = at.lane, at.stream, body.gap_id
            if key not in self.healed:
                self.gaps[key] = body.last_complete_poll_at.ToNanoseconds()
            return {"kind": "source_gap_opened", "gap_id": body.gap_id}
        if kind == "source_gap_healed":
            key = at.lane, at.stream, body.gap_id
            self.gaps.pop(key, None)
            self.healed.add(key)  # the gap's own record may come late
            return {"kind": "source_gap_healed", "gap_id": body.gap_id}
        if kind == "stream_ended":  # nobody heals its source gaps
            self.gaps = {key: since for key, since in self.gaps.items() if key[:2] != (at.lane, at.stream)}
        return None

    def complete_up_to(self):
        """The time up to which all lanes of all shards are complete; none if one of them lacks a watermark."""
        places = [(lane, shard) for shard in range(self.shards) for lane in range(self.lanes.get(shard, 1))]
        # A shard that has ended holds nothing back, unless some of it is missing.
        lacking = [place for place, track in self.tracks.items() if track.holes or track.is_cut]
        places += [(lane, shard) for lane, shard in lacking if shard >= self.shards]
        tracks = [self.tracks.get(place) for place in places]
        times = [track and track.complete for track in tracks] + list(self.gaps.values())
        return None if self.shards == 0 or None in times else min(times)


def epoch_changed(previous):
    return {"kind": "epoch_changed", "previous_epoch": previous}


def text(time):
    """RFC 3339."""
    timestamp = Timestamp()
    timestamp.FromNanoseconds(time)
    return timestamp.ToJsonString()
