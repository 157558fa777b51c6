package consumer

import (
	"time"

	pb "git.example.com/asana-event-bridge/clients/go/bridgev1"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// StateTable is the table that the state topic is: the latest state of each resource, and how complete that is.
//
// Pass all messages of the topic to Apply, each partition in its order, from the beginning.
type StateTable struct {
	// States has the latest state of each resource, by gid.
	States   map[string]*pb.State
	progress map[uint32]*pb.StateProgress
}

// Completeness is how complete a table is, as the topic says it of itself. Unless Kind is "complete", a resource that isn't in the
// table may exist.
type Completeness struct {
	// Kind is "unknown" (nothing is known just now), "loading" (some streams weren't crawled completely yet) or "complete": what
	// a stream showed before UpTo is in the table, apart from the exceptions that the other fields count.
	Kind string
	// Streams is how many streams are loading.
	Streams uint32
	// UpTo is a time by Asana's clock, zero if it isn't known yet.
	UpTo           time.Time
	OpenSourceGaps uint32
	Suspended      uint32
	LeftOut        uint64
}

// NewStateTable returns an empty table.
func NewStateTable() *StateTable {
	return &StateTable{States: map[string]*pb.State{}, progress: map[uint32]*pb.StateProgress{}}
}

// Apply takes one message. A message without a value is a tombstone: its record is nil.
func (t *StateTable) Apply(key string, record *pb.Record) {
	if record == nil {
		delete(t.States, key)
	} else if state := record.GetState(); state != nil {
		t.States[key] = state
	} else if progress := record.GetStateProgress(); progress != nil {
		t.progress[progress.GetShard()] = progress
	}
}

// Completeness is how complete the table is, if all messages were applied. The comment of StateProgress in the proto has the steps.
func (t *StateTable) Completeness() Completeness {
	current := t.current()
	if current == nil {
		return Completeness{Kind: "unknown"}
	}
	readUpTo := current[0].GetReadUpTo().AsTime()
	for _, record := range current {
		readUpTo = earlier(readUpTo, record.GetReadUpTo())
	}
	told, isKnown, loading := Completeness{Kind: "complete", UpTo: readUpTo}, true, uint32(0)
	for _, record := range current {
		published := covered(record, readUpTo)
		if published == nil {
			return Completeness{Kind: "unknown"}
		}
		if published.GetStreams() == 0 {
			continue
		}
		isKnown = isKnown && published.GetCompleteUpTo() != nil
		told.UpTo = earlier(told.UpTo, published.GetCompleteUpTo())
		loading += published.GetNotLoaded()
		told.OpenSourceGaps += published.GetOpenSourceGaps()
		told.Suspended += published.GetSuspended()
		told.LeftOut += published.GetLeftOut()
	}
	if loading > 0 {
		return Completeness{Kind: "loading", Streams: loading}
	}
	if !isKnown {
		told.UpTo = time.Time{}
	}
	return told
}

// current returns the last record of each shard, or nil if one is missing. After a change of the number of shards there are
// records of both numbers.
func (t *StateTable) current() []*pb.StateProgress {
	var newest *pb.StateProgress
	for _, record := range t.progress {
		if newest == nil || record.GetReadUpTo().AsTime().After(newest.GetReadUpTo().AsTime()) {
			newest = record
		}
	}
	var current []*pb.StateProgress
	for _, record := range t.progress {
		if record.GetShards() == newest.GetShards() && record.GetShard() < newest.GetShards() {
			current = append(current, record)
		}
	}
	if len(current) < int(newest.GetShards()) {
		return nil
	}
	return current
}

// covered returns the newest of what the shard had published that every shard has read, or nil.
func covered(record *pb.StateProgress, readUpTo time.Time) *pb.PublishedProgress {
	for _, published := range record.GetPublished() {
		if !published.GetAt().AsTime().After(readUpTo) {
			return published
		}
	}
	return nil
}

func earlier(one time.Time, other *timestamppb.Timestamp) time.Time {
	if other.AsTime().Before(one) {
		return other.AsTime()
	}
	return one
}
