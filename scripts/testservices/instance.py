"""One running service, of one node or of several, and the folder that it lives in, with its `service.json`.

Whoever knows the folder can stop the service and start it again, with the same data at the same addresses.
"""

import json
import pathlib
import random
import shutil
import signal
import socket
import tempfile
import time

from . import kafka, registry
from .cache import Failure
from .nats import Nats
from .node import POLL_SECONDS, Node, end

SERVICES = {"kafka": kafka, "nats": Nats("nats"), "nats-old": Nats("nats-old"), "registry": registry}

# Below the ports that Linux gives to outgoing connections (32768 and up): a client that keeps trying a stopped
# server's port could otherwise be given that very port as its own, and the server could not come back.
PORT_RANGE = range(20_000, 32_000)

READY_SECONDS = 180  # a Java server on a machine that has other things to do
TRIES = 5  # each with other ports: between finding a port free and using it, another process may take it


class Instance:
    """A service in its folder. `record` is what `service.json` holds."""

    def __init__(self, folder, record):
        self.folder = folder
        self.record = record
        self.service = SERVICES[record["service"]]

    @classmethod
    def create(cls, name, folder=None, nodes=1, port=None, advertised=None, settings=None, listeners=None):
        """A new one, not yet started; without a folder it gets a temporary one."""
        if listeners and SERVICES[name] is not kafka:
            raise Failure(f"{name} has no further listeners")
        temporary = folder is None
        if temporary:
            folder = tempfile.mkdtemp(prefix=f"asana-event-bridge-{name}-")
        folder = pathlib.Path(folder).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        record = {"service": name, "temporary": temporary, "nodes": nodes, "port": port, "ports": None}
        return cls(folder, record | {"advertised": advertised, "settings": settings or {}, "listeners": listeners or {}})

    @classmethod
    def open(cls, folder):
        """The one that lives in this folder."""
        folder = pathlib.Path(folder).resolve()
        try:
            return cls(folder, json.loads((folder / "service.json").read_text()))
        except FileNotFoundError:
            raise Failure(f"no service lives in {folder}") from None

    @classmethod
    def lives_in(cls, folder):
        """Whether a service lives, or lived and was stopped, in this folder."""
        return (pathlib.Path(folder) / "service.json").exists()

    def start(self, number=None):
        """Starts the nodes that don't run, or the one of this number, and waits until they are ready."""
        starting = [node.number for node in self.nodes(number) if node.pid is None]
        if not starting:
            raise Failure(f"{self.record['service']} already runs in {self.folder}")
        self.service.install()
        for _ in range(TRIES):
            each = self.service.PORTS + len(self.record["listeners"])
            ports = self.record["ports"] or _free_ports(each, self.record["nodes"], self.record["port"])
            everyone = self.nodes(ports=ports)
            nodes = [node for node in everyone if node.number in starting]
            if self.record["ports"] is None:
                self._save()  # before anything runs: it says where to look for what is to be ended
            for node in nodes:
                self.service.configure(node, everyone, self.record["settings"])
                node.spawn(self.service.command(node))
            late = self._late(nodes)
            if late is None:
                if self.record["ports"] is None:
                    self.record["ports"] = ports
                    self._save()
                return self.description()
            end(nodes, signal.SIGKILL)
            if not any("address already in use" in node.said().lower() for node in nodes):
                tail = "\n".join(late.said().splitlines()[-20:])
                raise Failure(f"{self.record['service']} did not get ready; the end of {late.log}:\n{tail}")
            if self.record["ports"] is not None or self.record["port"] is not None:
                break  # no other ports will do
        raise Failure(f"{self.record['service']} can't have its ports, another process does: {ports}")

    def description(self):
        """What is printed about a running service."""
        nodes = self.nodes()
        return {
            "service": self.record["service"],
            "address": ",".join(node.address() for node in nodes),
            "dir": str(self.folder),
            "nodes": [
                {"id": node.number, "address": node.address(), "pid": node.pid} | self.service.details(node)
                for node in nodes
            ],
        }

    def stop(self, number=None):
        """Ends the nodes as an administrator would. They can be started again."""
        end(end(self.nodes(number), signal.SIGTERM), signal.SIGKILL)

    def kill(self, number=None):
        """Ends the nodes as a crash would. They can be started again."""
        for node in end(self.nodes(number), signal.SIGKILL):
            raise Failure(f"process {node.pid} does not end")

    def reload(self, settings):
        """Has the running nodes read their configuration again, with these settings changed."""
        if not isinstance(self.service, Nats):
            raise Failure(f"{self.record['service']} does not read its configuration again: stop it and start it")
        self.record["settings"] |= settings
        self._save()
        nodes = self.nodes()
        for node in nodes:
            self.service.configure(node, nodes, self.record["settings"])
            node.signal(signal.SIGHUP)

    def pause(self, number=None):
        """Nodes that neither answer nor are gone."""
        for node in self.nodes(number):
            node.signal(signal.SIGSTOP)

    def resume(self, number=None):
        """The end of a pause."""
        for node in self.nodes(number):
            node.signal(signal.SIGCONT)

    def down(self):
        """Ends the service for good. A temporary folder is removed, one that was asked for is kept."""
        if self.record["temporary"]:
            self.kill()
            shutil.rmtree(self.folder)
        else:
            self.stop()

    def nodes(self, number=None, ports=None):
        """All nodes, or the one of this number. A single node lives in the folder of the service itself."""
        count = self.record["nodes"]
        numbers = range(1, count + 1)
        if number is not None and number not in numbers:
            raise Failure(f"{self.record['service']} in {self.folder} has {count} node(s), and none is number {number}")
        ports = ports or self.record["ports"] or [[]] * count
        advertised = self.record["advertised"] or [None] * count
        nodes = []
        for each in numbers:
            folder = self.folder if count == 1 else self.folder / f"node-{each}"
            folder.mkdir(exist_ok=True)
            nodes.append(Node(each, folder, ports[each - 1], advertised[each - 1], self.record["listeners"]))
        return nodes if number is None else [nodes[number - 1]]

    def _late(self, nodes):
        """The first of the nodes that ended or is late; None when all of them are ready."""
        deadline = time.monotonic() + READY_SECONDS
        waiting = list(nodes)
        while waiting:
            for node in list(waiting):
                if node.pid is None or time.monotonic() > deadline:
                    return node
                if self.service.is_ready(node, nodes):
                    waiting.remove(node)
            time.sleep(POLL_SECONDS)
        return None

    def _save(self):
        unfinished = self.folder / "service.json.new"
        unfinished.write_text(json.dumps(self.record) + "\n")
        unfinished.rename(self.folder / "service.json")


def _free_ports(each, nodes, first):
    """Ports that are free at this moment, so many for each node; the first may be given."""
    ports = [] if first is None else [first]
    while len(ports) < each * nodes:
        port = random.choice(PORT_RANGE)
        if port not in ports and _is_free(port):
            ports.append(port)
    return [ports[node * each : (node + 1) * each] for node in range(nodes)]


def _is_free(port):
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
