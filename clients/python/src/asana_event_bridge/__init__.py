"""For consumers of asana-event-bridge: decode records, know whether any is missing, read custom fields,
keep a table of all resources.

    detector = Detector()
    record = decode(message_value)
    verdict = detector.observe(record)

The types of records are in `asana_event_bridge.v1.record_pb2`, generated from the wire contract.
"""

from asana_event_bridge.custom_field import CustomField, custom_field
from asana_event_bridge.decode import decode
from asana_event_bridge.detector import Behind, Continuity, Detector, News, Tally, Verdict, rfc3339
from asana_event_bridge.state_table import Completeness, StateTable
from asana_event_bridge.table import Row, row_of
from asana_event_bridge.v1.record_pb2 import Event, Record, Snapshot

__all__ = [
    "Behind",
    "Completeness",
    "Continuity",
    "CustomField",
    "Detector",
    "Event",
    "News",
    "Record",
    "Row",
    "Snapshot",
    "StateTable",
    "Tally",
    "Verdict",
    "custom_field",
    "decode",
    "rfc3339",
    "row_of",
]
