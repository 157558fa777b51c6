"""The kubelet's part, played, for the nodes of a control plane: pods are run, as far as a process on this machine can be one.

Real are the command, the variables, the files and where they are, the user, the capabilities (none), the root that
can't be written, the probes and what follows from them, SIGTERM and the grace period. What isn't: cgroups, seccomp, and
a network of the pod's own. In its place each pod has an address of loopback's, which is 127.1.0.N where the API server
is told 10.1.0.N: it takes no address of loopback as a pod's.
"""

import base64
import contextlib
import http.client
import os
import shutil
import signal
import subprocess
import threading
import time
import urllib.error

# The kubelet's own: how often it looks at a pod, and with it at its ConfigMaps (syncFrequency).
SYNC_SECONDS = 60
TURN_SECONDS = 0.2
HEARTBEAT_SECONDS = 10
RESTART_SECONDS = 1
# Within a container, as its runtime has it: a process keeps none of these once it is another user.
CAPABILITIES = "-all,+setuid,+setgid,+sys_chroot"


def timestamp():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class NotThereYet(Exception):
    """A pod can't start before somebody does something."""


class Kubelet(threading.Thread):
    """Of all nodes, and of one namespace."""

    def __init__(self, plane, namespace, nodes, image, folder):
        super().__init__(daemon=True)
        self.plane, self.namespace, self.image, self.folder = plane, namespace, image, folder
        self.nodes = nodes
        self.pods = {}
        self.addresses = 0
        self.stopping = threading.Event()
        self.beat_at = 0
        for name in nodes:
            plane.post("/api/v1/nodes", {"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}})

    def run(self):
        while not self.stopping.wait(TURN_SECONDS):
            with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError, http.client.HTTPException):
                if time.monotonic() > self.beat_at:
                    self._beat()
                self._turn()

    def stop(self):
        self.stopping.set()
        self.join()
        for pod in self.pods.values():
            pod.kill()

    def pod(self, name):
        return next(pod for pod in list(self.pods.values()) if pod.name == name)

    def get(self, path):
        return self.plane.get(f"/api/v1/namespaces/{self.namespace}/{path}")

    def hosts(self):
        """What DNS and kube-proxy are there for: each Service by its name, at one of its ready pods."""
        lines = ["127.0.0.1 localhost"]
        slices = self.plane.get(f"/apis/discovery.k8s.io/v1/namespaces/{self.namespace}/endpointslices")["items"]
        for found in slices:
            ready = [one["addresses"][0] for one in found.get("endpoints") or [] if one["conditions"].get("ready")]
            lines += [f"{on_loopback(address)} {found['metadata']['labels']['kubernetes.io/service-name']}" for address in ready[:1]]
        return "\n".join(lines) + "\n"

    def next_address(self):
        self.addresses += 1
        return f"10.1.0.{self.addresses}"

    def _beat(self):
        ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": timestamp()}
        room = {"cpu": "8", "memory": "16Gi", "pods": "50"}
        for name in self.nodes:
            self.plane.patch(f"/api/v1/nodes/{name}/status", {"status": {"conditions": [ready], "capacity": room, "allocatable": room}})
        self.beat_at = time.monotonic() + HEARTBEAT_SECONDS

    def _turn(self):
        there = {pod["metadata"]["uid"]: pod for pod in self.get("pods")["items"] if pod["spec"].get("nodeName") in self.nodes}
        for uid in self.pods.keys() - there.keys():
            self.pods.pop(uid).kill()
        for uid, wanted in there.items():
            if uid not in self.pods:
                self.pods[uid] = Pod(self, wanted)
            self.pods[uid].turn(wanted)


class Pod:
    """A pod on one of the nodes."""

    def __init__(self, kubelet, wanted):
        self.kubelet, self.spec, self.name = kubelet, wanted["spec"], wanted["metadata"]["name"]
        self.folder = kubelet.folder / wanted["metadata"]["uid"]
        self.folder.mkdir()
        self.address = kubelet.next_address()
        self.started_at = timestamp()
        self.volumes = Volumes(kubelet, self.folder / "volumes", wanted)
        self.containers = [Container(self, container) for container in self.spec["containers"]]
        self.synced_at = None
        self.told = None
        self.kill_at = None

    def turn(self, wanted):
        if "deletionTimestamp" in wanted["metadata"]:
            self._end(wanted)
            return
        waits_for = None
        if self.synced_at is None or time.monotonic() > self.synced_at + SYNC_SECONDS:
            try:
                self.volumes.write()
                self.synced_at = time.monotonic()
            except NotThereYet as reason:
                waits_for = str(reason)
        if self.synced_at is not None:
            for container in self.containers:
                container.turn(self.spec["restartPolicy"])
        self._tell(waits_for)

    def kill(self):
        for container in self.containers:
            container.signal(signal.SIGKILL)

    def exec(self, *arguments):
        """What `kubectl exec` does in the first container."""
        return self.containers[0].run(list(arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def _end(self, wanted):
        grace = wanted["metadata"].get("deletionGracePeriodSeconds", 30)
        if self.kill_at is None:
            self.kill_at = time.monotonic() + grace
            for container in self.containers:
                container.signal(signal.SIGTERM)
        if time.monotonic() > self.kill_at:
            self.kill()
        if not any(container.is_running() for container in self.containers):
            self.kubelet.plane.delete(self._path(), {"gracePeriodSeconds": 0, "preconditions": {"uid": wanted["metadata"]["uid"]}})

    def _tell(self, waits_for):
        ended = [container.exit_code for container in self.containers]
        phase = "Running" if self.synced_at else "Pending"
        if self.spec["restartPolicy"] == "Never" and None not in ended:
            phase = "Failed" if any(ended) else "Succeeded"
        ready = phase == "Running" and all(container.is_ready for container in self.containers)
        conditions = {"PodScheduled": True, "Initialized": True, "ContainersReady": ready, "Ready": ready}
        status = {
            "phase": phase,
            "podIP": self.address,
            "podIPs": [{"ip": self.address}],
            "conditions": [{"type": kind, "status": str(holds)} for kind, holds in conditions.items()],
            "containerStatuses": [container.status(waits_for) for container in self.containers],
        }
        if status != self.told:
            # When a Deployment counts a pod as available depends on when it got ready.
            for condition in status["conditions"]:
                condition["lastTransitionTime"] = timestamp()
            self.kubelet.plane.patch(f"{self._path()}/status", {"status": status})
            for condition in status["conditions"]:
                del condition["lastTransitionTime"]
            self.told = status

    def _path(self):
        return f"/api/v1/namespaces/{self.kubelet.namespace}/pods/{self.name}"


class Container:
    """A process that sees the image's root, and the pod's volumes in it."""

    def __init__(self, pod, spec):
        self.pod, self.spec = pod, spec
        self.root = pod.folder / f"root-{spec['name']}"
        self.log_path = pod.folder / f"{spec['name']}.log"
        self.process = None
        self.exit_code = None
        self.restarts = -1
        self.start_at = 0
        self._forget_probes()

    def turn(self, restart_policy):
        if self.process is None:
            if self.exit_code is None or (restart_policy == "Always" and time.monotonic() > self.start_at):
                self._start()
            return
        self.exit_code = self.process.poll()
        if self.exit_code is not None:
            self.process, self.is_ready = None, False
            self.start_at = time.monotonic() + RESTART_SECONDS
            return
        self._probe()

    def status(self, waits_for):
        state = {"running": {"startedAt": self.pod.started_at}}
        if self.process is None:
            state = {"waiting": {"reason": "ContainerCreating", "message": waits_for or ""}}
            if self.exit_code is not None:
                state = {"terminated": {"exitCode": self.exit_code}}
        return {
            "name": self.spec["name"],
            "image": self.spec["image"],
            "imageID": "",
            "ready": self.is_ready,
            "started": self.has_started,
            "restartCount": max(self.restarts, 0),
            "state": state,
        }

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        if self.is_running():
            self.process.send_signal(number)

    def log(self):
        return self.log_path.read_text()

    def run(self, arguments, **streams):
        return subprocess.run(self._command(arguments), env=self._environment(), **streams)

    def _start(self):
        if not self.root.exists():
            # Hard links: nothing is written to it.
            shutil.copytree(self.pod.kubelet.image, self.root, copy_function=os.link)
            for mount in self.spec["volumeMounts"]:
                (self.root / mount["mountPath"].lstrip("/")).mkdir(parents=True, exist_ok=True)
            for folder in ("dev", "proc"):
                (self.root / folder).mkdir()
            (self.root / "etc/hosts").write_text(self.pod.kubelet.hosts())
        self._forget_probes()
        self.restarts += 1
        with open(self.log_path, "a") as log:
            self.process = subprocess.Popen(self._command(self.spec["args"]), env=self._environment(), stdout=log, stderr=log)

    def _command(self, arguments):
        """The arguments behind the image's entry point, where and as whom the pod says: a shell makes the mounts, and becomes the process."""
        security = {**self.pod.spec["securityContext"], **self.spec["securityContext"]}
        assert security["runAsNonRoot"] and not security["allowPrivilegeEscalation"] and security["capabilities"]["drop"] == ["ALL"], security
        lines = [f"mount --rbind /{folder} {self.root}/{folder}" for folder in ("dev", "proc")]
        lines.insert(0, f"mount --bind {self.root} {self.root}")
        for mount in self.spec["volumeMounts"]:
            target = f"{self.root}{mount['mountPath']}"
            lines.append(f"mount --bind {self.pod.volumes.folder / mount['name']} {target}")
            if mount.get("readOnly"):
                lines.append(f"mount -o remount,bind,ro {target}")
        if security["readOnlyRootFilesystem"]:
            lines.append(f"mount -o remount,bind,ro {self.root}")
        who = f"--userspec={security['runAsUser']}:{security['runAsGroup']} --groups={security['fsGroup']}"
        lines.append(f'exec setpriv --no-new-privs --bounding-set={CAPABILITIES} chroot {who} {self.root} /usr/bin/asana-event-bridge "$@"')
        script = "set -e; " + "; ".join(lines)
        return ["unshare", "--mount", "--propagation=private", "sh", "-c", script, "sh", *arguments]

    def _environment(self):
        # Where a pod's own network would be: all of its ports, at an address that others don't use.
        environment = {"ASANA_EVENT_BRIDGE__ADMIN__LISTEN": f"{on_loopback(self.pod.address)}:8080", "PATH": os.environ["PATH"]}
        for variable in self.spec["env"]:
            field = variable.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
            assert "value" in variable or field == "metadata.name", variable
            environment[variable["name"]] = variable.get("value", self.pod.name)
        return environment

    def _forget_probes(self):
        self.has_started = "startupProbe" not in self.spec
        self.is_ready = self.has_started and "readinessProbe" not in self.spec
        self.failures, self.due = {}, {}

    def _probe(self):
        """Until the startup probe succeeds there is no other."""
        if not self.has_started:
            if self._asks("startupProbe"):
                self.has_started = self._succeeds("startupProbe")
            if self._has_failed("startupProbe"):
                self.signal(signal.SIGTERM)
            return
        if self._asks("readinessProbe"):
            if self._succeeds("readinessProbe"):
                self.is_ready = True
            elif self._has_failed("readinessProbe"):
                self.is_ready = False
        if self._asks("livenessProbe"):
            self._succeeds("livenessProbe")
            if self._has_failed("livenessProbe"):
                self.signal(signal.SIGTERM)

    def _asks(self, probe):
        if probe not in self.spec or time.monotonic() < self.due.get(probe, 0):
            return False
        self.due[probe] = time.monotonic() + self.spec[probe]["periodSeconds"]
        return True

    def _succeeds(self, probe):
        ask = self.spec[probe]["httpGet"]
        port = next(port["containerPort"] for port in self.spec["ports"] if port["name"] == ask["port"])
        connection = http.client.HTTPConnection(on_loopback(self.pod.address), port, timeout=self.spec[probe]["timeoutSeconds"])
        try:
            connection.request("GET", ask["path"])
            fine = 200 <= connection.getresponse().status < 400
        except (OSError, http.client.HTTPException):
            fine = False
        finally:
            connection.close()
        self.failures[probe] = 0 if fine else self.failures.get(probe, 0) + 1
        return fine

    def _has_failed(self, probe):
        return self.failures.get(probe, 0) >= self.spec[probe]["failureThreshold"]


class Volumes:
    """A pod's volumes, each in a folder. Files of ConfigMaps and Secrets are replaced all at once, behind a link."""

    def __init__(self, kubelet, folder, wanted):
        self.kubelet, self.folder = kubelet, folder
        self.group = wanted["spec"]["securityContext"]["fsGroup"]
        self.volumes = wanted["spec"]["volumes"]
        self.written = {}
        folder.mkdir()

    def write(self):
        for volume in self.volumes:
            folder = self.folder / volume["name"]
            if "emptyDir" in volume:
                folder.mkdir(exist_ok=True)
                os.chown(folder, 0, self.group)
                folder.chmod(0o2777)
            elif "configMap" in volume:
                found = self._get("configmaps", volume["configMap"]["name"]).get("data", {})
                files = {name: text.encode() for name, text in found.items()}
                self._project(folder, files, volume["configMap"])
            elif "secret" in volume:
                found = self._get("secrets", volume["secret"]["secretName"]).get("data", {})
                files = {name: base64.b64decode(text) for name, text in found.items()}
                self._project(folder, files, volume["secret"])
            else:
                raise AssertionError(f"a volume that isn't played: {volume}")

    def _get(self, kind, name):
        try:
            return self.kubelet.get(f"{kind}/{name}")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                raise NotThereYet(f"{kind} {name!r} not found") from error
            raise

    def _project(self, volume, files, source):
        if "items" in source:
            files = {item["path"]: files[item["key"]] for item in source["items"]}
        if self.written.get(volume) == files:
            return
        volume.mkdir(exist_ok=True)
        version = volume / f"..{time.monotonic_ns()}"
        version.mkdir()
        for name, content in files.items():
            (version / name).write_bytes(content)
            os.chown(version / name, 0, self.group)
            (version / name).chmod(source["defaultMode"])
            if not (volume / name).is_symlink():
                (volume / name).symlink_to(f"..data/{name}")
        (volume / "..new").symlink_to(version.name)
        os.replace(volume / "..new", volume / "..data")
        self.written[volume] = files


def on_loopback(address):
    return address.replace("10.1.", "127.1.", 1)
