"""Asana's resources as a table in SQLite, from the topic: each record exactly once.

Rows, offsets and the detector's state are in one transaction, so a crash at any moment leaves all of a batch or none of it.
The SQL is nearly the same for other databases that have ON CONFLICT.

  python to_sqlite.py --bootstrap HOST:PORT --topic asana.events --database resources.db [--until-end]
"""

import pickle
import sqlite3

from asana_event_bridge import Detector
from rows import row_of_new
from topic import batches, options

TABLES = """
CREATE TABLE IF NOT EXISTS resource (
    stream TEXT, gid TEXT, type TEXT, name TEXT, parent TEXT, state TEXT, changed_at TEXT, epoch INTEGER, sequence INTEGER,
    PRIMARY KEY (stream, gid)
);
CREATE TABLE IF NOT EXISTS progress (topic TEXT PRIMARY KEY, offsets BLOB, detector BLOB);
"""
PUT = """
INSERT INTO resource VALUES (:stream, :gid, :type, :name, :parent, :state, :changed_at, :epoch, :sequence)
ON CONFLICT (stream, gid) DO UPDATE SET
    type = excluded.type, name = coalesce(excluded.name, name), parent = coalesce(excluded.parent, parent),
    state = coalesce(excluded.state, state), changed_at = coalesce(excluded.changed_at, changed_at),
    epoch = excluded.epoch, sequence = excluded.sequence
WHERE (epoch, sequence) < (excluded.epoch, excluded.sequence)
"""
REMOVE = "DELETE FROM resource WHERE stream = :stream AND gid = :gid AND (epoch, sequence) <= (:epoch, :sequence)"
SAVE = "INSERT OR REPLACE INTO progress VALUES (?, ?, ?)"


def main():
    chosen = options(__doc__)
    database = sqlite3.connect(chosen.database)
    database.executescript(TABLES)
    saved = database.execute("SELECT offsets, detector FROM progress WHERE topic = ?", [chosen.topic]).fetchone()
    offsets, detector = map(pickle.loads, saved) if saved else ({}, Detector())
    for records in batches(chosen.bootstrap, chosen.topic, offsets, chosen.until_end):
        with database:  # one transaction
            for record in records:
                if row := row_of_new(detector, record):
                    database.execute(REMOVE if row.removed else PUT, vars(row))
            database.execute(SAVE, [chosen.topic, pickle.dumps(offsets), pickle.dumps(detector)])


if __name__ == "__main__":
    main()
