package consumer

import (
	"encoding/json"

	pb "git.example.com/asana-event-bridge/clients/go/bridgev1"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Decode returns the record that a message's value is, in protobuf's binary form or in the JSON form.
func Decode(value []byte) (*pb.Record, error) {
	record := &pb.Record{}
	// A value in the JSON form begins with this, and one in protobuf's binary form never does.
	if len(value) == 0 || value[0] != '{' {
		return record, proto.Unmarshal(value, record)
	}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(value, record); err != nil {
		return nil, err
	}
	var objects struct {
		Snapshot, State struct{ Object json.RawMessage }
	}
	if err := json.Unmarshal(value, &objects); err != nil {
		return nil, err
	}
	if snapshot := record.GetSnapshot(); snapshot != nil && objects.Snapshot.Object != nil {
		snapshot.StateJson = string(objects.Snapshot.Object)
	}
	if state := record.GetState(); state != nil && objects.State.Object != nil {
		state.StateJson = string(objects.State.Object)
	}
	return record, nil
}
