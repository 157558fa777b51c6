"""Keeps a table of all resources: `row_of(record)` is what a record means for a table with the key (stream, gid).

A port of `Op::of` of the Rust library. A resource that no crawl names isn't gone: only a record of its own removes it.
"""

from __future__ import annotations

from dataclasses import dataclass

from asana_event_bridge.v1.record_pb2 import Record, SnapshotChange


@dataclass(frozen=True)
class Row:
    """Insert it, or update the row with its key, unless that row has this place or a later one.

    If `removed` is set, delete the row with its key instead, unless that row has a later place. A place is (epoch, sequence),
    and places have the order of the stream.
    """

    stream: str
    """The stream that the resource belongs to: account/gid."""
    gid: str
    type: str
    """The resource's type, such as `task`."""
    name: str | None
    """None if the record doesn't contain it: keep the previous one."""
    parent: str | None
    """The parent's gid. None if the record doesn't contain it: keep the previous one."""
    state: str | None
    """The JSON text of all that Asana returned of the resource. None for events: keep the previous one."""
    changed_at: str | None
    """The time of the change, in RFC 3339. None if it isn't known: keep the previous one."""
    removed: str | None
    """`deleted`, or `left`: it exists, but no longer in this stream. None for a row that is there."""
    epoch: int
    sequence: int


REMOVED = {SnapshotChange.SNAPSHOT_CHANGE_DELETED: "deleted", SnapshotChange.SNAPSHOT_CHANGE_LEFT: "left"}


def row_of(record: Record) -> Row | None:
    """The row. None if the record changes nothing in the table.

    Pass each record to the `Detector` first, and leave out those that aren't new.
    """
    kind = record.WhichOneof("body")
    if kind not in ("event", "snapshot", "stand_in"):
        return None
    body = getattr(record, kind)
    # A snapshot that was read after an event belongs to no stream.
    if not body.resource.gid or not record.position.stream:
        return None
    name = parent = state = changed_at = removed = None
    if kind == "event":
        name = _optional(body.resource, "name")
        is_in_stream = record.position.stream.partition("/")[2] == body.parent.gid
        if body.action == "deleted":
            removed = "deleted"
        elif body.action == "removed" and is_in_stream:
            removed = "left"
        elif body.action == "added":
            parent = body.parent.gid or None
        changed_at = _time(body, "created_at")
    if kind == "snapshot":
        if body.change == SnapshotChange.SNAPSHOT_CHANGE_NOT_VISIBLE:
            return None
        removed = REMOVED.get(body.change)
        name = _optional(body.resource, "name")
        parent = body.parent.gid if body.HasField("parent") else None
        state = body.state_json
        changed_at = _time(body, "modified_at")
    position = record.position
    return Row(
        position.stream, body.resource.gid, body.resource.resource_type, name, parent, state, changed_at, removed,
        position.epoch, position.stream_sequence,
    )  # fmt: skip


def _optional(message, field: str) -> str | None:
    return getattr(message, field) if message.HasField(field) else None


def _time(message, field: str) -> str | None:
    return getattr(message, field).ToJsonString() if message.HasField(field) else None
