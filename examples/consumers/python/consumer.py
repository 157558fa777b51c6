"""Reads a topic of asana_event_bridge.v1.Record: a line of JSON for each record, with the verdict of the detector.

  python consumer.py --bootstrap localhost:9092 --topic asana.events [--until-end]
  python consumer.py --vectors FILE...
"""

import argparse
import json
import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from asana_event_bridge.v1.record_pb2 import Record
from detector import Detector
from report import after
from vectors import differences


def main():
    options = parse()
    if options.vectors:
        return check(options.vectors)
    detector = Detector()
    for message in messages(options.bootstrap, options.topic, options.until_end):
        record = Record.FromString(message.value())
        verdict = detector.observe(record)
        print(json.dumps(line(message, record, verdict), ensure_ascii=False), flush=not options.until_end)
    print(json.dumps({"after": after({options.topic: detector})}))
    return 0


def messages(bootstrap, topic, until_end):
    """All committed messages of the topic from the start on; with `until_end`, those that are there."""
    settings = {
        "bootstrap.servers": bootstrap,
        "group.id": "none",  # the client wants one; partitions are assigned by hand, and nothing is committed
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
    }
    consumer = Consumer(settings)
    try:
        metadata = consumer.list_topics(topic, timeout=30).topics[topic]
        if metadata.error:
            raise KafkaException(metadata.error)
        unfinished = set(metadata.partitions)
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in unfinished])
        while unfinished or not until_end:
            message = consumer.poll(1)
            if message is None:
                continue
            if message.error() is None:
                yield message
            elif message.error().code() == KafkaError._PARTITION_EOF:
                unfinished.discard(message.partition())
            else:
                raise KafkaException(message.error())
    finally:
        consumer.close()


def line(message, record, verdict):
    position, body = record.position, record.WhichOneof("body")
    return {
        "partition": message.partition(),
        "offset": message.offset(),
        "shard": position.shard,
        "epoch": position.epoch,
        "lane_sequence": position.lane_sequence,
        "stream": position.stream,
        "body": body,
        "key": message.key().decode() if message.key() else "",
        "action": record.event.action if body == "event" else None,
        "verdict": verdict,
    }


def check(paths):
    """Runs vectors; 1 if one of them differs."""
    found = [f"{path}: {difference}" for path in paths for difference in differences(path)]
    print(*found, f"{len(paths)} vectors, {len(found)} differences", sep="\n")
    return 1 if found else 0


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", metavar="HOST:PORT")
    parser.add_argument("--topic")
    parser.add_argument("--until-end", action="store_true", help="end with the last record that is there now")
    parser.add_argument("--vectors", metavar="FILE", nargs="+", help="run conformance vectors instead")
    options = parser.parse_args()
    if not options.vectors and not (options.bootstrap and options.topic):
        parser.error("--bootstrap and --topic, or --vectors")
    return options


if __name__ == "__main__":
    sys.exit(main())
