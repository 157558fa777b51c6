"""Prints every committed message of a topic, one JSON object a line, with Confluent's own Python client: its
deserializer finds the schema of each value in the registry, and the message within the schema.

usage: registry_read.py BOOTSTRAP TOPIC REGISTRY MESSAGE

Reads up to the last message that was there at the start. The proto folder has the code that a consumer generates.
"""

import base64
import importlib
import json
import pathlib
import sys
import tempfile

import grpc_tools
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, json_format
from grpc_tools import protoc

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"
KNOWN = pathlib.Path(grpc_tools.__file__).parent / "_proto"


class Registry(SchemaRegistryClient):
    """The deserializer asks for a compiled schema, which Confluent's server makes of the text and others leave to us."""

    def get_schema(self, schema_id, subject_name=None, fmt=None, reference_format=None):
        schema = super().get_schema(schema_id, subject_name)
        if fmt == "serialized":
            return Schema(base64.b64encode(compiled(schema.schema_str)).decode(), schema.schema_type)
        return schema


def compiled(text):
    with tempfile.TemporaryDirectory() as folder:
        source, result = pathlib.Path(folder) / "schema.proto", pathlib.Path(folder) / "schema.bin"
        source.write_text(text)
        run_protoc(f"-I{folder}", f"-o{result}", str(source))
        files = descriptor_pb2.FileDescriptorSet.FromString(result.read_bytes())
    return files.file[0].SerializeToString()


def run_protoc(*arguments):
    if protoc.main(["protoc", f"-I{KNOWN}", *arguments]) != 0:
        sys.exit("the schema does not compile")


def generated(message):
    """The class of the message, as protoc generates it."""
    with tempfile.TemporaryDirectory() as folder:
        run_protoc(f"-I{PROTO}", f"--python_out={folder}", "asana_event_bridge/v1/record.proto")
        sys.path.insert(0, folder)
        return getattr(importlib.import_module("asana_event_bridge.v1.record_pb2"), message)


def main(bootstrap, topic, registry, message):
    consumer = Consumer({
        "bootstrap.servers": bootstrap,
        "group.id": "registry-read",
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
    })
    partitions = consumer.list_topics(topic, timeout=60).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
    deserializer = ProtobufDeserializer(generated(message), {}, Registry({"url": registry}))
    left = set(partitions)
    while left:
        polled = consumer.poll(60)
        if polled is None:
            sys.exit("no end of a partition within a minute")
        if polled.error():
            if polled.error().code() != KafkaError._PARTITION_EOF:
                sys.exit(str(polled.error()))
            left.discard(polled.partition())
            continue
        value = deserializer(polled.value(), SerializationContext(topic, MessageField.VALUE))
        print(json.dumps({
            "schema_id": int.from_bytes(polled.value()[1:5], "big"),
            "headers": {key: value.decode() for key, value in polled.headers() or []},
            "message": json_format.MessageToDict(value),
        }))
    consumer.close()


main(*sys.argv[1:])
