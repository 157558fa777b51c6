// Package consumer is for readers of asana-event-bridge: it finds out whether any record is missing, and reads custom
// fields. Package bridgev1 has the types of records, generated from the wire contract.
package consumer

import (
	"cmp"
	"maps"
	"slices"
	"time"

	pb "git.example.com/asana-event-bridge/clients/go/bridgev1"
)

const noSequence = ^uint64(0)

// Continuity is the place of a record among those that the detector has seen.
type Continuity string

const (
	// InOrder is the next record after the last one. Process it.
	InOrder Continuity = "in_order"
	// Missing says that records before it weren't seen: Verdict.Missing is their number. Process it, and alert. They may
	// still come.
	Missing Continuity = "missing"
	// Reordered says that it was missing, and now it came. Process it, if your work accepts late records.
	Reordered Continuity = "reordered"
	// Duplicate says that it was seen before. Skip it.
	Duplicate Continuity = "duplicate"
	// Older says that it is from before the first record that was seen. Skip it, or process it if your work is idempotent.
	Older Continuity = "older"
	// Unnumbered says that it isn't a record of the bridge. Alert: somebody else writes to your topic.
	Unnumbered Continuity = "unnumbered"
)

// Verdict is what the detector knows about one record.
type Verdict struct {
	Continuity Continuity `json:"continuity"`
	// Missing is more than 0 if Continuity is Missing, and else 0.
	Missing uint64 `json:"missing,omitempty"`
	// News is nil if the record means nothing beside its own content.
	News *News `json:"news,omitempty"`
}

// IsNew says whether the record has to be processed: it is false for Duplicate and Older.
func (v Verdict) IsNew() bool { return v.Continuity != Duplicate && v.Continuity != Older }

// Kind is a kind of News.
type Kind string

const (
	// EpochChanged says that new counters begin: see News.PreviousEpoch and News.Missing.
	EpochChanged Kind = "epoch_changed"
	// SourceGapOpened says that Asana may have lost events of a stream: see News.GapID.
	SourceGapOpened Kind = "source_gap_opened"
	// SourceGapHealed says that the state of the stream's resources is correct again: see News.GapID.
	SourceGapHealed Kind = "source_gap_healed"
	// TailMissing says that a watermark names records of other shards that weren't seen, the last ones of their shards in the
	// lane: News.Missing is their number. They may still come.
	TailMissing Kind = "tail_missing"
	// CompleteUpTo says that nothing of the lane is missing up to News.Time.
	CompleteUpTo Kind = "complete_up_to"
)

// News is what a record means for the reader, beside its own content. Only the fields of its Kind are set.
type News struct {
	Kind Kind `json:"kind"`
	// PreviousEpoch is the epoch before. It is nil for other kinds.
	PreviousEpoch *uint64 `json:"previous_epoch,omitempty"`
	// Missing is how many records are missing, at the end of the previous epoch or of other shards. It is nil if nobody knows.
	Missing *uint64 `json:"missing,omitempty"`
	GapID   string  `json:"gap_id,omitempty"`
	// Time is written as RFC 3339.
	Time string `json:"time,omitempty"`
}

// Tally has the counts of a lane and shard.
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
	emptyAt     place     // its last record when a watermark said that it has no streams
	isCut       bool      // an epoch's end isn't known
}

// lacks says whether something is missing.
func (t *track) lacks() bool { return len(t.holes) > 0 || t.isCut }

// isEmpty says whether it has no streams, and has written nothing since a watermark said so.
func (t *track) isEmpty() bool {
	epoch := slices.Max(slices.Collect(maps.Keys(t.ends)))
	return t.emptyAt == place{epoch, t.ends[epoch]} && !t.lacks()
}

// place says where the next record stands, and how many are missing before it.
func (t *track) place(at place) (Continuity, uint64) {
	t.tally.Read++
	t.newest = max(t.newest, at.epoch)
	if at.compare(t.floor) < 0 {
		t.tally.Older++
		return Older, 0
	}
	if at.sequence > t.ends[at.epoch] {
		missing := t.expect(place{at.epoch, at.sequence - 1})
		t.ends[at.epoch] = at.sequence
		if missing > 0 {
			return Missing, missing
		}
		return InOrder, 0
	}
	index, _ := slices.BinarySearchFunc(t.holes, at, hole.compare)
	if index == len(t.holes) || at.compare(place{t.holes[index].epoch, t.holes[index].first}) < 0 {
		t.tally.Duplicates++
		return Duplicate, 0
	}
	h := t.holes[index]
	rest := []hole{{place{at.epoch, at.sequence - 1}, h.first}, {h.place, at.sequence + 1}}
	rest = slices.DeleteFunc(rest, func(h hole) bool { return h.first > h.sequence })
	t.holes = slices.Replace(t.holes, index, index+1, rest...)
	t.tally.Reordered++
	t.tally.Missing--
	return Reordered, 0
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
	t.newest = max(t.newest, last.epoch)
	t.tally.Missing += last.sequence - end
	return last.sequence - end
}

// begin says what an epoch's start tells of the end of the one before, if the bridge knew it.
func (t *track) begin(epoch uint64, previous place) *News {
	other := func(it uint64) bool { return it >= epoch || t.ends[it] == 0 }
	if seen := slices.DeleteFunc(slices.Sorted(maps.Keys(t.ends)), other); previous.epoch == 0 && len(seen) > 0 {
		t.isCut = true
		return epochChanged(seen[len(seen)-1])
	}
	missing := t.expect(previous)
	return &News{Kind: EpochChanged, PreviousEpoch: &previous.epoch, Missing: &missing}
}

// note notes what a watermark says of it, and returns how many are newly missing. If the watermark is late, a newer one may
// have said otherwise.
func (t *track) note(progress *pb.ShardProgress, late bool) uint64 {
	at := place{progress.GetEpoch(), progress.GetLaneSequence()}
	missing := t.expect(at)
	if until := progress.GetCompleteUpTo(); until != nil && until.AsTime().After(t.watermark) {
		t.watermark, t.watermarkAt = until.AsTime(), at
	}
	if !late {
		t.emptyAt = place{}
		if progress.GetEmpty() {
			t.emptyAt = at
		}
	}
	t.advance()
	return missing
}

// advance lets the latest watermark count once nothing before it is missing.
func (t *track) advance() {
	lacks := t.isCut || len(t.holes) > 0 && place{t.holes[0].epoch, t.holes[0].first}.compare(t.watermarkAt) <= 0
	if !lacks && t.watermark.After(t.complete) {
		t.complete = t.watermark
	}
}

// Lane is a shard in a lane of the topic.
type Lane struct {
	Lane  uint32 `json:"lane"`
	Shard uint32 `json:"shard"`
}

func (l Lane) compare(other Lane) int {
	return cmp.Or(cmp.Compare(l.Lane, other.Lane), cmp.Compare(l.Shard, other.Shard))
}

// Gap is a source gap that isn't healed: Asana may have lost events of this stream.
type Gap struct {
	Stream string `json:"stream"`
	GapID  string `json:"gap_id"`
}

// Behind is a lane whose watermarks of a shard are older than the same shard's in other lanes.
type Behind struct {
	Lane
	// Watermark is the lane's latest watermark. It is zero if it has none.
	Watermark time.Time
	// Others is the latest watermark of the shard in other lanes.
	Others time.Time
}

type gapKey struct {
	lane uint32
	Gap
}

// Detector finds out from the records of one topic alone what is missing, duplicate or late, and up to when the topic is
// complete. It isn't safe for concurrent use.
//
// It is a port of the Rust library's detector. proto/conformance/README.md in the repository explains the algorithm.
type Detector struct {
	fromBeginning bool
	unnumbered    uint64
	tracks        map[Lane]*track
	epoch         uint64               // of the latest watermarks
	shards        uint32               // how many shards these name
	lanes         map[uint32]uint32    // to how many lanes a shard writes
	gaps          map[gapKey]time.Time // nothing before the time is lost
	healed        map[gapKey]bool
}

// NewDetector makes a detector for one topic. If fromBeginning is false, nothing is missing before the first record that it
// sees of each lane and shard.
func NewDetector(fromBeginning bool) *Detector {
	return &Detector{
		fromBeginning: fromBeginning, tracks: map[Lane]*track{}, lanes: map[uint32]uint32{},
		gaps: map[gapKey]time.Time{}, healed: map[gapKey]bool{},
	}
}

// Observe returns the verdict on the next record of a lane. Call it once for each record, in the order of each lane.
func (d *Detector) Observe(record *pb.Record) (verdict Verdict) {
	position := record.GetPosition()
	at := place{position.GetEpoch(), position.GetLaneSequence()}
	if at.epoch == 0 || at.sequence == 0 || at.sequence == noSequence {
		d.unnumbered++
		return Verdict{Continuity: Unnumbered}
	}
	t := d.track(Lane{position.GetLane(), position.GetShard()}, at)
	newest := t.newest
	verdict.Continuity, verdict.Missing = t.place(at)
	if !verdict.IsNew() {
		return verdict // its content was news once
	}
	gap := gapKey{position.GetLane(), Gap{Stream: position.GetStream()}}
	switch body := record.GetBody().(type) {
	case *pb.Record_EpochStart:
		previous := place{body.EpochStart.GetPreviousEpoch(), body.EpochStart.GetPreviousLaneSequence()}
		verdict.News = t.begin(at.epoch, previous)
	case *pb.Record_Watermark:
		d.note(at.epoch, body.Watermark)
	case *pb.Record_SourceGap:
		gap.GapID = body.SourceGap.GetGapId()
		if !d.healed[gap] {
			d.gaps[gap] = time.Time{} // it may have no beginning
			if since := body.SourceGap.GetLastCompletePollAt(); since != nil {
				d.gaps[gap] = since.AsTime()
			}
		}
		verdict.News = &News{Kind: SourceGapOpened, GapID: gap.GapID}
	case *pb.Record_SourceGapHealed:
		gap.GapID = body.SourceGapHealed.GetGapId()
		delete(d.gaps, gap)
		d.healed[gap] = true // the gap's own record may come late
		verdict.News = &News{Kind: SourceGapHealed, GapID: gap.GapID}
	case *pb.Record_StreamEnded: // nobody heals its source gaps
		maps.DeleteFunc(d.gaps, func(key gapKey, _ time.Time) bool { return key.lane == gap.lane && key.Stream == gap.Stream })
	}
	told := d.advance(t, position.GetLane(), record.GetWatermark(), verdict.Continuity == Reordered)
	if verdict.News == nil && newest > 0 && newest < at.epoch {
		verdict.News = epochChanged(newest)
	}
	verdict.News = cmp.Or(verdict.News, told)
	return verdict
}

// advance applies a watermark, and what waited for a record that came late.
func (d *Detector) advance(t *track, lane uint32, watermark *pb.Watermark, late bool) *News {
	if !late && watermark == nil {
		return nil
	}
	inLane := func(it uint32) bool { return it == lane }
	before, missing := d.completeUpTo(inLane), uint64(0)
	for _, progress := range watermark.GetProgress() {
		at := place{progress.GetEpoch(), progress.GetLaneSequence()}
		if at.epoch != 0 && at.sequence != 0 && at.sequence != noSequence {
			floor := place{at.epoch, at.sequence + 1}
			missing += d.track(Lane{lane, progress.GetShard()}, floor).note(progress, late)
		}
	}
	t.advance()
	if missing > 0 {
		return &News{Kind: TailMissing, Missing: &missing}
	}
	if after := d.completeUpTo(inLane); after.After(before) {
		return &News{Kind: CompleteUpTo, Time: RFC3339(after)}
	}
	return nil
}

func epochChanged(previous uint64) *News {
	return &News{Kind: EpochChanged, PreviousEpoch: &previous}
}

func (d *Detector) note(epoch uint64, watermark *pb.Watermark) {
	if epoch >= d.epoch {
		d.epoch, d.shards = epoch, watermark.GetShards()
	}
	for _, progress := range watermark.GetProgress() {
		d.lanes[progress.GetShard()] = max(d.lanes[progress.GetShard()], watermark.GetLanes())
	}
}

func (d *Detector) track(key Lane, floor place) *track {
	if d.tracks[key] == nil {
		if d.fromBeginning {
			floor = place{1, 1}
		}
		d.tracks[key] = &track{floor: floor, ends: map[uint64]uint64{floor.epoch: floor.sequence - 1}}
	}
	return d.tracks[key]
}

// CompleteUpTo is the time up to which all lanes of all shards are complete. It is zero if one of them has no watermark yet.
func (d *Detector) CompleteUpTo() time.Time {
	return d.completeUpTo(func(uint32) bool { return true })
}

func (d *Detector) completeUpTo(wanted func(lane uint32) bool) time.Time {
	var times []time.Time
	for shard := range d.shards {
		if d.lanes[shard] == 0 {
			return time.Time{}
		}
		for lane := range d.lanes[shard] {
			t := d.tracks[Lane{lane, shard}]
			switch {
			case !wanted(lane):
			case t == nil:
				return time.Time{}
			case !t.isEmpty():
				times = append(times, t.complete)
			}
		}
	}
	for key, t := range d.tracks {
		if key.Shard >= d.shards && wanted(key.Lane) && t.lacks() { // it has ended, and something of it is missing
			times = append(times, t.complete)
		}
	}
	if len(times) == 0 {
		return time.Time{}
	}
	for key, since := range d.gaps {
		if wanted(key.lane) {
			times = append(times, since)
		}
	}
	return slices.MinFunc(times, time.Time.Compare) // zero comes first
}

// Behind lists lanes that may have lost their last records. Alert if one stays in this list though you read to its end.
func (d *Detector) Behind() (found []Behind) {
	for _, shard := range slices.Sorted(maps.Keys(d.lanes)) {
		latest, others := make([]time.Time, d.lanes[shard]), time.Time{}
		for lane := range latest {
			if t := d.tracks[Lane{uint32(lane), shard}]; t != nil {
				latest[lane] = t.watermark
			}
			others = slices.MaxFunc([]time.Time{others, latest[lane]}, time.Time.Compare)
		}
		for lane, watermark := range latest {
			if watermark.Before(others) {
				found = append(found, Behind{Lane{uint32(lane), shard}, watermark, others})
			}
		}
	}
	return found
}

// OpenGaps lists the source gaps that aren't healed, sorted.
func (d *Detector) OpenGaps() []Gap {
	gaps := make([]Gap, 0, len(d.gaps))
	for key := range d.gaps {
		gaps = append(gaps, key.Gap)
	}
	slices.SortFunc(gaps, func(a, b Gap) int {
		return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.GapID, b.GapID))
	})
	return slices.Compact(gaps) // each is in every lane
}

// Lanes lists the lanes and shards that were seen, sorted.
func (d *Detector) Lanes() []Lane { return slices.SortedFunc(maps.Keys(d.tracks), Lane.compare) }

// Tally returns the counts of a lane and shard. It is zero for one that wasn't seen.
func (d *Detector) Tally(lane Lane) Tally {
	if t := d.tracks[lane]; t != nil {
		return t.tally
	}
	return Tally{}
}

// Unnumbered is how many records weren't of the bridge.
func (d *Detector) Unnumbered() uint64 { return d.unnumbered }

// RFC3339 writes a time with as many digits as it needs, in groups of three.
func RFC3339(t time.Time) string {
	switch nanos := t.Nanosecond(); {
	case nanos == 0:
		return t.Format("2006-01-02T15:04:05Z")
	case nanos%1e6 == 0:
		return t.Format("2006-01-02T15:04:05.000Z")
	case nanos%1e3 == 0:
		return t.Format("2006-01-02T15:04:05.000000Z")
	}
	return t.Format("2006-01-02T15:04:05.000000000Z")
}
