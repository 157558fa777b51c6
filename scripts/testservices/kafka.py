"""Apache Kafka: one node that is broker and controller, with settings that suit tests, and its Java tools."""

import base64
import contextlib
import os
import shutil
import socket
import struct
import subprocess
import uuid

from . import cache

# A test wants small internal topics and no waiting for a second member; topics are created on purpose only.
# All that concerns guarantees is left as Kafka ships it.
SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "inter.broker.listener.name": "BROKER",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "auto.create.topics.enable": "false",
    "log.retention.ms": "-1",
}

# Both are short-lived: the first compiler's code is enough, and one collector thread is kind to a small machine.
JVM = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]

PORTS = 2  # broker, controller

TOOLS = {
    "acls": "org.apache.kafka.tools.AclCommand",
    "configs": "kafka.admin.ConfigCommand",
    "consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "features": "org.apache.kafka.tools.FeatureCommand",
    "groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "offsets": "org.apache.kafka.tools.GetOffsetShell",
    "producer": "org.apache.kafka.tools.ConsoleProducer",
    "producer-perf": "org.apache.kafka.tools.ProducerPerformance",
    "topics": "org.apache.kafka.tools.TopicCommand",
    "transactions": "org.apache.kafka.tools.TransactionsCommand",
}


def install():
    """Fetches the jars and compiles our Java tools."""
    cache.kafka_jars()
    cache.java_classes()


def configure(folder, ports, settings):
    """Writes the configuration, and formats the storage if it is new."""
    broker, controller = (f"127.0.0.1:{port}" for port in ports)
    properties = {
        **SETTINGS,
        "listeners": f"BROKER://{broker},CONTROLLER://{controller}",
        "advertised.listeners": f"BROKER://{broker}",
        "controller.quorum.voters": f"1@{controller}",
        "log.dirs": str(folder / "data"),
        **settings,
    }
    lines = (f"{key}={value}\n" for key, value in properties.items())
    (folder / "server.properties").write_text("".join(lines))
    if not (folder / "data" / "meta.properties").exists():
        _format(folder)


def command(folder):
    """The command line of the broker."""
    return _java("kafka.Kafka", str(folder / "server.properties"), heap="512m", log_level="info")


def is_ready(folder, port):
    """Whether a broker of our cluster answers at this port (another process may have it) and may be used by clients."""
    request = struct.pack(">hhih", 3, 2, 1, -1) + struct.pack(">i", 0)  # Metadata v2, about no topic
    with contextlib.suppress(OSError, struct.error):
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            with connection.makefile("rb") as answer:
                (length,) = struct.unpack(">i", answer.read(4))
                body = answer.read(length)
        _correlation, brokers = struct.unpack_from(">ii", body)
        return brokers > 0 and _cluster_id(folder).encode() in body
    return False


def run_tool(name, arguments):
    """Becomes one of Kafka's own command-line tools."""
    _become(_java(TOOLS[name], *arguments))


def run_own(main_class, arguments):
    """Becomes one of our Java tools (tests/java)."""
    _become(_java(main_class, *arguments))


def _format(folder):
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    storage_tool = _java("kafka.tools.StorageTool", "format")
    result = subprocess.run(
        storage_tool + ["--config", str(folder / "server.properties"), f"--cluster-id={cluster}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if result.returncode != 0:
        raise cache.Failure(f"Kafka's storage can't be formatted: {result.stdout.strip()}")


def _cluster_id(folder):
    lines = (folder / "data" / "meta.properties").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)["cluster.id"]


def _java(main_class, *arguments, heap="256m", log_level="warn"):
    return [
        shutil.which("java") or "java",
        f"-Xmx{heap}",
        *JVM,
        f"-Dlog.level={log_level}",
        f"-Dlog4j2.configurationFile={cache.JAVA / 'log4j2.properties'}",
        "-cp",
        f"{cache.java_classes()}:{cache.kafka_jars()}/*",
        main_class,
        *arguments,
    ]


def _become(command_line):
    os.execv(command_line[0], command_line)
