package main

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Report is what a detector knows in the end: counts, open source gaps, and how far each topic is complete.
type Report struct {
	Total        Tally              `json:"total"`
	Tracks       []TrackReport      `json:"tracks"`
	Unnumbered   uint64             `json:"unnumbered"`
	OpenGaps     []Gap              `json:"open_gaps"`
	CompleteUpTo map[string]*string `json:"complete_up_to"`
	Behind       []Behind           `json:"behind"`
}

// TrackReport is of a lane or of a stream.
type TrackReport struct {
	Lane   *Lane  `json:"lane,omitempty"`
	Stream string `json:"stream,omitempty"`
	Tally  Tally  `json:"tally"`
}

// Lane is a shard in a lane of a topic.
type Lane struct {
	Topic string `json:"topic"`
	Lane  uint32 `json:"lane"`
	Shard uint32 `json:"shard"`
}

// Gap is an open source gap.
type Gap struct {
	Stream string `json:"stream"`
	GapID  string `json:"gap_id"`
}

// Behind is a lane that lacks watermarks which other lanes of the same shard have: its tail may be lost.
type Behind struct {
	Key       Lane    `json:"key"`
	Watermark *string `json:"watermark"`
	Others    string  `json:"others"`
}

func report(d *Detector, topics []string) Report {
	r := Report{
		Unnumbered: d.unnumbered, Tracks: []TrackReport{}, OpenGaps: []Gap{}, Behind: []Behind{},
		CompleteUpTo: map[string]*string{},
	}
	keys := slices.SortedFunc(maps.Keys(d.tracks), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.lane, b.lane), cmp.Compare(a.shard, b.shard),
			cmp.Compare(a.stream, b.stream))
	})
	for _, k := range keys {
		tally := d.tracks[k].tally()
		r.Total.add(tally)
		if d.byLane {
			r.Tracks = append(r.Tracks, TrackReport{Lane: &Lane{k.topic, k.lane, k.shard}, Tally: tally})
		} else {
			r.Tracks = append(r.Tracks, TrackReport{Stream: k.stream, Tally: tally})
		}
	}
	for gap := range d.gaps {
		r.OpenGaps = append(r.OpenGaps, Gap{gap.stream, gap.gapID})
	}
	slices.SortFunc(r.OpenGaps, func(a, b Gap) int {
		return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.GapID, b.GapID))
	})
	r.OpenGaps = slices.Compact(r.OpenGaps) // each is in every lane
	slices.Sort(topics)
	for _, topic := range topics {
		r.CompleteUpTo[topic] = maybe(completeUpTo(d, topic))
		r.Behind = append(r.Behind, behind(d, topic)...)
	}
	return r
}

// completeUpTo is the time up to which all shards and lanes are complete; zero if one of them lacks a watermark.
func completeUpTo(d *Detector, topic string) (least time.Time) {
	shards := shardsOf(d, topic)
	if len(shards) == 0 || len(shards) < int(d.shards[topic]) {
		return time.Time{}
	}
	var times []time.Time
	for _, lanes := range shards {
		for _, t := range lanes {
			times = append(times, t.complete)
		}
	}
	for gap, since := range d.gaps {
		if gap.topic == topic {
			times = append(times, since)
		}
	}
	return slices.MinFunc(times, time.Time.Compare) // zero comes first
}

func behind(d *Detector, topic string) (found []Behind) {
	shards := shardsOf(d, topic)
	for _, shard := range slices.Sorted(maps.Keys(shards)) {
		var others time.Time
		for _, t := range shards[shard] {
			others = slices.MaxFunc([]time.Time{others, t.latest()}, time.Time.Compare)
		}
		for lane, t := range shards[shard] {
			if t.latest().Before(others) {
				found = append(found, Behind{Lane{topic, uint32(lane), shard}, maybe(t.latest()), text(others)})
			}
		}
	}
	return found
}

// shardsOf has, for each shard that was seen, the track of each of its lanes; an empty one for a lane never seen.
func shardsOf(d *Detector, topic string) map[uint32][]*track {
	shards := map[uint32][]*track{}
	for k, t := range d.tracks {
		if !d.byLane || k.topic != topic {
			continue
		}
		lanes := shards[k.shard]
		for len(lanes) < int(max(k.lane+1, d.lanes[shardKey{topic, k.shard}])) {
			lanes = append(lanes, &track{})
		}
		lanes[k.lane] = t
		shards[k.shard] = lanes
	}
	return shards
}

func maybe(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	written := text(t)
	return &written
}

// text is RFC 3339 with as many digits as it takes, in groups of three.
func text(t time.Time) string {
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
