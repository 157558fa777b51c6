"""Finds out from the records of a topic alone what is missing, duplicate or late, and up to when the topic is complete.

A port of the Rust library's detector. `proto/conformance/README.md` in the repository explains the algorithm.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass
from enum import Enum

from google.protobuf.timestamp_pb2 import Timestamp

from asana_event_bridge.v1.record_pb2 import Record

NO_SEQUENCE = 2**64 - 1
BEGINNING = (1, 1)


class Continuity(str, Enum):
    """The place of a record among those that the detector has seen."""

    IN_ORDER = "in_order"
    """The next record after the last one. Process it."""
    MISSING = "missing"
    """Records before it weren't seen: `Verdict.missing` is their number. Process it, and alert. They may still come."""
    REORDERED = "reordered"
    """It was missing, and now it came. Process it, if your work accepts late records."""
    DUPLICATE = "duplicate"
    """It was seen before. Skip it."""
    OLDER = "older"
    """It is from before the first record that was seen. Skip it, or process it if your work is idempotent."""
    UNNUMBERED = "unnumbered"
    """It isn't a record of the bridge. Alert: somebody else writes to your topic."""


@dataclass(frozen=True)
class News:
    """What a record means for the reader, beside its own content. Only the fields of its kind are set.

    kind `epoch_changed`: new counters begin; `previous_epoch`, and `missing`: how many records at that epoch's end
    are missing, None if nobody knows.
    kind `source_gap_opened`: Asana may have lost events of a stream; `gap_id`.
    kind `source_gap_healed`: the state of the stream's resources is correct again; `gap_id`.
    kind `tail_missing`: a watermark names `missing` records of other shards that weren't seen, the last ones of their shards
    in the lane. They may still come.
    kind `complete_up_to`: nothing of the lane is missing up to `time` (RFC 3339).
    """

    kind: str
    previous_epoch: int | None = None
    missing: int | None = None
    gap_id: str | None = None
    time: str | None = None


@dataclass(frozen=True)
class Verdict:
    """What the detector knows about one record."""

    continuity: Continuity
    missing: int = 0
    """How many records before it are missing: more than 0 if the continuity is MISSING, and else 0."""
    news: News | None = None

    @property
    def is_new(self) -> bool:
        """Whether the record has to be processed: False for DUPLICATE and OLDER."""
        return self.continuity not in (Continuity.DUPLICATE, Continuity.OLDER)


@dataclass
class Tally:
    """Counts of a lane and shard."""

    read: int = 0
    missing: int = 0
    duplicates: int = 0
    reordered: int = 0
    older: int = 0


@dataclass(frozen=True)
class Behind:
    """A lane whose watermarks of a shard are older than the same shard's in other lanes. Times are nanoseconds."""

    lane: int
    shard: int
    watermark: int | None
    """The lane's latest watermark. None if it has none."""
    others: int
    """The latest watermark of the shard in other lanes."""


class Detector:
    """Follows the lanes of one topic. Times are nanoseconds since 1970; `rfc3339` writes them.

    It can be pickled: store it beside your offsets, in the same transaction, or it forgets everything at a restart.

    from_beginning: whether the reader has the topic from its first record. If not, nothing is missing before the first
    record that it sees of each lane and shard.
    """

    def __init__(self, from_beginning: bool = True):
        self.unnumbered = 0
        """How many records weren't of the bridge."""
        self._from_beginning = from_beginning
        self._tracks: dict[tuple[int, int], _Track] = {}  # by (lane, shard)
        self._epoch = self._shards = 0  # of the latest watermarks, and how many shards these name
        self._lanes: dict[int, int] = {}  # by shard: to how many lanes it writes
        self._gaps: dict[tuple[int, str, str], int] = {}  # by (lane, stream, gap id): nothing before the time is lost
        self._healed: set[tuple[int, str, str]] = set()

    def observe(self, record: Record) -> Verdict:
        """The verdict on the next record of a lane. Call it once for each record, in the order of each lane."""
        at = record.position
        if at.epoch == 0 or at.lane_sequence in (0, NO_SEQUENCE):
            self.unnumbered += 1
            return Verdict(Continuity.UNNUMBERED)
        place = at.epoch, at.lane_sequence
        if (at.lane, at.shard) not in self._tracks:
            self._tracks[at.lane, at.shard] = _Track(BEGINNING if self._from_beginning else place)
        track = self._tracks[at.lane, at.shard]
        newest = track.newest
        continuity, missing = track.place(*place)
        verdict = Verdict(continuity, missing)
        if not verdict.is_new:
            return verdict  # its content was news once
        news = self._news(track, at, record)
        told = self._advance(track, at.lane, record, continuity is Continuity.REORDERED)
        if news is None and 0 < newest < at.epoch:
            news = News("epoch_changed", previous_epoch=newest)
        return Verdict(continuity, missing, news or told)

    def complete_up_to(self, lane: int | None = None) -> int | None:
        """The time up to which the topic is complete, or one lane of it. None if a shard has no watermark there yet."""
        places = {(it, shard) for shard in range(self._shards) for it in range(self._lanes.get(shard, 0))}
        # A shard that has ended holds nothing back, unless some of it is missing.
        places |= {place for place, track in self._tracks.items() if place[1] >= self._shards and track.lacks}
        tracks = [self._tracks.get(place) for place in places if lane in (None, place[0])]
        times = [track and track.complete for track in tracks if track is None or not track.is_empty]
        if not times or None in times or any(shard not in self._lanes for shard in range(self._shards)):
            return None
        times += [since for key, since in self._gaps.items() if lane in (None, key[0])]
        return None if None in times else min(times)  # a gap may have no beginning

    def behind(self) -> list[Behind]:
        """Lanes that may have lost their last records. Alert if one stays in this list though you read to its end."""
        found = []
        for shard, lanes in sorted(self._lanes.items()):
            tracks = [self._tracks.get((lane, shard)) for lane in range(lanes)]
            latest = [track.watermark[0] if track and track.watermark else None for track in tracks]
            others = max((time for time in latest if time is not None), default=None)
            late = [(lane, time) for lane, time in enumerate(latest) if time != others]
            found += [Behind(lane, shard, time, others) for lane, time in late]
        return found

    def open_gaps(self) -> list[tuple[str, str]]:
        """Source gaps that aren't healed: (stream, gap id), sorted. Asana may have lost events of these streams."""
        return sorted({(stream, gap_id) for _, stream, gap_id in self._gaps})

    def tallies(self) -> dict[tuple[int, int], Tally]:
        """The counts of each (lane, shard), sorted."""
        return {place: track.tally for place, track in sorted(self._tracks.items())}

    def _news(self, track: _Track, at, record: Record) -> News | None:
        kind = record.WhichOneof("body")
        body = getattr(record, kind) if kind else None
        if kind == "epoch_start":
            return track.begin(at.epoch, body.previous_epoch, body.previous_lane_sequence)
        if kind == "watermark":
            if at.epoch >= self._epoch:
                self._epoch, self._shards = at.epoch, body.shards
            for progress in body.progress:
                self._lanes[progress.shard] = max(self._lanes.get(progress.shard, 0), body.lanes)
        if kind == "source_gap":
            key = at.lane, at.stream, body.gap_id
            if key not in self._healed:
                is_known = body.HasField("last_complete_poll_at")
                self._gaps[key] = body.last_complete_poll_at.ToNanoseconds() if is_known else None
            return News("source_gap_opened", gap_id=body.gap_id)
        if kind == "source_gap_healed":
            key = at.lane, at.stream, body.gap_id
            self._gaps.pop(key, None)
            self._healed.add(key)  # the gap's own record may come late
            return News("source_gap_healed", gap_id=body.gap_id)
        if kind == "stream_ended":  # nobody heals its source gaps
            self._gaps = {key: since for key, since in self._gaps.items() if key[:2] != (at.lane, at.stream)}
        return None


    def _advance(self, track: _Track, lane: int, record: Record, late: bool) -> News | None:
        """Applies a watermark, and what waited for a record that came late."""
        if not late and record.WhichOneof("body") != "watermark":
            return None
        before, missing = self.complete_up_to(lane), 0
        for progress in record.watermark.progress:
            if progress.epoch == 0 or progress.lane_sequence in (0, NO_SEQUENCE):
                continue
            if (lane, progress.shard) not in self._tracks:
                floor = BEGINNING if self._from_beginning else (progress.epoch, progress.lane_sequence + 1)
                self._tracks[lane, progress.shard] = _Track(floor)
            missing += self._tracks[lane, progress.shard].note(progress, late)
        track.advance()
        if missing:
            return News("tail_missing", missing=missing)
        after = self.complete_up_to(lane)
        if after is None or before is not None and after <= before:
            return None
        return News("complete_up_to", time=rfc3339(after))


class _Track:
    """A shard in a lane. All (epoch, sequence) from the floor to the ends were seen, except the holes."""

    def __init__(self, floor: tuple[int, int]):
        self.floor = floor
        self.newest = 0
        self.ends = {floor[0]: floor[1] - 1}  # the last known sequence of each epoch
        self.holes: list[tuple[int, int, int]] = []  # (epoch, last, first), ascending
        self.tally = Tally()
        self.watermark: tuple[int, tuple[int, int]] | None = None  # time, (epoch, sequence) of the latest
        self.complete: int | None = None  # the time of the latest that nothing is missing before
        self.empty_at: tuple[int, int] | None = None  # its last record when a watermark said that it has no streams
        self.is_cut = False  # an epoch's end isn't known

    @property
    def lacks(self) -> bool:
        """Something is missing."""
        return bool(self.holes) or self.is_cut

    @property
    def is_empty(self) -> bool:
        """It has no streams, and has written nothing since a watermark said so."""
        return self.empty_at == max(self.ends.items()) and not self.lacks

    def place(self, epoch: int, sequence: int) -> tuple[Continuity, int]:
        """Where the next record stands, and how many are missing before it."""
        self.tally.read += 1
        self.newest = max(self.newest, epoch)
        if (epoch, sequence) < self.floor:
            self.tally.older += 1
            return Continuity.OLDER, 0
        if sequence > self.ends.get(epoch, 0):
            missing = self.expect(epoch, sequence - 1)
            self.ends[epoch] = sequence
            return (Continuity.MISSING if missing else Continuity.IN_ORDER), missing
        at = bisect_left(self.holes, (epoch, sequence))
        hole = self.holes[at] if at < len(self.holes) else None
        if hole is None or (epoch, sequence) < (hole[0], hole[2]):
            self.tally.duplicates += 1
            return Continuity.DUPLICATE, 0
        rest = (epoch, sequence - 1, hole[2]), (epoch, hole[1], sequence + 1)
        self.holes[at : at + 1] = [(epoch, last, first) for epoch, last, first in rest if first <= last]
        self.tally.reordered += 1
        self.tally.missing -= 1
        return Continuity.REORDERED, 0

    def expect(self, epoch: int, last: int) -> int:
        """The epoch reaches to `last`: how many of it are newly missing."""
        end = self.ends.get(epoch, 0)
        if (epoch, last) < self.floor or last <= end:
            return 0
        self.newest = max(self.newest, epoch)
        insort(self.holes, (epoch, last, end + 1))
        self.ends[epoch] = last
        self.tally.missing += last - end
        return last - end

    def begin(self, epoch: int, previous: int, last: int) -> News:
        """An epoch begins, and tells where the one before it ended, if the bridge knew it."""
        seen = max((before for before, end in self.ends.items() if before < epoch and end), default=0)
        if previous == 0 < seen:
            self.is_cut = True
            return News("epoch_changed", previous_epoch=seen)
        return News("epoch_changed", previous_epoch=previous, missing=self.expect(previous, last))

    def note(self, progress, late: bool) -> int:
        """Notes what a watermark says of it, and returns how many are newly missing.

        late: it was missing before, so that a newer one may have said otherwise.
        """
        at = progress.epoch, progress.lane_sequence
        missing = self.expect(*at)
        time = progress.complete_up_to.ToNanoseconds()
        if progress.HasField("complete_up_to") and (self.watermark is None or self.watermark[0] < time):
            self.watermark = time, at
        if not late:
            self.empty_at = at if progress.empty else None
        self.advance()
        return missing

    def advance(self) -> None:
        """The latest watermark counts once nothing before it is missing."""
        lowest = self.holes and (self.holes[0][0], self.holes[0][2])
        if self.watermark and not self.is_cut and not (lowest and lowest <= self.watermark[1]):
            self.complete = max(self.complete or 0, self.watermark[0])


def rfc3339(time: int) -> str:
    """A time in nanoseconds since 1970 as text, such as `2026-01-02T03:04:05.006Z`."""
    timestamp = Timestamp()
    timestamp.FromNanoseconds(time)
    return timestamp.ToJsonString()
