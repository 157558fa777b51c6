"""A Kubernetes control plane on loopback, without any node: etcd and what stands around it."""

import contextlib
import json
import secrets
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request

START_PATIENCE = 120


class Unreached(Exception):
    """What was waited for didn't come."""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(what, patience, holds):
    """What `holds` returns, once that is something. Nobody answering is a reason to ask again."""
    deadline = time.monotonic() + patience
    while True:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            if found := holds():
                return found
        if time.monotonic() > deadline:
            raise Unreached(f"waited in vain for {what}")
        time.sleep(0.2)


class ControlPlane:
    """Its processes, which end with `stack`, and a client."""

    def __init__(self, programs, folder, stack):
        self.programs = programs
        self.folder = folder
        self.stack = stack
        self.token = secrets.token_hex(16)
        self.port = free_port()
        self.context = ssl.create_default_context()
        # Its certificate is its own, made a moment ago.
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE

    def start(self):
        client, peer = free_port(), free_port()
        key = self.folder / "service-accounts.key"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, stderr=subprocess.DEVNULL)
        (self.folder / "tokens.csv").write_text(f'{self.token},admin,admin,"system:masters"\n')
        self._run(
            "etcd",
            f"--data-dir={self.folder}/etcd",
            f"--listen-client-urls=http://127.0.0.1:{client}",
            f"--advertise-client-urls=http://127.0.0.1:{client}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-cluster=default=http://127.0.0.1:{peer}",
            "--unsafe-no-fsync",
        )
        self._run(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{client}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={self.port}",
            f"--cert-dir={self.folder}/certificates",
            f"--token-auth-file={self.folder}/tokens.csv",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--endpoint-reconciler-type=none",
        )
        self._write_kubeconfig()
        wait_for("the API server", START_PATIENCE, lambda: self._ask("GET", "/readyz") == "ok")
        client_of = [f"--kubeconfig={self.folder}/kubeconfig", "--bind-address=127.0.0.1", "--leader-elect=false"]
        self._run(
            "kube-controller-manager",
            *client_of,
            f"--secure-port={free_port()}",
            f"--service-account-private-key-file={key}",
            "--use-service-account-credentials=false",
        )
        self._run("kube-scheduler", *client_of, f"--secure-port={free_port()}")

    def get(self, path):
        return json.loads(self._ask("GET", path))

    def post(self, path, body):
        return json.loads(self._ask("POST", path, body))

    def patch(self, path, body):
        return json.loads(self._ask("PATCH", path, body, "application/merge-patch+json"))

    def delete(self, path, body=None):
        return json.loads(self._ask("DELETE", path, body))

    def logs(self):
        return "".join(f"\n== {log.name}\n{log.read_text()[-2000:]}" for log in self.folder.glob("*.log"))

    def _run(self, name, *arguments):
        log = self.stack.enter_context(open(self.folder / f"{name}.log", "w"))
        process = subprocess.Popen([self.programs / name, *arguments], stdout=log, stderr=log, cwd=self.folder)
        self.stack.callback(end, process)

    def _write_kubeconfig(self):
        server = {"server": f"https://127.0.0.1:{self.port}", "insecure-skip-tls-verify": True}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": server}],
            "users": [{"name": "u", "user": {"token": self.token}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "c",
        }
        (self.folder / "kubeconfig").write_text(json.dumps(config))

    def _ask(self, method, path, body=None, kind="application/json"):
        request = urllib.request.Request(f"https://127.0.0.1:{self.port}{path}", method=method)
        request.add_header("Authorization", f"Bearer {self.token}")
        request.add_header("Content-Type", kind)
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(request, data, context=self.context, timeout=30) as answer:
            return answer.read().decode()


def end(process):
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
