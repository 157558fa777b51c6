"""Reads a topic in batches, from offsets that the caller stores. For the recipes beside this file."""

import argparse

from asana_event_bridge import decode
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition


def options(documentation):
    parser = argparse.ArgumentParser(description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", metavar="HOST:PORT", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--database", metavar="PATH", required=True)
    parser.add_argument("--until-end", action="store_true", help="end with the last record that is there now")
    return parser.parse_args()


def batches(bootstrap, topic, offsets, until_end=False):
    """Lists of committed records. `offsets` has the next offset of each partition, and is moved behind each list."""
    settings = {
        "bootstrap.servers": bootstrap,
        "group.id": "none",  # required by the client: partitions and offsets are our own
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        "auto.offset.reset": "earliest",  # if the broker has deleted what comes next, the detector reports it
    }
    consumer = Consumer(settings)
    unfinished = set(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, it, offsets.get(it, OFFSET_BEGINNING)) for it in unfinished])
    try:
        while unfinished or not until_end:
            records = []
            for message in consumer.consume(1000, timeout=1):
                if message.error() and message.error().code() == KafkaError._PARTITION_EOF:
                    unfinished.discard(message.partition())
                elif message.error():
                    raise KafkaException(message.error())
                else:
                    records.append(decode(message.value()))
                    offsets[message.partition()] = message.offset() + 1
            if records:
                yield records
    finally:
        consumer.close()
