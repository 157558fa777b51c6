package main

import (
	"cmp"
	"slices"
	"time"
)

const (
	epochsRemembered = 4
	noSequence       = ^uint64(0)
)

// Tally counts sequences read, and what was found wrong with them.
type Tally struct {
	Read       uint64 `json:"read"`
	Missing    uint64 `json:"missing"`
	Duplicates uint64 `json:"duplicates"`
	Reordered  uint64 `json:"reordered"`
	Older      uint64 `json:"older"`
}

func (t *Tally) add(other Tally) {
	t.Read += other.Read
	t.Missing += other.Missing
	t.Duplicates += other.Duplicates
	t.Reordered += other.Reordered
	t.Older += other.Older
}

type hole struct{ first, last uint64 }

func (h hole) width() uint64 { return h.last - h.first + 1 }

// counter has the sequences of one epoch: all from floor on and below next were seen, but for the holes.
type counter struct {
	epoch, floor, next uint64
	holes              []hole // ascending
}

// place says where a sequence stands, and how many are missing before it.
func (c *counter) place(sequence uint64) (string, uint64) {
	if sequence >= c.next {
		missing := c.expect(sequence - 1)
		c.next = sequence + 1
		if missing > 0 {
			return "missing", missing
		}
		return "in_order", 0
	}
	if sequence < c.floor {
		return "older", 0
	}
	at, _ := slices.BinarySearchFunc(c.holes, sequence, func(h hole, sequence uint64) int {
		return cmp.Compare(h.last, sequence)
	})
	if at == len(c.holes) || c.holes[at].first > sequence {
		return "duplicate", 0
	}
	var rest []hole
	if h := c.holes[at]; h.first < sequence {
		rest = append(rest, hole{h.first, sequence - 1})
	}
	if h := c.holes[at]; sequence < h.last {
		rest = append(rest, hole{sequence + 1, h.last})
	}
	c.holes = slices.Replace(c.holes, at, at+1, rest...)
	return "reordered", 0
}

// expect opens a hole up to last.
func (c *counter) expect(last uint64) uint64 {
	if last+1 <= c.next {
		return 0
	}
	found := hole{c.next, last}
	c.holes = append(c.holes, found)
	c.next = last + 1
	return found.width()
}

type watermark struct {
	epoch, sequence uint64
	time            time.Time
}

// track is a shard in a lane of a topic, or a stream.
type track struct {
	epochs   []*counter // ascending
	retired  uint64
	counted  Tally // of those missing, the ones that were given up
	complete time.Time
	pending  *watermark
}

func (t *track) place(epoch, sequence uint64, whole bool) (continuity string, missing uint64) {
	continuity = "older"
	if c := t.find(epoch, sequence, whole); c != nil {
		continuity, missing = c.place(sequence)
	}
	t.retire()
	t.counted.Read++
	switch continuity {
	case "duplicate":
		t.counted.Duplicates++
	case "reordered":
		t.counted.Reordered++
	case "older":
		t.counted.Older++
	}
	return continuity, missing
}

// expect says that the epoch reaches to last: how many of it are missing that weren't known to be.
func (t *track) expect(epoch, last uint64) (missing uint64) {
	if epoch == 0 || last == 0 || last == noSequence {
		return 0
	}
	if c := t.find(epoch, 1, true); c != nil {
		missing = c.expect(last)
	}
	t.retire()
	return missing
}

func (t *track) find(epoch, first uint64, whole bool) *counter {
	at, found := slices.BinarySearchFunc(t.epochs, epoch, func(c *counter, epoch uint64) int {
		return cmp.Compare(c.epoch, epoch)
	})
	if found {
		return t.epochs[at]
	}
	begins := whole || t.retired > 0 || at > 0
	if epoch <= t.retired || (!begins && len(t.epochs) > 0) {
		return nil
	}
	if begins {
		first = 1
	}
	t.epochs = slices.Insert(t.epochs, at, &counter{epoch: epoch, floor: first, next: first})
	return t.epochs[at]
}

func (t *track) retire() {
	for len(t.epochs) > epochsRemembered {
		t.retired = t.epochs[0].epoch
		t.counted.Missing += missing(t.epochs[:1])
		t.epochs = t.epochs[1:]
	}
}

func (t *track) newest() uint64 {
	if len(t.epochs) == 0 {
		return 0
	}
	return t.epochs[len(t.epochs)-1].epoch
}

// advance says whether the track has become complete up to a later time.
func (t *track) advance() bool {
	if t.pending == nil || t.counted.Missing > 0 {
		return false
	}
	for _, c := range t.epochs {
		before := c.epoch < t.pending.epoch
		if len(c.holes) > 0 && (before || c.epoch == t.pending.epoch && c.holes[0].first < t.pending.sequence) {
			return false
		}
	}
	later := t.pending.time.After(t.complete)
	if later {
		t.complete = t.pending.time
	}
	t.pending = nil
	return later
}

// latest is the time of the latest watermark, whatever is missing before it; zero if there is none.
func (t *track) latest() time.Time {
	if t.pending != nil && t.pending.time.After(t.complete) {
		return t.pending.time
	}
	return t.complete
}

func (t *track) holes() (count int) {
	for _, c := range t.epochs {
		count += len(c.holes)
	}
	return count
}

// giveUp forgets the lowest holes: what comes late for them will be older.
func (t *track) giveUp(count int) {
	for _, c := range t.epochs {
		for ; count > 0 && len(c.holes) > 0; count-- {
			t.counted.Missing += c.holes[0].width()
			c.floor = c.holes[0].last + 1
			c.holes = c.holes[1:]
		}
	}
}

func (t *track) tally() Tally {
	tally := t.counted
	tally.Missing += missing(t.epochs)
	return tally
}

func missing(epochs []*counter) (sum uint64) {
	for _, c := range epochs {
		for _, h := range c.holes {
			sum += h.width()
		}
	}
	return sum
}
