"""Apicurio Registry: a schema registry of its own making that speaks Confluent's interface, too."""

import contextlib
import json
import shutil
import urllib.request

from . import cache

PORTS = 1

# Where Confluent's interface is.
PATH = "/apis/ccompat/v7"


def install():
    """Fetches the server."""
    cache.registry_server()


def configure(node, nodes, settings):
    """Writes the configuration; Quarkus looks for it below the working directory."""
    if len(nodes) > 1:
        raise cache.Failure("the registry has one node")
    properties = {
        "quarkus.http.host": "127.0.0.1",
        "quarkus.http.port": str(node.ports[0]),
        "apicurio.storage.kind": "sql",
        "apicurio.datasource.url": f"jdbc:h2:file:{node.folder / 'data' / 'registry'}",
        "apicurio.app.name": node.folder.name,
        "quarkus.log.level": "WARN",
        **settings,
    }
    (node.folder / "config").mkdir(exist_ok=True)
    lines = (f"{key}={value}\n" for key, value in properties.items())
    (node.folder / "config" / "application.properties").write_text("".join(lines))


def command(_node):
    """The command line of the server."""
    (jar,) = cache.registry_server().glob("*-runner.jar")
    # As for Kafka: short-lived, on a small machine.
    return [shutil.which("java") or "java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-jar", str(jar)]


def details(_node):
    """What else is told of the node: nothing."""
    return {}


def is_ready(node, _nodes):
    """Whether the server at this port is ours (another process may have the port), and its interface answers."""
    with contextlib.suppress(OSError, ValueError):
        if _get(node, "/apis/registry/v3/system/info")["name"] == node.folder.name:
            return isinstance(_get(node, f"{PATH}/subjects"), list)
    return False


def _get(node, path):
    with urllib.request.urlopen(f"http://{node.address()}{path}", timeout=10) as answer:
        return json.load(answer)
