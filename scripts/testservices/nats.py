"""nats-server with JetStream, a current one and an old one."""

import contextlib
import json
import socket

from . import cache


class Nats:
    """One version of nats-server; `name` is that of the requirements file that pins it."""

    PORTS = 1

    def __init__(self, name):
        self.name = name

    def install(self):
        """Fetches the binary."""
        cache.nats_server(self.name)

    def configure(self, folder, ports, settings):
        """Writes the configuration."""
        lines = [
            f"server_name: {json.dumps(folder.name)}",
            f'listen: "127.0.0.1:{ports[0]}"',
            f"jetstream: {{ store_dir: {json.dumps(str(folder / 'data'))} }}",
            *(f"{key}: {value}" for key, value in settings.items()),
        ]
        (folder / "nats.conf").write_text("".join(f"{line}\n" for line in lines))

    def command(self, folder):
        """The command line of the server."""
        return [str(cache.nats_server(self.name)), "--config", str(folder / "nats.conf")]

    def is_ready(self, folder, port):
        """Whether the server at this port is ours (another process may have the port), and its JetStream answers."""
        request = b"CONNECT {}\r\nSUB ready 1\r\nPUB $JS.API.INFO ready 0\r\n\r\n"
        with contextlib.suppress(OSError, StopIteration, ValueError, KeyError):
            with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
                connection.sendall(request)
                with connection.makefile("rb") as lines:
                    if json.loads(next(lines).removeprefix(b"INFO "))["server_name"] != folder.name:
                        return False
                    for line in lines:
                        if line.startswith(b"MSG ready "):
                            return "error" not in json.loads(next(lines))
        return False
