package main

import (
	"cmp"
	"maps"
	"slices"
	"time"

	consumer "git.example.com/asana-event-bridge/clients/go"
)

// Report is what the detectors of some topics know at the end: counts, open source gaps, and how far each topic is complete.
type Report struct {
	Total        consumer.Tally     `json:"total"`
	Tracks       []Track            `json:"tracks"`
	Unnumbered   uint64             `json:"unnumbered"`
	OpenGaps     []consumer.Gap     `json:"open_gaps"`
	CompleteUpTo map[string]*string `json:"complete_up_to"`
	Behind       []Behind           `json:"behind"`
}

// Track is a lane and shard, with its counts.
type Track struct {
	Lane  Lane           `json:"lane"`
	Tally consumer.Tally `json:"tally"`
}

// Lane is a shard in a lane of a topic.
type Lane struct {
	Topic string `json:"topic"`
	consumer.Lane
}

// Behind is a lane that may have lost its last records.
type Behind struct {
	Key       Lane    `json:"key"`
	Watermark *string `json:"watermark"`
	Others    *string `json:"others"`
}

func report(detectors map[string]*consumer.Detector) Report {
	r := Report{Tracks: []Track{}, OpenGaps: []consumer.Gap{}, CompleteUpTo: map[string]*string{}, Behind: []Behind{}}
	for _, topic := range slices.Sorted(maps.Keys(detectors)) {
		d := detectors[topic]
		for _, lane := range d.Lanes() {
			tally := d.Tally(lane)
			add(&r.Total, tally)
			r.Tracks = append(r.Tracks, Track{Lane{topic, lane}, tally})
		}
		r.OpenGaps = append(r.OpenGaps, d.OpenGaps()...)
		r.Unnumbered += d.Unnumbered()
		r.CompleteUpTo[topic] = text(d.CompleteUpTo())
		for _, it := range d.Behind() {
			r.Behind = append(r.Behind, Behind{Lane{topic, it.Lane}, text(it.Watermark), text(it.Others)})
		}
	}
	slices.SortFunc(r.OpenGaps, func(a, b consumer.Gap) int {
		return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.GapID, b.GapID))
	})
	r.OpenGaps = slices.Compact(r.OpenGaps) // a stream may be in several topics
	return r
}

func add(total *consumer.Tally, tally consumer.Tally) {
	total.Read += tally.Read
	total.Missing += tally.Missing
	total.Duplicates += tally.Duplicates
	total.Reordered += tally.Reordered
	total.Older += tally.Older
}

func text(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	written := consumer.RFC3339(t)
	return &written
}
