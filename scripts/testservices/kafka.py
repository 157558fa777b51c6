"""Apache Kafka: nodes that are broker and controller, with settings that suit tests, and its Java tools."""

import base64
import contextlib
import os
import shutil
import socket
import struct
import subprocess
import uuid

from . import cache

PROTOCOLS = "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT"

# A test wants small internal topics and no waiting for a second member; topics are created on purpose only.
# All that concerns guarantees is left as Kafka ships it.
SETTINGS = {
    "process.roles": "broker,controller",
    "inter.broker.listener.name": "BROKER",
    "controller.listener.names": "CONTROLLER",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
    "auto.create.topics.enable": "false",
    "log.retention.ms": "-1",
}

# A dead broker is noticed soon, and still not because a small machine is busy for a moment.
CLUSTER_SETTINGS = {
    "broker.heartbeat.interval.ms": "1000",
    "broker.session.timeout.ms": "6000",
    "replica.lag.time.max.ms": "10000",
}

# Both are short-lived: the first compiler's code is enough, and one collector thread is kind to a small machine.
JVM = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]

BROKER, CONTROLLER, PROXIED = range(3)
PORTS = 3

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


def configure(node, nodes, settings):
    """Writes the configuration, and formats the storage if it is new."""
    listeners = {"BROKER": node.address(BROKER), "CONTROLLER": node.address(CONTROLLER)}
    advertised = {"BROKER": node.address(BROKER)}
    if node.advertised:
        listeners["PROXIED"] = node.address(PROXIED)
        advertised["PROXIED"] = f"127.0.0.1:{node.advertised}"
    further = _further(node)
    listeners |= further
    advertised |= further
    # As in production where there are enough nodes.
    copies, in_sync = min(len(nodes), 3), min(len(nodes), 2)
    properties = {
        **SETTINGS,
        **(CLUSTER_SETTINGS if len(nodes) > 1 else {}),
        "listener.security.protocol.map": ",".join([PROTOCOLS, *(f"{name}:{it}" for name, it in node.listeners.items())]),
        "node.id": node.number,
        "listeners": _listeners(listeners),
        "advertised.listeners": _listeners(advertised),
        "controller.quorum.voters": ",".join(f"{each.number}@{each.address(CONTROLLER)}" for each in nodes),
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": in_sync,
        "log.dirs": node.folder / "data",
        **settings,
    }
    lines = (f"{key}={value}\n" for key, value in properties.items())
    (node.folder / "server.properties").write_text("".join(lines))
    if _cluster_id(node) is None:
        others = filter(None, map(_cluster_id, nodes))
        _format(node, next(others, None) or base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="))


def command(node):
    """The command line of the broker."""
    return _java("kafka.Kafka", str(node.folder / "server.properties"), heap="512m", log_level="info")


def details(node):
    """What else is told of a node."""
    upstream = {"upstream": node.address(PROXIED)} if node.advertised else {}
    return upstream | ({"listeners": _further(node)} if node.listeners else {})


def is_ready(node, nodes):
    """Whether this broker of our cluster answers at its port (another process may have it) and knows all of these."""
    request = struct.pack(">hhih", 3, 2, 1, -1) + struct.pack(">i", 0)  # Metadata v2, about no topic
    with contextlib.suppress(OSError, struct.error):
        with socket.create_connection(("127.0.0.1", node.ports[BROKER]), timeout=2) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            with connection.makefile("rb") as answer:
                (length,) = struct.unpack(">i", answer.read(4))
                body = answer.read(length)
        return {each.number for each in nodes} <= _brokers(body) and _cluster_id(node).encode() in body
    return False


def _brokers(metadata):
    """The numbers of the brokers in an answer of Metadata v2."""
    _correlation, count = struct.unpack_from(">ii", metadata)
    place, numbers = 8, set()
    for _ in range(count):
        number, host_length = struct.unpack_from(">ih", metadata, place)
        numbers.add(number)
        place += 6 + host_length + 4  # the port
        (rack_length,) = struct.unpack_from(">h", metadata, place)
        place += 2 + max(rack_length, 0)
    return numbers


def run_tool(name, arguments):
    """Becomes one of Kafka's own command-line tools."""
    _become(_java(TOOLS[name], *arguments))


def run_own(main_class, arguments):
    """Becomes one of our Java tools (tests/java)."""
    _become(_java(main_class, *arguments))


def _further(node):
    """The addresses of the listeners that were asked for."""
    return {name: node.address(PORTS + place) for place, name in enumerate(node.listeners)}


def _listeners(addresses):
    return ",".join(f"{name}://{address}" for name, address in addresses.items())


def _format(node, cluster):
    storage_tool = _java("kafka.tools.StorageTool", "format")
    result = subprocess.run(
        storage_tool + ["--config", str(node.folder / "server.properties"), f"--cluster-id={cluster}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if result.returncode != 0:
        raise cache.Failure(f"Kafka's storage can't be formatted: {result.stdout.strip()}")


def _cluster_id(node):
    """The identity of the cluster that the node's storage was formatted for; None if it wasn't yet."""
    with contextlib.suppress(FileNotFoundError):
        lines = (node.folder / "data" / "meta.properties").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)["cluster.id"]
    return None


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
