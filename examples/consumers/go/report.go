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

// TrackReport is of a shard in a lane.
type TrackReport struct {
	Lane  Lane  `json:"lane"`
	Tally Tally `json:"tally"`
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

func report(detectors map[string]*Detector) Report {
	r := Report{Tracks: []TrackReport{}, OpenGaps: []Gap{}, CompleteUpTo: map[string]*string{}, Behind: []Behind{}}
	for _, topic := range slices.Sorted(maps.Keys(detectors)) {
		d := detectors[topic]
		keys := slices.SortedFunc(maps.Keys(d.tracks), func(a, b laneKey) int {
			return cmp.Or(cmp.Compare(a.lane, b.lane), cmp.Compare(a.shard, b.shard))
		})
		for _, key := range keys {
			tally := d.tracks[key].tally
			r.Total.add(tally)
			r.Tracks = append(r.Tracks, TrackReport{Lane{topic, key.lane, key.shard}, tally})
		}
		for gap := range d.gaps {
			r.OpenGaps = append(r.OpenGaps, Gap{gap.stream, gap.gapID})
		}
		r.Unnumbered += d.unnumbered
		r.CompleteUpTo[topic] = maybe(d.CompleteUpTo())
		r.Behind = append(r.Behind, behind(d, topic)...)
	}
	slices.SortFunc(r.OpenGaps, func(a, b Gap) int {
		return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.GapID, b.GapID))
	})
	r.OpenGaps = slices.Compact(r.OpenGaps) // each is in every lane
	return r
}

func (t *Tally) add(other Tally) {
	t.Read += other.Read
	t.Missing += other.Missing
	t.Duplicates += other.Duplicates
	t.Reordered += other.Reordered
	t.Older += other.Older
}

func behind(d *Detector, topic string) (found []Behind) {
	for _, shard := range slices.Sorted(maps.Keys(d.lanes)) {
		latest, others := make([]time.Time, d.lanes[shard]), time.Time{}
		for lane := range latest {
			if t := d.tracks[laneKey{uint32(lane), shard}]; t != nil {
				latest[lane] = t.watermark
			}
			others = slices.MaxFunc([]time.Time{others, latest[lane]}, time.Time.Compare)
		}
		for lane, time := range latest {
			if time.Before(others) {
				found = append(found, Behind{Lane{topic, uint32(lane), shard}, maybe(time), text(others)})
			}
		}
	}
	return found
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
