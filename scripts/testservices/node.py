"""One process of a service, and the folder that it lives in: configuration, data, log, and `process.json`."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time

STOP_SECONDS = 30
POLL_SECONDS = 0.05


class Node:
    """A node; what its ports are for, the service knows. Clients come to the first."""

    def __init__(self, number, folder, ports=(), advertised=None, listeners=None):
        self.number = number
        self.folder = folder
        self.ports = ports
        self.advertised = advertised  # a port at 127.0.0.1 that clients are told instead of the node's own
        self.listeners = listeners or {}  # further listeners and their protocols; their ports are the last ones
        self._log_start = 0

    def address(self, which=0):
        """Where one of its ports is."""
        return f"127.0.0.1:{self.ports[which]}"

    def spawn(self, command):
        """Starts the process."""
        with open(self.log, "ab") as log:
            self._log_start = log.tell()
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C is for who started us; we then end the service ourselves
            )
        record = {"pid": process.pid, "born": _birth(process.pid)}
        unfinished = self._process.with_suffix(".new")
        unfinished.write_text(json.dumps(record) + "\n")
        unfinished.rename(self._process)

    @property
    def pid(self):
        """The process; None if it isn't there, or isn't ours (a process id can be given anew)."""
        try:
            record = json.loads(self._process.read_text())
        except FileNotFoundError:
            return None
        return record["pid"] if record["born"] is not None and record["born"] == _birth(record["pid"]) else None

    def signal(self, number):
        """Sends a signal to the process, if there is one."""
        pid = self.pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def ends(self):
        """Whether the process is gone after a while."""
        deadline = time.monotonic() + STOP_SECONDS
        while self.pid is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def said(self):
        """What the log holds since the process was started by us."""
        with open(self.log, "rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    @property
    def log(self):
        """Where the node's own log goes."""
        return self.folder / "server.log"

    @property
    def _process(self):
        return self.folder / "process.json"


def end(nodes, with_signal):
    """Ends the nodes, all at the same time; returns those that go on."""
    for node in nodes:
        node.signal(with_signal)
        node.signal(signal.SIGCONT)  # a paused process would only end when it is resumed
    return [node for node in nodes if not node.ends()]


def _birth(pid):
    """When the process began, in the kernel's ticks; None if there is none."""
    try:
        state, *fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # A dead child that its parent hasn't collected yet (Z) is as good as gone.
    return None if state in "ZX" else int(fields[18])  # starttime, the 22nd field of proc(5)
