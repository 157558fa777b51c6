"""What a record changes in a table, and what is missing before it. For the recipes beside this file."""

import sys

from asana_event_bridge import row_of


def observe(detector, record):
    """The detector's verdict. Reports on standard error what is missing."""
    verdict = detector.observe(record)
    # Before the record in its lane, or at the end of another shard or epoch.
    if missing := verdict.missing + (verdict.news and verdict.news.missing or 0):
        at = record.position
        place = f"lane {at.lane}, shard {at.shard}, epoch {at.epoch}, sequence {at.lane_sequence}"
        print(f"{missing} records are missing, seen at {place}", file=sys.stderr)
    return verdict


def row_of_new(detector, record):
    """The row of a record that wasn't seen before, if it has one."""
    return row_of(record) if observe(detector, record).is_new else None
