"""Reads the new value of a custom field from an event: `custom_field(event)`.

Streams of tasks, projects and goals contain it. Streams of whole workspaces contain only which field it is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from asana_event_bridge.v1.record_pb2 import Event

# Where Asana puts the value of a field, by its kind.
VALUES = {
    "enum": "enum_value",
    "multi_enum": "multi_enum_values",
    "number": "number_value",
    "text": "text_value",
    "date": "date_value",
    "people": "people_value",
    "reference": "reference_value",
}


@dataclass(frozen=True)
class CustomField:
    """A custom field and its new value."""

    gid: str
    name: str | None
    type: str | None
    """Asana's word for the field's type, an open set."""
    kind: str
    """What `value` is: `enum`, `multi_enum`, `number`, `text`, `date`, `people`, `reference`, `empty` (somebody emptied
    the field) or `unknown` (Asana didn't send the value)."""
    value: object
    """`enum`: {gid, name}. `multi_enum`, `people`, `reference`: a list of such. `number`: int or float. `text`: str.
    `date`: {date, date_time}. None if the kind is `empty` or `unknown`."""
    display_value: str | None
    """The value as Asana shows it."""


def custom_field(event: Event) -> CustomField | None:
    """The custom field that the event changed. None if it changed something else."""
    change = event.change
    value = next((getattr(change, at) for at in ("new_value", "added_value", "removed_value") if change.HasField(at)), None)
    if value is None or value.resource.resource_type != "custom_field":
        return None
    field = value.resource
    said = json.loads(value.json or "{}")
    told = {kind: said[key] for kind, key in VALUES.items() if key in said}
    kind = next((kind for kind, value in told.items() if value not in (None, [])), "empty" if told else "unknown")
    read = value_of(kind, told.get(kind))
    return CustomField(
        gid=field.gid,
        name=field.name if field.HasField("name") else None,
        type=field.resource_subtype if field.HasField("resource_subtype") else text(said, "type"),
        kind="unknown" if kind in VALUES and read is None else kind,
        value=read,
        display_value=text(said, "display_value"),
    )


def value_of(kind, said):
    """None if it doesn't have the form that Asana describes."""
    if kind == "enum":
        return named(said)
    if kind in ("multi_enum", "people", "reference"):
        all_named = [named(item) for item in said] if isinstance(said, list) else [None]
        return None if None in all_named else all_named
    if kind == "number":
        return said if isinstance(said, (int, float)) and not isinstance(said, bool) else None
    if kind == "text":
        return said if isinstance(said, str) else None
    if kind == "date":
        date = {key: text(said, key) for key in ("date", "date_time")}
        return date if any(date.values()) else None
    return None


def named(said):
    gid = text(said, "gid")
    return None if gid is None else {"gid": gid, "name": text(said, "name")}


def text(said, key):
    value = said.get(key) if isinstance(said, dict) else None
    return value if isinstance(value, str) else None
