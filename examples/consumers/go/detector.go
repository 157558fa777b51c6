package main

import (
	"cmp"
	"maps"
	"slices"
	"time"

	pb "asana_event_bridge_consumer/bridgev1"
)

const noSequence = ^uint64(0)

// Verdict is what one record says. Continuity is in_order, missing, duplicate, reordered, older or unnumbered; News is
// what the record tells beside its place.
type Verdict struct {
	Continuity string         `json:"continuity"`
	Missing    uint64         `json:"missing,omitempty"`
	News       map[string]any `json:"news,omitempty"`
}

// Tally counts sequences read, and what was found wrong with them.
type Tally struct {
	Read       uint64 `json:"read"`
	Missing    uint64 `json:"missing"`
	Duplicates uint64 `json:"duplicates"`
	Reordered  uint64 `json:"reordered"`
	Older      uint64 `json:"older"`
}

// place orders the records of a track.
type place struct{ epoch, sequence uint64 }

func (p place) compare(other place) int {
	return cmp.Or(cmp.Compare(p.epoch, other.epoch), cmp.Compare(p.sequence, other.sequence))
}

// hole is missing from a sequence up to a place.
type hole struct {
	place
	first uint64
}

// track is a shard in a lane of a topic: all from floor to the ends was seen, but for the holes.
type track struct {
	floor       place
	newest      uint64
	ends        map[uint64]uint64 // the last sequence known of each epoch
	holes       []hole            // ascending
	tally       Tally
	watermark   time.Time // the latest
	watermarkAt place
	complete    time.Time // the latest that nothing is missing before
	isCut       bool      // an epoch's end isn't known
}

// place says where the next record stands, and how many are missing before it.
func (t *track) place(at place) (string, uint64) {
	t.tally.Read++
	t.newest = max(t.newest, at.epoch)
	if at.compare(t.floor) < 0 {
		t.tally.Older++
		return "older", 0
	}
	if at.sequence > t.ends[at.epoch] {
		missing := t.expect(place{at.epoch, at.sequence - 1})
		t.ends[at.epoch] = at.sequence
		if missing > 0 {
			return "missing", missing
		}
		return "in_order", 0
	}
	index, _ := slices.BinarySearchFunc(t.holes, at, hole.compare)
	if index == len(t.holes) || at.compare(place{t.holes[index].epoch, t.holes[index].first}) < 0 {
		t.tally.Duplicates++
		return "duplicate", 0
	}
	h := t.holes[index]
	rest := []hole{{place{at.epoch, at.sequence - 1}, h.first}, {h.place, at.sequence + 1}}
	rest = slices.DeleteFunc(rest, func(h hole) bool { return h.first > h.sequence })
	t.holes = slices.Replace(t.holes, index, index+1, rest...)
	t.tally.Reordered++
	t.tally.Missing--
	return "reordered", 0
}

// expect says that an epoch reaches to a place: how many are missing before it that weren't known to be.
func (t *track) expect(last place) uint64 {
	end := t.ends[last.epoch]
	if last.sequence <= end || last.compare(t.floor) < 0 {
		return 0
	}
	index, _ := slices.BinarySearchFunc(t.holes, last, hole.compare)
	t.holes = slices.Insert(t.holes, index, hole{last, end + 1})
	t.ends[last.epoch] = last.sequence
	t.tally.Missing += last.sequence - end
	return last.sequence - end
}

// begin says what an epoch's start tells of the end of the one before. Of one that it doesn't know of, nobody knows that.
func (t *track) begin(epoch uint64, previous place) map[string]any {
	other := func(it uint64) bool { return it >= epoch || t.ends[it] == 0 }
	if seen := slices.DeleteFunc(slices.Sorted(maps.Keys(t.ends)), other); previous.epoch == 0 && len(seen) > 0 {
		t.isCut = true
		return epochChanged(seen[len(seen)-1])
	}
	return map[string]any{"kind": "epoch_changed", "previous_epoch": previous.epoch, "missing": t.expect(previous)}
}

// advance says whether the track has become complete up to a later time.
func (t *track) advance() bool {
	lacks := t.isCut || len(t.holes) > 0 && t.holes[0].compare(t.watermarkAt) < 0
	if lacks || !t.watermark.After(t.complete) {
		return false
	}
	t.complete = t.watermark
	return true
}

type laneKey struct{ lane, shard uint32 }

type gapKey struct {
	lane          uint32
	stream, gapID string
}

// Detector knows from the records of a topic alone what is missing, double, late, and complete up to when.
//
// It is a port of the bridge's own detector; proto/conformance/README.md explains the algorithm.
type Detector struct {
	fromBeginning bool
	unnumbered    uint64
	tracks        map[laneKey]*track
	epoch         uint64               // of the latest watermarks
	shards        uint32               // that there are, say those
	lanes         map[uint32]uint32    // to how many a shard writes
	gaps          map[gapKey]time.Time // nothing before the time is lost
	healed        map[gapKey]bool
}

func newDetector(fromBeginning bool) *Detector {
	return &Detector{
		fromBeginning: fromBeginning, tracks: map[laneKey]*track{}, lanes: map[uint32]uint32{},
		gaps: map[gapKey]time.Time{}, healed: map[gapKey]bool{},
	}
}

// Observe gives the verdict on the next record of a lane.
func (d *Detector) Observe(record *pb.Record) (verdict Verdict) {
	position := record.GetPosition()
	at := place{position.GetEpoch(), position.GetLaneSequence()}
	if at.epoch == 0 || at.sequence == 0 || at.sequence == noSequence {
		d.unnumbered++
		return Verdict{Continuity: "unnumbered"}
	}
	t := d.track(laneKey{position.GetLane(), position.GetShard()}, at)
	newest := t.newest
	verdict.Continuity, verdict.Missing = t.place(at)
	if verdict.Continuity == "duplicate" || verdict.Continuity == "older" {
		return verdict // what it says was news once
	}
	gap := gapKey{lane: position.GetLane(), stream: position.GetStream()}
	switch body := record.GetBody().(type) {
	case *pb.Record_EpochStart:
		previous := place{body.EpochStart.GetPreviousEpoch(), body.EpochStart.GetPreviousLaneSequence()}
		verdict.News = t.begin(at.epoch, previous)
	case *pb.Record_Watermark:
		d.note(t, at, position.GetShard(), body.Watermark)
	case *pb.Record_SourceGap:
		gap.gapID = body.SourceGap.GetGapId()
		if !d.healed[gap] {
			d.gaps[gap] = body.SourceGap.GetLastCompletePollAt().AsTime()
		}
		verdict.News = map[string]any{"kind": "source_gap_opened", "gap_id": gap.gapID}
	case *pb.Record_SourceGapHealed:
		gap.gapID = body.SourceGapHealed.GetGapId()
		delete(d.gaps, gap)
		d.healed[gap] = true // the gap's own record may come late
		verdict.News = map[string]any{"kind": "source_gap_healed", "gap_id": gap.gapID}
	case *pb.Record_StreamEnded: // nobody heals its source gaps
		maps.DeleteFunc(d.gaps, func(key gapKey, _ time.Time) bool { return key.lane == gap.lane && key.stream == gap.stream })
	}
	completed := t.advance()
	if verdict.News == nil && newest > 0 && newest < at.epoch {
		verdict.News = epochChanged(newest)
	} else if verdict.News == nil && completed {
		verdict.News = map[string]any{"kind": "complete_up_to", "time": text(t.complete)}
	}
	return verdict
}

func epochChanged(previous uint64) map[string]any {
	return map[string]any{"kind": "epoch_changed", "previous_epoch": previous}
}

func (d *Detector) note(t *track, at place, shard uint32, watermark *pb.Watermark) {
	if at.epoch >= d.epoch {
		d.epoch, d.shards = at.epoch, watermark.GetShards()
	}
	d.lanes[shard] = max(d.lanes[shard], watermark.GetLanes())
	if until := watermark.GetCompleteUpTo().AsTime(); until.After(t.watermark) {
		t.watermark, t.watermarkAt = until, at
	}
}

func (d *Detector) track(key laneKey, floor place) *track {
	if d.tracks[key] == nil {
		if d.fromBeginning {
			floor = place{1, 1}
		}
		d.tracks[key] = &track{floor: floor, ends: map[uint64]uint64{floor.epoch: floor.sequence - 1}}
	}
	return d.tracks[key]
}

// CompleteUpTo is the time up to which all lanes of all shards are complete; zero if one of them lacks a watermark.
func (d *Detector) CompleteUpTo() time.Time {
	times := slices.Collect(maps.Values(d.gaps))
	for shard := range d.shards {
		for lane := range max(d.lanes[shard], 1) {
			t := d.tracks[laneKey{lane, shard}]
			if t == nil {
				return time.Time{}
			}
			times = append(times, t.complete)
		}
	}
	for key, t := range d.tracks {
		if key.shard >= d.shards && (len(t.holes) > 0 || t.isCut) { // it has ended, and something of it is missing
			times = append(times, t.complete)
		}
	}
	if d.shards == 0 {
		return time.Time{}
	}
	return slices.MinFunc(times, time.Time.Compare) // zero comes first
}
