// Reads a topic of asana_event_bridge.v1.Record: a line of JSON for each record, with the detector's verdict.
//
//	consumer --bootstrap HOST:PORT --topic TOPIC [--until-end]
//	consumer --vectors FILE...
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	consumer "git.example.com/asana-event-bridge/clients/go"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	bootstrap := flag.String("bootstrap", "", "`HOST:PORT` of a broker")
	topic := flag.String("topic", "", "the topic to read")
	untilEnd := flag.Bool("until-end", false, "end with the last record that is there now")
	vectors := flag.String("vectors", "", "run conformance vectors instead: `FILE`...")
	flag.Parse()
	if *vectors != "" {
		paths := append([]string{*vectors}, flag.Args()...)
		differences, err := check(paths)
		exitOn(err)
		fmt.Printf("%d vectors, %d differences\n", len(paths), differences)
		if differences > 0 {
			os.Exit(1)
		}
		return
	}
	if *bootstrap == "" || *topic == "" {
		flag.Usage()
		os.Exit(64)
	}
	out := bufio.NewWriter(os.Stdout)
	err := read(context.Background(), *bootstrap, *topic, *untilEnd, out)
	exitOn(errors.Join(err, out.Flush()))
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// read prints all committed records of the topic from the start on; with untilEnd, those that are there.
func read(ctx context.Context, bootstrap, topic string, untilEnd bool, out *bufio.Writer) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(bootstrap),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // the last offset of a partition is often a transaction's marker
	)
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err := errors.Join(err, starts.Error()); err != nil {
		return err
	}
	ends, err := admin.ListCommittedOffsets(ctx, topic)
	if err := errors.Join(err, ends.Error()); err != nil {
		return err
	}
	// Where the broker has deleted the oldest records, there is nothing to miss before the first one that is there.
	fromBeginning := true
	starts.Each(func(start kadm.ListedOffset) { fromBeginning = fromBeginning && start.Offset == 0 })
	unfinished := map[int32]bool{}
	ends.Each(func(end kadm.ListedOffset) {
		if start, _ := starts.Lookup(topic, end.Partition); start.Offset < end.Offset {
			unfinished[end.Partition] = true
		}
	})
	detector := consumer.NewDetector(fromBeginning)
	for !untilEnd || len(unfinished) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		for _, message := range fetches.Records() {
			if !message.Attrs.IsControl() {
				if err := show(detector, message, out); err != nil {
					return err
				}
			}
			if end, _ := ends.Lookup(topic, message.Partition); message.Offset+1 >= end.Offset {
				delete(unfinished, message.Partition)
			}
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
	return write(out, map[string]Report{"after": report(map[string]*consumer.Detector{topic: detector})})
}

func show(detector *consumer.Detector, message *kgo.Record, out io.Writer) error {
	record, err := consumer.Decode(message.Value)
	if err != nil {
		return fmt.Errorf("%s has something else than records: %w", message.Topic, err)
	}
	verdict, position := detector.Observe(record), record.GetPosition()
	line := map[string]any{
		"partition":     message.Partition,
		"offset":        message.Offset,
		"shard":         position.GetShard(),
		"epoch":         position.GetEpoch(),
		"lane_sequence": position.GetLaneSequence(),
		"stream":        position.GetStream(),
		"body":          nil,
		"key":           string(message.Key),
		"action":        nil,
		"verdict":       verdict,
	}
	reflected := record.ProtoReflect()
	if field := reflected.WhichOneof(reflected.Descriptor().Oneofs().ByName("body")); field != nil {
		line["body"] = field.Name()
	}
	if event := record.GetEvent(); event != nil {
		line["action"] = event.GetAction()
	}
	return write(out, line)
}

func write(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}
