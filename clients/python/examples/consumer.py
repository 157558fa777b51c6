"""Reads a topic of asana_event_bridge.v1.Record: a line of JSON for each record, with the verdict of the detector.

  python consumer.py --bootstrap localhost:9092 --topic asana.events [--until-end]
  python consumer.py --vectors FILE...
"""

import argparse
import json
import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from asana_event_bridge import Detector, decode
from report import after, of_verdict
from vectors import differences

LOOK = 60  # seconds between looks for new partitions


def main():
    options = parse()
    if options.vectors:
        return check(options.vectors)
    consumer = connect(options.bootstrap)
    try:
        read(consumer, options.topic, options.until_end)
    finally:
        consumer.close()
    return 0


def read(consumer, topic, until_end):
    """Prints all committed messages of the topic from the start on; with `until_end`, those that are there."""
    partitions = find(consumer, topic)
    lowest = [consumer.get_watermark_offsets(partition, timeout=30)[0] for partition in partitions]
    # Where the broker has deleted the oldest records, there is nothing to miss before the first one that is there.
    detector = Detector(from_beginning=not any(lowest))
    for message in messages(consumer, topic, partitions, until_end):
        record = decode(message.value())
        verdict = detector.observe(record)
        print(json.dumps(line(message, record, verdict), ensure_ascii=False), flush=not until_end)
    print(json.dumps({"after": after({topic: detector})}))


def connect(bootstrap):
    settings = {
        "bootstrap.servers": bootstrap,
        "group.id": "none",  # the client wants one; partitions are assigned by hand, and nothing is committed
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
    }
    return Consumer(settings)


def find(consumer, topic):
    metadata = consumer.list_topics(topic, timeout=30).topics[topic]
    if metadata.error:
        raise KafkaException(metadata.error)
    return [TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in metadata.partitions]


def messages(consumer, topic, partitions, until_end):
    consumer.assign(partitions)
    known = {partition.partition for partition in partitions}
    unfinished, looked = set(known), time.monotonic()
    while unfinished or not until_end:
        if not until_end and time.monotonic() > looked + LOOK:
            looked = time.monotonic()
            consumer.incremental_assign([new for new in find(consumer, topic) if new.partition not in known])
            known = {partition.partition for partition in consumer.assignment()}
        message = consumer.poll(1)
        if message is None:
            continue
        if message.error() is None:
            yield message
        elif message.error().code() == KafkaError._PARTITION_EOF:
            unfinished.discard(message.partition())
        else:
            raise KafkaException(message.error())


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
        "verdict": of_verdict(verdict),
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
