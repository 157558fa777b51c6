"""One running service and the folder that it lives in: configuration, data, log, and `service.json`.

Whoever knows the folder can stop the service and start it again, with the same data at the same address.
"""

import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from . import kafka, registry
from .cache import Failure
from .nats import Nats

SERVICES = {"kafka": kafka, "nats": Nats("nats"), "nats-old": Nats("nats-old"), "registry": registry}

# Below the ports that Linux gives to outgoing connections (32768 and up): a client that keeps trying a stopped
# server's port could otherwise be given that very port as its own, and the server could not come back.
PORT_RANGE = range(20_000, 32_000)

READY_SECONDS = 180  # a Java server on a machine that has other things to do
STOP_SECONDS = 30
POLL_SECONDS = 0.05
TRIES = 5  # each with other ports: between finding a port free and using it, another process may take it


class Instance:
    """A service in its folder."""

    def __init__(self, folder, record):
        self.folder = folder
        self.record = record
        self.service = SERVICES[record["service"]]

    @classmethod
    def create(cls, name, folder=None, port=None, settings=None):
        """A new one, not yet started; without a folder it gets a temporary one."""
        temporary = folder is None
        if temporary:
            folder = tempfile.mkdtemp(prefix=f"asana-event-bridge-{name}-")
        folder = pathlib.Path(folder).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        record = {"service": name, "temporary": temporary, "port": port, "settings": settings or {}}
        return cls(folder, record)

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

    def start(self):
        """Starts the service and waits until it is ready. Returns what there is to know about it."""
        if self.is_running():
            raise Failure(f"{self.record['service']} already runs in {self.folder}")
        self.service.install()
        for _ in range(TRIES):
            ports = self.record.get("ports") or _free_ports(self.service.PORTS, self.record["port"])
            self.service.configure(self.folder, ports, self.record["settings"])
            log_start = self._spawn()
            if self._wait_until_ready(ports[0]):
                self.record["ports"] = ports
                self._save()
                return self.description()
            said = self._log_since(log_start)
            self.kill()
            if "address already in use" not in said.lower():
                tail = "\n".join(said.splitlines()[-20:])
                raise Failure(f"{self.record['service']} did not get ready; the end of {self.log}:\n{tail}")
            if "ports" in self.record or self.record["port"] is not None:
                break  # no other ports will do
        raise Failure(f"{self.record['service']} can't have its ports, another process does: {ports}")

    def description(self):
        """What is printed about a running service."""
        return {
            "service": self.record["service"],
            "address": f"127.0.0.1:{self.record['ports'][0]}",
            "pid": self.record["pid"],
            "dir": str(self.folder),
        }

    def stop(self):
        """Ends the service as an administrator would. It can be started again."""
        if not self._end(signal.SIGTERM):
            self.kill()

    def kill(self):
        """Ends the service as a crash would. It can be started again."""
        if not self._end(signal.SIGKILL):
            raise Failure(f"process {self.record['pid']} does not end")

    def down(self):
        """Ends the service for good. A temporary folder is removed, one that was asked for is kept."""
        if self.record["temporary"]:
            self.kill()
            shutil.rmtree(self.folder)
        else:
            self.stop()

    def is_running(self):
        """Whether the process is there, and is still this service (a process id can be given anew)."""
        return self.record.get("born") is not None and self.record["born"] == _birth(self.record["pid"])

    @property
    def log(self):
        """Where the service's own log goes."""
        return self.folder / "server.log"

    def _spawn(self):
        with open(self.log, "ab") as log:
            start = log.tell()
            process = subprocess.Popen(
                self.service.command(self.folder),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C is for who started us; we then end the service ourselves
            )
        self.record |= {"pid": process.pid, "born": _birth(process.pid)}
        self._save()
        return start

    def _wait_until_ready(self, port):
        deadline = time.monotonic() + READY_SECONDS
        while self.is_running() and time.monotonic() < deadline:
            if self.service.is_ready(self.folder, port):
                return True
            time.sleep(POLL_SECONDS)
        return False

    def _end(self, with_signal):
        deadline = time.monotonic() + STOP_SECONDS
        if self.is_running():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.record["pid"], with_signal)
        while self.is_running():
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def _log_since(self, start):
        with open(self.log, "rb") as log:
            log.seek(start)
            return log.read().decode(errors="replace")

    def _save(self):
        unfinished = self.folder / "service.json.new"
        unfinished.write_text(json.dumps(self.record) + "\n")
        unfinished.rename(self.folder / "service.json")


def _birth(pid):
    """When the process began, in the kernel's ticks; None if there is none."""
    try:
        state, *fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # A dead child that its parent hasn't collected yet (Z) is as good as gone.
    return None if state in "ZX" else int(fields[18])  # starttime, the 22nd field of proc(5)


def _free_ports(count, first):
    """Ports that are free at this moment; the first may be given."""
    ports = [] if first is None else [first]
    while len(ports) < count:
        port = random.choice(PORT_RANGE)
        if port not in ports and _is_free(port):
            ports.append(port)
    return ports


def _is_free(port):
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
