"""Decodes the values of messages, in both of their forms."""

import json

from google.protobuf import json_format

from asana_event_bridge.v1.record_pb2 import Record


def decode(value: bytes) -> Record:
    """The record that a message's value is, in protobuf's binary form or in the JSON form.

    Raises an error of `google.protobuf` (`DecodeError` or `ParseError`), or a `ValueError` for something that isn't JSON.
    """
    # A value in the JSON form begins with this, and one in protobuf's binary form never does.
    if not value.startswith(b"{"):
        return Record.FromString(value)
    members = json.loads(value)
    for body in ("snapshot", "state"):
        if "object" in members.get(body, {}):
            members[body]["stateJson"] = json.dumps(members[body]["object"], ensure_ascii=False, separators=(",", ":"))
    return json_format.ParseDict(members, Record(), ignore_unknown_fields=True)
