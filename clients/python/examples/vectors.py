"""Runs conformance vectors (proto/conformance)."""

import base64
import json
from dataclasses import asdict

from asana_event_bridge import Detector, Event, custom_field, decode
from report import after, of_verdict


def differences(path):
    """What is said otherwise than the vector has it: by the detector, or of custom fields."""
    with open(path) as file:
        vector = json.load(file)
    if "custom_fields" in vector:
        for number, entry in enumerate(vector["custom_fields"]):
            field = custom_field(Event.FromString(base64.b64decode(entry["event"])))
            yield from differs(f"custom field {number}", entry["custom_field"], field and asdict(field))
        return
    detectors = {step["topic"]: Detector(vector["start"] == "beginning") for step in vector["steps"]}
    for number, step in enumerate(vector["steps"]):
        record = decode(base64.b64decode(step["record"]))
        yield from differs(f"step {number}", step["verdict"], of_verdict(detectors[step["topic"]].observe(record)))
    yield from differs("after", vector["after"], after(detectors))


def differs(place, wanted, found):
    if wanted != found:
        yield f"{place}: {json.dumps(found)}, and it should be {json.dumps(wanted)}"
