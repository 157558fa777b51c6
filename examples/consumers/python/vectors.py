"""Runs conformance vectors (proto/conformance)."""

import base64
import json

from asana_event_bridge.v1.record_pb2 import Record
from detector import Detector
from report import after


def differences(path):
    """What the detector says otherwise than the vector."""
    with open(path) as file:
        vector = json.load(file)
    detectors = {step["topic"]: Detector(vector["start"] == "beginning") for step in vector["steps"]}
    for number, step in enumerate(vector["steps"]):
        record = Record.FromString(base64.b64decode(step["record"]))
        yield from differs(f"step {number}", step["verdict"], detectors[step["topic"]].observe(record))
    yield from differs("after", vector["after"], after(detectors))


def differs(place, wanted, found):
    if wanted != found:
        yield f"{place}: {json.dumps(found)}, and it should be {json.dumps(wanted)}"
