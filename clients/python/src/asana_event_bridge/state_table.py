"""The table that the state topic is: the latest state of each resource, and how complete that is."""

from dataclasses import dataclass

from asana_event_bridge.v1.record_pb2 import Record, State


@dataclass(frozen=True)
class Completeness:
    """How complete a table is, as the topic says it of itself.

    `kind` is `unknown` (nothing is known just now), `loading` (`streams` weren't crawled completely yet) or `complete`: what a stream
    showed before `up_to` is in the table, apart from the exceptions that the other fields count. Unless it is `complete`, a resource
    that isn't in the table may exist.
    """

    kind: str
    streams: int = 0
    up_to: int | None = None  # in nanoseconds since 1970, by Asana's clock; `None`: not known yet
    open_source_gaps: int = 0
    suspended: int = 0
    left_out: int = 0


class StateTable:
    """Pass all messages of the state topic to `apply`, each partition in its order, from the beginning."""

    def __init__(self):
        self.states: dict[str, State] = {}
        """The latest state of each resource, by gid."""
        self._progress = {}

    def apply(self, key: str, record: Record | None) -> None:
        """Takes one message. A message without a value is a tombstone: its record is `None`."""
        body = record.WhichOneof("body") if record else None
        if body == "state":
            self.states[key] = record.state
        elif body == "state_progress":
            self._progress[record.state_progress.shard] = record.state_progress
        elif record is None:
            self.states.pop(key, None)

    def completeness(self) -> Completeness:
        """How complete the table is, if all messages were applied. The comment of `StateProgress` in the proto has the steps."""
        newest = max(self._progress.values(), key=lambda it: nanoseconds(it.read_up_to), default=None)
        # After a change of the number of shards there are records of both numbers.
        current = [it for it in self._progress.values() if it.shards == newest.shards and it.shard < newest.shards]
        if newest is None or len(current) < newest.shards:
            return Completeness("unknown")
        read_up_to = min(nanoseconds(it.read_up_to) for it in current)
        covered = [next((it for it in record.published if nanoseconds(it.at) <= read_up_to), None) for record in current]
        if None in covered:
            return Completeness("unknown")
        published = [it for it in covered if it.streams]
        if loading := sum(it.not_loaded for it in published):
            return Completeness("loading", streams=loading)
        is_known = all(it.HasField("complete_up_to") for it in published)
        return Completeness(
            "complete",
            up_to=min([read_up_to, *(nanoseconds(it.complete_up_to) for it in published)]) if is_known else None,
            open_source_gaps=sum(it.open_source_gaps for it in published),
            suspended=sum(it.suspended for it in published),
            left_out=sum(it.left_out for it in published),
        )


def nanoseconds(time):
    return time.seconds * 1_000_000_000 + time.nanos
