package consumer

import (
	"cmp"
	"encoding/json"
	"slices"

	pb "git.example.com/asana-event-bridge/clients/go/bridgev1"
)

// CustomField is a custom field and its new value. Type is Asana's word for the field's type, an open set.
//
// Kind says what Value is: "enum" a Named; "multi_enum", "people", "reference" a []Named; "number" a float64;
// "text" a string; "date" a Date. Value is nil if Kind is "empty" (somebody emptied the field) or "unknown" (Asana didn't
// send the value, as in streams of whole workspaces). DisplayValue is the value as Asana shows it.
type CustomField struct {
	GID          string  `json:"gid"`
	Name         *string `json:"name"`
	Type         *string `json:"type"`
	Kind         string  `json:"kind"`
	Value        any     `json:"value"`
	DisplayValue *string `json:"display_value"`
}

// Named is an option, a user, or another object.
type Named struct {
	GID  string  `json:"gid"`
	Name *string `json:"name"`
}

// Date is a day, and the time if one was set.
type Date struct {
	Date     *string `json:"date"`
	DateTime *string `json:"date_time"`
}

// values says where Asana puts the value of a field, and how it is read.
var values = []struct {
	kind, key string
	read      func(json.RawMessage) (any, bool)
}{
	{"enum", "enum_value", readNamed},
	{"multi_enum", "multi_enum_values", readAllNamed},
	{"number", "number_value", decode[float64]},
	{"text", "text_value", decode[string]},
	{"date", "date_value", readDate},
	{"people", "people_value", readAllNamed},
	{"reference", "reference_value", readAllNamed},
}

// CustomFieldOf returns the custom field that the event changed. It is nil if the event changed something else.
func CustomFieldOf(event *pb.Event) *CustomField {
	change := event.GetChange()
	value := cmp.Or(change.GetNewValue(), change.GetAddedValue(), change.GetRemovedValue())
	resource := value.GetResource()
	if resource.GetResourceType() != "custom_field" {
		return nil
	}
	said := map[string]json.RawMessage{}
	_ = json.Unmarshal([]byte(value.GetJson()), &said) // empty for a plain reference
	field := CustomField{GID: resource.GetGid(), Name: resource.Name, DisplayValue: word(said["display_value"])}
	field.Type = cmp.Or(resource.ResourceSubtype, word(said["type"]))
	field.Kind, field.Value = valueOf(said)
	return &field
}

func valueOf(said map[string]json.RawMessage) (string, any) {
	kind := "unknown"
	for _, it := range values {
		told, ok := said[it.key]
		if !ok {
			continue
		}
		if isEmpty(told) {
			kind = "empty"
		} else if value, ok := it.read(told); ok {
			return it.kind, value
		} else {
			return "unknown", nil
		}
	}
	return kind, nil
}

// isEmpty says whether it is null or a list of nothing.
func isEmpty(said json.RawMessage) bool {
	var list []json.RawMessage
	return json.Unmarshal(said, &list) == nil && len(list) == 0
}

func decode[T any](said json.RawMessage) (any, bool) {
	var value T
	err := json.Unmarshal(said, &value)
	return value, err == nil
}

func readNamed(said json.RawMessage) (any, bool) {
	value, ok := decode[Named](said)
	return value, ok && value.(Named).GID != ""
}

func readAllNamed(said json.RawMessage) (any, bool) {
	value, ok := decode[[]Named](said)
	lacksGID := func(it Named) bool { return it.GID == "" }
	return value, ok && !slices.ContainsFunc(value.([]Named), lacksGID)
}

func readDate(said json.RawMessage) (any, bool) {
	value, ok := decode[Date](said)
	date := value.(Date)
	return value, ok && (date.Date != nil || date.DateTime != nil)
}

// word is nil where there is none.
func word(said json.RawMessage) (value *string) {
	if json.Unmarshal(said, &value) != nil {
		return nil
	}
	return value
}
