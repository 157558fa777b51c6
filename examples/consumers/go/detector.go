package main

import (
	"cmp"
	"time"

	pb "asana_event_bridge_consumer/bridgev1"
)

const mostHoles = 1 << 20

// Verdict is what one record says. Continuity is in_order, missing, duplicate, reordered, older, unnumbered or
// not_followed; News is what the record tells beside its place.
type Verdict struct {
	Continuity string         `json:"continuity"`
	Missing    uint64         `json:"missing,omitempty"`
	News       map[string]any `json:"news,omitempty"`
}

// key is a shard in a lane of a topic; or a stream, and the rest is empty.
type key struct {
	topic       string
	lane, shard uint32
	stream      string
}

type shardKey struct {
	topic string
	shard uint32
}

// gapKey is a source gap in a lane of a topic; those are empty where streams are followed.
type gapKey struct {
	topic         string
	lane          uint32
	stream, gapID string
}

// Detector knows from the records alone what is missing, double, late, and complete up to when: by lane for who reads
// whole topics, by stream for who reads single streams.
//
// It is a port of the bridge's own detector; proto/conformance/README.md explains the algorithm.
type Detector struct {
	byLane, fromBeginning bool
	mostHoles             int
	tracks                map[key]*track
	shards                map[string]uint32
	lanes, began          map[shardKey]uint32
	gaps                  map[gapKey]time.Time // nothing before the time is lost
	healedEarly           map[gapKey]bool
	unnumbered            uint64
	holes                 int
}

func newDetector(byLane, fromBeginning bool, mostHoles int) *Detector {
	return &Detector{
		byLane: byLane, fromBeginning: fromBeginning, mostHoles: mostHoles,
		tracks: map[key]*track{}, shards: map[string]uint32{}, lanes: map[shardKey]uint32{},
		began: map[shardKey]uint32{}, gaps: map[gapKey]time.Time{}, healedEarly: map[gapKey]bool{},
	}
}

// Observe gives the verdict on the next record of a lane of the topic.
func (d *Detector) Observe(topic string, record *pb.Record) Verdict {
	at, sequence, k := record.GetPosition(), record.GetPosition().GetLaneSequence(), key{}
	if d.byLane {
		k = key{topic: topic, lane: at.GetLane(), shard: at.GetShard()}
	} else {
		sequence, k = at.GetStreamSequence(), key{stream: at.GetStream()}
		if at.GetEpoch() > 0 && at.GetStream() == "" {
			return Verdict{Continuity: "not_followed"}
		}
	}
	if at.GetEpoch() == 0 || sequence == 0 || sequence == noSequence {
		d.unnumbered++
		return Verdict{Continuity: "unnumbered"}
	}
	whole := d.fromBeginning
	if d.byLane {
		began := d.noteLanes(shardKey{topic, at.GetShard()}, record)
		whole = whole || began > 0 && at.GetLane() >= began // who saw the lanes grow saw the new ones begin
	}
	t := d.tracks[k]
	if t == nil {
		t = &track{}
		d.tracks[k] = t
	}
	known, newest, before := whole || len(t.epochs) > 0, t.newest(), t.holes()
	var verdict Verdict
	verdict.Continuity, verdict.Missing = t.place(at.GetEpoch(), sequence, whole)
	if verdict.Continuity != "duplicate" && verdict.Continuity != "older" { // what those say was news once
		gap := gapKey{topic: k.topic, lane: k.lane, stream: at.GetStream()}
		verdict.News = d.news(t, record, gap, known, newest)
	}
	d.holes += t.holes() - before
	for d.holes > d.mostHoles {
		worst := t
		for _, other := range d.tracks {
			if other.holes() > worst.holes() {
				worst = other
			}
		}
		givenUp := (worst.holes() + 1) / 2
		worst.giveUp(givenUp)
		d.holes -= givenUp
	}
	return verdict
}

func (d *Detector) noteLanes(k shardKey, record *pb.Record) uint32 {
	switch body := record.GetBody().(type) {
	case *pb.Record_Watermark:
		d.shards[k.topic] = max(d.shards[k.topic], body.Watermark.GetShards())
		d.lanes[k] = max(d.lanes[k], body.Watermark.GetLanes())
	case *pb.Record_LanesChanged:
		d.lanes[k] = max(d.lanes[k], body.LanesChanged.GetCount())
		d.began[k] = min(cmp.Or(d.began[k], body.LanesChanged.GetPreviousCount()), body.LanesChanged.GetPreviousCount())
	}
	return d.began[k]
}

func (d *Detector) news(t *track, record *pb.Record, gap gapKey, known bool, newest uint64) map[string]any {
	at, ended, completed := record.GetPosition(), uint64(0), false
	if d.byLane {
		if start := record.GetEpochStart(); start != nil && known {
			ended = t.expect(start.GetPreviousEpoch(), start.GetPreviousLaneSequence())
		}
		if until := record.GetWatermark().GetCompleteUpTo(); until != nil {
			if t.pending == nil || t.pending.time.Before(until.AsTime()) {
				t.pending = &watermark{at.GetEpoch(), at.GetLaneSequence(), until.AsTime()}
			}
		}
		completed = t.advance()
	}
	switch body := record.GetBody().(type) {
	case *pb.Record_EpochStart:
		previous := body.EpochStart.GetPreviousEpoch()
		return map[string]any{"kind": "epoch_changed", "previous_epoch": previous, "missing": ended}
	case *pb.Record_LanesChanged:
		previous, count := body.LanesChanged.GetPreviousCount(), body.LanesChanged.GetCount()
		return map[string]any{"kind": "lanes_changed", "previous_count": previous, "count": count}
	case *pb.Record_SourceGap:
		gap.gapID = body.SourceGap.GetGapId()
		if since := body.SourceGap.GetLastCompletePollAt(); !d.healedEarly[gap] {
			d.gaps[gap] = time.Time{}
			if since != nil {
				d.gaps[gap] = since.AsTime()
			}
		}
		return map[string]any{"kind": "source_gap_opened", "gap_id": gap.gapID}
	case *pb.Record_SourceGapHealed:
		gap.gapID = body.SourceGapHealed.GetGapId()
		delete(d.gaps, gap)
		if t.holes() > 0 { // the gap's own record may be among what is missing
			d.healedEarly[gap] = true
		}
		return map[string]any{"kind": "source_gap_healed", "gap_id": gap.gapID}
	}
	if newest > 0 && newest < at.GetEpoch() {
		return map[string]any{"kind": "epoch_changed", "previous_epoch": newest, "missing": 0}
	}
	if completed {
		return map[string]any{"kind": "complete_up_to", "time": text(t.complete)}
	}
	return nil
}
