"""nats-server with JetStream, a current one and an old one."""

import contextlib
import http.client
import json
import socket

from . import cache

CLIENT, ROUTE, MONITOR = range(3)


class Nats:
    """One version of nats-server; `name` is that of the requirements file that pins it."""

    PORTS = 3

    def __init__(self, name):
        self.name = name

    def install(self):
        """Fetches the binary."""
        cache.nats_server(self.name)

    def configure(self, node, nodes, settings):
        """Writes the configuration."""
        lines = [
            f"server_name: {json.dumps(_server_name(node))}",
            f'listen: "{node.address(CLIENT)}"',
            f'http: "{node.address(MONITOR)}"',
            f"jetstream: {{ store_dir: {json.dumps(str(node.folder / 'data'))} }}",
        ]
        if len(nodes) > 1:
            routes = ", ".join(f'"nats://{each.address(ROUTE)}"' for each in nodes)
            lines.append(f'cluster: {{ name: test, listen: "{node.address(ROUTE)}", routes: [{routes}] }}')
        if node.advertised:
            lines.append(f'client_advertise: "127.0.0.1:{node.advertised}"')
        lines += [f"{key}: {value}" for key, value in settings.items()]
        (node.folder / "nats.conf").write_text("".join(f"{line}\n" for line in lines))

    def command(self, node):
        """The command line of the server."""
        return [str(cache.nats_server(self.name)), "--config", str(node.folder / "nats.conf")]

    def details(self, node):
        """What else is told of a node."""
        details = {"name": _server_name(node), "monitor": node.address(MONITOR)}
        return details | ({"upstream": node.address(CLIENT)} if node.advertised else {})

    def is_ready(self, node, nodes):
        """Whether the server at this port is ours (another process may have the port), its JetStream is up to date,
        and, where there are several nodes, a JetStream stream can have a replica on each."""
        with contextlib.suppress(OSError, http.client.HTTPException, StopIteration, ValueError, KeyError):
            if not _is_healthy(node):
                return False
            if len(nodes) == 1:
                return "error" not in _ask(node, "INFO", b"")
            probe = {"name": f"ready-{node.number}", "num_replicas": len(nodes), "storage": "memory"}
            made = _ask(node, f"STREAM.CREATE.{probe['name']}", json.dumps(probe).encode())
            return "error" not in made and "error" not in _ask(node, f"STREAM.DELETE.{probe['name']}", b"")
        return False


def _server_name(node):
    return f"{node.folder.parent.name}-{node.folder.name}"


def _is_healthy(node):
    connection = http.client.HTTPConnection("127.0.0.1", node.ports[MONITOR], timeout=2)
    with contextlib.closing(connection):
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        answer.read()
        return answer.status == http.client.OK


def _ask(node, subject, payload):
    """The answer of JetStream at this node, which must be ours."""
    request = b"CONNECT {}\r\nSUB ready 1\r\n"
    request += b"PUB $JS.API.%s ready %d\r\n%s\r\n" % (subject.encode(), len(payload), payload)
    with socket.create_connection(("127.0.0.1", node.ports[CLIENT]), timeout=2) as connection:
        connection.sendall(request)
        with connection.makefile("rb") as lines:
            if json.loads(next(lines).removeprefix(b"INFO "))["server_name"] != _server_name(node):
                raise ValueError("another server")
            for line in lines:
                if line.startswith(b"MSG ready "):
                    return json.loads(next(lines))
                if line.startswith(b"-ERR 'Authorization Violation'"):
                    return {}  # it is up, and lets nobody in whom it doesn't know
            raise ValueError("no answer")
