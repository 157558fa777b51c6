import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CrawlReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CRAWL_REASON_UNSPECIFIED: _ClassVar[CrawlReason]
    CRAWL_REASON_SOURCE_GAP: _ClassVar[CrawlReason]
    CRAWL_REASON_RECONCILIATION: _ClassVar[CrawlReason]
    CRAWL_REASON_INITIAL: _ClassVar[CrawlReason]

class SnapshotChange(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SNAPSHOT_CHANGE_UNSPECIFIED: _ClassVar[SnapshotChange]
    SNAPSHOT_CHANGE_CREATED: _ClassVar[SnapshotChange]
    SNAPSHOT_CHANGE_UPDATED: _ClassVar[SnapshotChange]
    SNAPSHOT_CHANGE_UNCHANGED: _ClassVar[SnapshotChange]
    SNAPSHOT_CHANGE_DELETED: _ClassVar[SnapshotChange]
    SNAPSHOT_CHANGE_LEFT: _ClassVar[SnapshotChange]
    SNAPSHOT_CHANGE_NOT_VISIBLE: _ClassVar[SnapshotChange]

class SnapshotReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SNAPSHOT_REASON_UNSPECIFIED: _ClassVar[SnapshotReason]
    SNAPSHOT_REASON_CHANGED: _ClassVar[SnapshotReason]

class SourceGapReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SOURCE_GAP_REASON_UNSPECIFIED: _ClassVar[SourceGapReason]
    SOURCE_GAP_REASON_TOKEN_EXPIRED: _ClassVar[SourceGapReason]
    SOURCE_GAP_REASON_TOKEN_REFUSED: _ClassVar[SourceGapReason]
    SOURCE_GAP_REASON_CHECKPOINT_LOST: _ClassVar[SourceGapReason]

class Restored(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESTORED_UNSPECIFIED: _ClassVar[Restored]
    RESTORED_STATE: _ClassVar[Restored]
    RESTORED_PART_OF_STATE: _ClassVar[Restored]
CRAWL_REASON_UNSPECIFIED: CrawlReason
CRAWL_REASON_SOURCE_GAP: CrawlReason
CRAWL_REASON_RECONCILIATION: CrawlReason
CRAWL_REASON_INITIAL: CrawlReason
SNAPSHOT_CHANGE_UNSPECIFIED: SnapshotChange
SNAPSHOT_CHANGE_CREATED: SnapshotChange
SNAPSHOT_CHANGE_UPDATED: SnapshotChange
SNAPSHOT_CHANGE_UNCHANGED: SnapshotChange
SNAPSHOT_CHANGE_DELETED: SnapshotChange
SNAPSHOT_CHANGE_LEFT: SnapshotChange
SNAPSHOT_CHANGE_NOT_VISIBLE: SnapshotChange
SNAPSHOT_REASON_UNSPECIFIED: SnapshotReason
SNAPSHOT_REASON_CHANGED: SnapshotReason
SOURCE_GAP_REASON_UNSPECIFIED: SourceGapReason
SOURCE_GAP_REASON_TOKEN_EXPIRED: SourceGapReason
SOURCE_GAP_REASON_TOKEN_REFUSED: SourceGapReason
SOURCE_GAP_REASON_CHECKPOINT_LOST: SourceGapReason
RESTORED_UNSPECIFIED: Restored
RESTORED_STATE: Restored
RESTORED_PART_OF_STATE: Restored

class Record(_message.Message):
    __slots__ = ("position", "received_at", "event", "stand_in", "snapshot", "snapshot_begin", "snapshot_end", "source_gap", "source_gap_healed", "epoch_start", "watermark", "lanes_changed", "stream_suspended", "stream_resumed", "stream_ended", "state", "state_progress")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    STAND_IN_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_BEGIN_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_END_FIELD_NUMBER: _ClassVar[int]
    SOURCE_GAP_FIELD_NUMBER: _ClassVar[int]
    SOURCE_GAP_HEALED_FIELD_NUMBER: _ClassVar[int]
    EPOCH_START_FIELD_NUMBER: _ClassVar[int]
    WATERMARK_FIELD_NUMBER: _ClassVar[int]
    LANES_CHANGED_FIELD_NUMBER: _ClassVar[int]
    STREAM_SUSPENDED_FIELD_NUMBER: _ClassVar[int]
    STREAM_RESUMED_FIELD_NUMBER: _ClassVar[int]
    STREAM_ENDED_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STATE_PROGRESS_FIELD_NUMBER: _ClassVar[int]
    position: Position
    received_at: _timestamp_pb2.Timestamp
    event: Event
    stand_in: StandIn
    snapshot: Snapshot
    snapshot_begin: SnapshotBegin
    snapshot_end: SnapshotEnd
    source_gap: SourceGap
    source_gap_healed: SourceGapHealed
    epoch_start: EpochStart
    watermark: Watermark
    lanes_changed: LanesChanged
    stream_suspended: StreamSuspended
    stream_resumed: StreamResumed
    stream_ended: StreamEnded
    state: State
    state_progress: StateProgress
    def __init__(self, position: _Optional[_Union[Position, _Mapping]] = ..., received_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., event: _Optional[_Union[Event, _Mapping]] = ..., stand_in: _Optional[_Union[StandIn, _Mapping]] = ..., snapshot: _Optional[_Union[Snapshot, _Mapping]] = ..., snapshot_begin: _Optional[_Union[SnapshotBegin, _Mapping]] = ..., snapshot_end: _Optional[_Union[SnapshotEnd, _Mapping]] = ..., source_gap: _Optional[_Union[SourceGap, _Mapping]] = ..., source_gap_healed: _Optional[_Union[SourceGapHealed, _Mapping]] = ..., epoch_start: _Optional[_Union[EpochStart, _Mapping]] = ..., watermark: _Optional[_Union[Watermark, _Mapping]] = ..., lanes_changed: _Optional[_Union[LanesChanged, _Mapping]] = ..., stream_suspended: _Optional[_Union[StreamSuspended, _Mapping]] = ..., stream_resumed: _Optional[_Union[StreamResumed, _Mapping]] = ..., stream_ended: _Optional[_Union[StreamEnded, _Mapping]] = ..., state: _Optional[_Union[State, _Mapping]] = ..., state_progress: _Optional[_Union[StateProgress, _Mapping]] = ...) -> None: ...

class Position(_message.Message):
    __slots__ = ("shard", "epoch", "lane", "lane_sequence", "stream", "stream_sequence")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    LANE_FIELD_NUMBER: _ClassVar[int]
    LANE_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    STREAM_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    shard: int
    epoch: int
    lane: int
    lane_sequence: int
    stream: str
    stream_sequence: int
    def __init__(self, shard: _Optional[int] = ..., epoch: _Optional[int] = ..., lane: _Optional[int] = ..., lane_sequence: _Optional[int] = ..., stream: _Optional[str] = ..., stream_sequence: _Optional[int] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("action", "resource", "parent", "change", "created_at", "user", "type", "fingerprint", "raw_json")
    ACTION_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    RAW_JSON_FIELD_NUMBER: _ClassVar[int]
    action: str
    resource: Resource
    parent: Resource
    change: Change
    created_at: _timestamp_pb2.Timestamp
    user: Resource
    type: str
    fingerprint: bytes
    raw_json: str
    def __init__(self, action: _Optional[str] = ..., resource: _Optional[_Union[Resource, _Mapping]] = ..., parent: _Optional[_Union[Resource, _Mapping]] = ..., change: _Optional[_Union[Change, _Mapping]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., user: _Optional[_Union[Resource, _Mapping]] = ..., type: _Optional[str] = ..., fingerprint: _Optional[bytes] = ..., raw_json: _Optional[str] = ...) -> None: ...

class Resource(_message.Message):
    __slots__ = ("gid", "resource_type", "name", "resource_subtype")
    GID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_TYPE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_SUBTYPE_FIELD_NUMBER: _ClassVar[int]
    gid: str
    resource_type: str
    name: str
    resource_subtype: str
    def __init__(self, gid: _Optional[str] = ..., resource_type: _Optional[str] = ..., name: _Optional[str] = ..., resource_subtype: _Optional[str] = ...) -> None: ...

class Change(_message.Message):
    __slots__ = ("field", "action", "added_value", "new_value", "removed_value")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    ADDED_VALUE_FIELD_NUMBER: _ClassVar[int]
    NEW_VALUE_FIELD_NUMBER: _ClassVar[int]
    REMOVED_VALUE_FIELD_NUMBER: _ClassVar[int]
    field: str
    action: str
    added_value: ChangeValue
    new_value: ChangeValue
    removed_value: ChangeValue
    def __init__(self, field: _Optional[str] = ..., action: _Optional[str] = ..., added_value: _Optional[_Union[ChangeValue, _Mapping]] = ..., new_value: _Optional[_Union[ChangeValue, _Mapping]] = ..., removed_value: _Optional[_Union[ChangeValue, _Mapping]] = ...) -> None: ...

class ChangeValue(_message.Message):
    __slots__ = ("resource", "json")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    resource: Resource
    json: str
    def __init__(self, resource: _Optional[_Union[Resource, _Mapping]] = ..., json: _Optional[str] = ...) -> None: ...

class StandIn(_message.Message):
    __slots__ = ("reason", "dead_letter_topic", "record_bytes", "limit_bytes", "fingerprint", "resource")
    REASON_FIELD_NUMBER: _ClassVar[int]
    DEAD_LETTER_TOPIC_FIELD_NUMBER: _ClassVar[int]
    RECORD_BYTES_FIELD_NUMBER: _ClassVar[int]
    LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    reason: str
    dead_letter_topic: str
    record_bytes: int
    limit_bytes: int
    fingerprint: bytes
    resource: Resource
    def __init__(self, reason: _Optional[str] = ..., dead_letter_topic: _Optional[str] = ..., record_bytes: _Optional[int] = ..., limit_bytes: _Optional[int] = ..., fingerprint: _Optional[bytes] = ..., resource: _Optional[_Union[Resource, _Mapping]] = ...) -> None: ...

class DeadLetter(_message.Message):
    __slots__ = ("position", "topic", "part_index", "part_count", "part")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PART_INDEX_FIELD_NUMBER: _ClassVar[int]
    PART_COUNT_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    position: Position
    topic: str
    part_index: int
    part_count: int
    part: bytes
    def __init__(self, position: _Optional[_Union[Position, _Mapping]] = ..., topic: _Optional[str] = ..., part_index: _Optional[int] = ..., part_count: _Optional[int] = ..., part: _Optional[bytes] = ...) -> None: ...

class Snapshot(_message.Message):
    __slots__ = ("crawl_id", "resource", "parent", "state_json", "modified_at", "change", "reason", "asked_by", "streams")
    CRAWL_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    STATE_JSON_FIELD_NUMBER: _ClassVar[int]
    MODIFIED_AT_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ASKED_BY_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    crawl_id: str
    resource: Resource
    parent: Resource
    state_json: str
    modified_at: _timestamp_pb2.Timestamp
    change: SnapshotChange
    reason: SnapshotReason
    asked_by: Position
    streams: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, crawl_id: _Optional[str] = ..., resource: _Optional[_Union[Resource, _Mapping]] = ..., parent: _Optional[_Union[Resource, _Mapping]] = ..., state_json: _Optional[str] = ..., modified_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., change: _Optional[_Union[SnapshotChange, str]] = ..., reason: _Optional[_Union[SnapshotReason, str]] = ..., asked_by: _Optional[_Union[Position, _Mapping]] = ..., streams: _Optional[_Iterable[str]] = ...) -> None: ...

class State(_message.Message):
    __slots__ = ("resource", "state_json", "modified_at", "read_after", "asked_by", "streams", "followed")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    STATE_JSON_FIELD_NUMBER: _ClassVar[int]
    MODIFIED_AT_FIELD_NUMBER: _ClassVar[int]
    READ_AFTER_FIELD_NUMBER: _ClassVar[int]
    ASKED_BY_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    FOLLOWED_FIELD_NUMBER: _ClassVar[int]
    resource: Resource
    state_json: str
    modified_at: _timestamp_pb2.Timestamp
    read_after: _timestamp_pb2.Timestamp
    asked_by: Position
    streams: _containers.RepeatedScalarFieldContainer[str]
    followed: bool
    def __init__(self, resource: _Optional[_Union[Resource, _Mapping]] = ..., state_json: _Optional[str] = ..., modified_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., read_after: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., asked_by: _Optional[_Union[Position, _Mapping]] = ..., streams: _Optional[_Iterable[str]] = ..., followed: bool = ...) -> None: ...

class StateProgress(_message.Message):
    __slots__ = ("shard", "shards", "read_up_to", "published")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    READ_UP_TO_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_FIELD_NUMBER: _ClassVar[int]
    shard: int
    shards: int
    read_up_to: _timestamp_pb2.Timestamp
    published: _containers.RepeatedCompositeFieldContainer[PublishedProgress]
    def __init__(self, shard: _Optional[int] = ..., shards: _Optional[int] = ..., read_up_to: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., published: _Optional[_Iterable[_Union[PublishedProgress, _Mapping]]] = ...) -> None: ...

class PublishedProgress(_message.Message):
    __slots__ = ("at", "streams", "not_loaded", "complete_up_to", "open_source_gaps", "suspended", "left_out")
    AT_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    NOT_LOADED_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_UP_TO_FIELD_NUMBER: _ClassVar[int]
    OPEN_SOURCE_GAPS_FIELD_NUMBER: _ClassVar[int]
    SUSPENDED_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    at: _timestamp_pb2.Timestamp
    streams: int
    not_loaded: int
    complete_up_to: _timestamp_pb2.Timestamp
    open_source_gaps: int
    suspended: int
    left_out: int
    def __init__(self, at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., streams: _Optional[int] = ..., not_loaded: _Optional[int] = ..., complete_up_to: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., open_source_gaps: _Optional[int] = ..., suspended: _Optional[int] = ..., left_out: _Optional[int] = ...) -> None: ...

class SnapshotBegin(_message.Message):
    __slots__ = ("crawl_id", "reason", "gap_ids")
    CRAWL_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    GAP_IDS_FIELD_NUMBER: _ClassVar[int]
    crawl_id: str
    reason: CrawlReason
    gap_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, crawl_id: _Optional[str] = ..., reason: _Optional[_Union[CrawlReason, str]] = ..., gap_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class SnapshotEnd(_message.Message):
    __slots__ = ("crawl_id", "snapshots", "complete_types", "left_out", "left_out_count", "compared")
    CRAWL_ID_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOTS_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_TYPES_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_COUNT_FIELD_NUMBER: _ClassVar[int]
    COMPARED_FIELD_NUMBER: _ClassVar[int]
    crawl_id: str
    snapshots: int
    complete_types: _containers.RepeatedScalarFieldContainer[str]
    left_out: _containers.RepeatedCompositeFieldContainer[LeftOut]
    left_out_count: int
    compared: bool
    def __init__(self, crawl_id: _Optional[str] = ..., snapshots: _Optional[int] = ..., complete_types: _Optional[_Iterable[str]] = ..., left_out: _Optional[_Iterable[_Union[LeftOut, _Mapping]]] = ..., left_out_count: _Optional[int] = ..., compared: bool = ...) -> None: ...

class LeftOut(_message.Message):
    __slots__ = ("of", "what", "reason")
    OF_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    of: str
    what: str
    reason: str
    def __init__(self, of: _Optional[str] = ..., what: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class SourceGap(_message.Message):
    __slots__ = ("gap_id", "reason", "last_complete_poll_at", "resumed_at")
    GAP_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    LAST_COMPLETE_POLL_AT_FIELD_NUMBER: _ClassVar[int]
    RESUMED_AT_FIELD_NUMBER: _ClassVar[int]
    gap_id: str
    reason: SourceGapReason
    last_complete_poll_at: _timestamp_pb2.Timestamp
    resumed_at: _timestamp_pb2.Timestamp
    def __init__(self, gap_id: _Optional[str] = ..., reason: _Optional[_Union[SourceGapReason, str]] = ..., last_complete_poll_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., resumed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SourceGapHealed(_message.Message):
    __slots__ = ("gap_id", "crawl_id", "restored", "left_out", "left_out_count")
    GAP_ID_FIELD_NUMBER: _ClassVar[int]
    CRAWL_ID_FIELD_NUMBER: _ClassVar[int]
    RESTORED_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_COUNT_FIELD_NUMBER: _ClassVar[int]
    gap_id: str
    crawl_id: str
    restored: Restored
    left_out: _containers.RepeatedCompositeFieldContainer[LeftOut]
    left_out_count: int
    def __init__(self, gap_id: _Optional[str] = ..., crawl_id: _Optional[str] = ..., restored: _Optional[_Union[Restored, str]] = ..., left_out: _Optional[_Iterable[_Union[LeftOut, _Mapping]]] = ..., left_out_count: _Optional[int] = ...) -> None: ...

class StreamSuspended(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: int
    def __init__(self, status: _Optional[int] = ...) -> None: ...

class StreamResumed(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StreamEnded(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class EpochStart(_message.Message):
    __slots__ = ("previous_epoch", "previous_lane_sequence")
    PREVIOUS_EPOCH_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_LANE_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    previous_epoch: int
    previous_lane_sequence: int
    def __init__(self, previous_epoch: _Optional[int] = ..., previous_lane_sequence: _Optional[int] = ...) -> None: ...

class Watermark(_message.Message):
    __slots__ = ("shards", "lanes", "progress")
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    LANES_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    shards: int
    lanes: int
    progress: _containers.RepeatedCompositeFieldContainer[ShardProgress]
    def __init__(self, shards: _Optional[int] = ..., lanes: _Optional[int] = ..., progress: _Optional[_Iterable[_Union[ShardProgress, _Mapping]]] = ...) -> None: ...

class ShardProgress(_message.Message):
    __slots__ = ("shard", "epoch", "lane_sequence", "complete_up_to", "empty")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    LANE_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_UP_TO_FIELD_NUMBER: _ClassVar[int]
    EMPTY_FIELD_NUMBER: _ClassVar[int]
    shard: int
    epoch: int
    lane_sequence: int
    complete_up_to: _timestamp_pb2.Timestamp
    empty: bool
    def __init__(self, shard: _Optional[int] = ..., epoch: _Optional[int] = ..., lane_sequence: _Optional[int] = ..., complete_up_to: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., empty: bool = ...) -> None: ...

class LanesChanged(_message.Message):
    __slots__ = ("previous_count", "count")
    PREVIOUS_COUNT_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    previous_count: int
    count: int
    def __init__(self, previous_count: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...
