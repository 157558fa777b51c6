package main

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"

	consumer "git.example.com/asana-event-bridge/clients/go"
	pb "git.example.com/asana-event-bridge/clients/go/bridgev1"

	"google.golang.org/protobuf/proto"
)

type vector struct {
	Start string
	Steps []struct {
		Topic   string
		Record  []byte
		Verdict any
	}
	After      any
	StateTable []struct {
		Key          string
		Record       []byte
		States       any
		Completeness any
	} `json:"state_table"`
	CustomFields []struct {
		Event       []byte
		CustomField any `json:"custom_field"`
	} `json:"custom_fields"`
}

// check runs conformance vectors (proto/conformance) and says how many answers differ.
func check(paths []string) (differences int, err error) {
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return 0, err
		}
		var v vector
		if err := json.Unmarshal(text, &v); err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
		found := 0
		switch {
		case v.CustomFields != nil:
			found, err = checkCustomFields(path, v)
		case v.StateTable != nil:
			found, err = checkStateTable(path, v)
		default:
			found, err = checkDetector(path, v)
		}
		if err != nil {
			return 0, err
		}
		differences += found
	}
	return differences, nil
}

func checkDetector(path string, v vector) (differences int, err error) {
	detectors := map[string]*consumer.Detector{}
	for number, step := range v.Steps {
		record, err := consumer.Decode(step.Record)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
		if detectors[step.Topic] == nil {
			detectors[step.Topic] = consumer.NewDetector(v.Start == "beginning")
		}
		verdict := detectors[step.Topic].Observe(record)
		differences += differs(fmt.Sprintf("%s: step %d", path, number), step.Verdict, verdict)
	}
	return differences + differs(path+": after", v.After, report(detectors)), nil
}

func checkCustomFields(path string, v vector) (differences int, err error) {
	for number, entry := range v.CustomFields {
		var event pb.Event
		if err := proto.Unmarshal(entry.Event, &event); err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
		place := fmt.Sprintf("%s: custom field %d", path, number)
		differences += differs(place, entry.CustomField, consumer.CustomFieldOf(&event))
	}
	return differences, nil
}

func checkStateTable(path string, v vector) (differences int, err error) {
	table := consumer.NewStateTable()
	for number, step := range v.StateTable {
		var record *pb.Record
		if step.Record != nil {
			if record, err = consumer.Decode(step.Record); err != nil {
				return 0, fmt.Errorf("%s: %w", path, err)
			}
		}
		table.Apply(step.Key, record)
		states := map[string]string{}
		for gid, state := range table.States {
			states[gid] = state.GetStateJson()
		}
		differences += differs(fmt.Sprintf("%s: states after %d", path, number), step.States, states)
		found := completeness(table.Completeness())
		differences += differs(fmt.Sprintf("%s: completeness after %d", path, number), step.Completeness, found)
	}
	return differences, nil
}

func completeness(it consumer.Completeness) any {
	told := map[string]any{"kind": it.Kind}
	switch it.Kind {
	case "loading":
		told["streams"] = it.Streams
	case "complete":
		told["up_to"] = nil
		if !it.UpTo.IsZero() {
			told["up_to"] = consumer.RFC3339(it.UpTo)
		}
		told["open_source_gaps"], told["suspended"], told["left_out"] = it.OpenSourceGaps, it.Suspended, it.LeftOut
	}
	return told
}

func differs(place string, wanted, found any) int {
	text, err := json.Marshal(found)
	if err != nil {
		panic(err) // our own types
	}
	var read any
	if err := json.Unmarshal(text, &read); err != nil {
		panic(err)
	}
	if reflect.DeepEqual(wanted, read) {
		return 0
	}
	should, _ := json.Marshal(wanted)
	fmt.Printf("%s: %s, and it should be %s\n", place, text, should)
	return 1
}
