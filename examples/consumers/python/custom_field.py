"""What a custom field was set to, out of an event: `custom_field(event)`.

Asana tells it to streams of tasks, projects and goals; from those of whole workspaces only the field itself is known.
"""

import json
from dataclasses import dataclass

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


@dataclass
class CustomField:
    gid: str
    name: str | None
    type: str | None  # Asana's word, an open set
    kind: str  # a key of VALUES, "empty", or "unknown" where Asana didn't say
    value: object  # {gid, name}, a list of such, a number, a text, or {date, date_time}; none if empty or unknown
    display_value: str | None


def custom_field(event):
    """The custom field that the event says was changed; none if it was something else."""
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
    """None where it isn't of the form that Asana describes."""
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
