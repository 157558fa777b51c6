// Manifests reads Kubernetes objects from standard input, as YAML, and decodes each into the type that the API server
// (or the operator that it is for) has of it: what such a type doesn't know, has twice, or has as something else, is an
// error. Prints the kinds it found.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	yamlstream "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// The parts of Strimzi's objects that the chart may use (its documentation of KafkaTopic and KafkaUser).
type (
	kafkaTopic struct {
		meta.TypeMeta   `json:",inline"`
		meta.ObjectMeta `json:"metadata"`
		Spec            struct {
			TopicName  string            `json:"topicName"`
			Partitions int32             `json:"partitions"`
			Replicas   int32             `json:"replicas"`
			Config     map[string]string `json:"config"`
		} `json:"spec"`
	}
	kafkaUser struct {
		meta.TypeMeta   `json:",inline"`
		meta.ObjectMeta `json:"metadata"`
		Spec            struct {
			Authentication struct {
				Type string `json:"type"`
			} `json:"authentication"`
			Authorization struct {
				Type string `json:"type"`
				ACLs []struct {
					Resource struct {
						Type        string `json:"type"`
						Name        string `json:"name"`
						PatternType string `json:"patternType"`
					} `json:"resource"`
					Operations []string `json:"operations"`
				} `json:"acls"`
			} `json:"authorization"`
		} `json:"spec"`
	}
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "manifests:", err)
		os.Exit(1)
	}
}

func run() error {
	if err := monitoring.AddToScheme(scheme.Scheme); err != nil {
		return err
	}
	documents := yamlstream.NewYAMLReader(bufio.NewReader(os.Stdin))
	var problems []error
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return errors.Join(problems...)
		}
		if err != nil {
			return err
		}
		kind, err := check(document)
		if err != nil {
			problems = append(problems, err)
		} else if kind != "" {
			fmt.Println(kind)
		}
	}
}

func check(document []byte) (string, error) {
	var head struct {
		meta.TypeMeta   `json:",inline"`
		meta.ObjectMeta `json:"metadata"`
	}
	text, err := yaml.YAMLToJSONStrict(document)
	if err != nil || string(text) == "null" {
		return "", err
	}
	if err := json.UnmarshalCaseSensitivePreserveInts(text, &head); err != nil {
		return "", err
	}
	into, err := typeOf(head.GroupVersionKind())
	if err != nil {
		return "", err
	}
	strict, err := json.UnmarshalStrict(text, into, json.DisallowUnknownFields, json.DisallowDuplicateFields)
	if err := errors.Join(append(strict, err)...); err != nil {
		return "", fmt.Errorf("%s %s: %w", head.Kind, head.Name, err)
	}
	return head.Kind, nil
}

func typeOf(kind schema.GroupVersionKind) (any, error) {
	switch kind.GroupKind() {
	case schema.GroupKind{Group: "kafka.strimzi.io", Kind: "KafkaTopic"}:
		return &kafkaTopic{}, nil
	case schema.GroupKind{Group: "kafka.strimzi.io", Kind: "KafkaUser"}:
		return &kafkaUser{}, nil
	}
	return scheme.Scheme.New(kind)
}
