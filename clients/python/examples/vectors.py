"""Runs conformance vectors (proto/conformance)."""

import base64
import json
from dataclasses import asdict

from asana_event_bridge import Detector, Event, StateTable, custom_field, decode, rfc3339
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
    if "state_table" in vector:
        yield from differences_of_table(vector["state_table"])
        return
    detectors = {step["topic"]: Detector(vector["start"] == "beginning") for step in vector["steps"]}
    for number, step in enumerate(vector["steps"]):
        record = decode(base64.b64decode(step["record"]))
        yield from differs(f"step {number}", step["verdict"], of_verdict(detectors[step["topic"]].observe(record)))
    yield from differs("after", vector["after"], after(detectors))


def differences_of_table(steps):
    table = StateTable()
    for number, step in enumerate(steps):
        table.apply(step["key"], decode(base64.b64decode(step["record"])) if step["record"] else None)
        states = {gid: state.state_json for gid, state in table.states.items()}
        yield from differs(f"states after {number}", step["states"], states)
        yield from differs(f"completeness after {number}", step["completeness"], of_completeness(table.completeness()))


def of_completeness(it):
    kinds = {
        "unknown": {},
        "loading": {"streams": it.streams},
        "complete": {
            "up_to": it.up_to and rfc3339(it.up_to),
            "open_source_gaps": it.open_source_gaps,
            "suspended": it.suspended,
            "left_out": it.left_out,
        },
    }
    return {"kind": it.kind, **kinds[it.kind]}


def differs(place, wanted, found):
    if wanted != found:
        yield f"{place}: {json.dumps(found)}, and it should be {json.dumps(wanted)}"
