"""Every change of Asana's resources as a table in DuckDB, and what is there now as a view: each record exactly once.

Changes, offsets and the detector's state are in one transaction. Then, with any client of DuckDB:

  SELECT type, count(*) FROM resource GROUP BY type;
  SELECT name, state->>'due_on' FROM resource WHERE type = 'task';

  python to_duckdb.py --bootstrap HOST:PORT --topic asana.events --database asana.duckdb [--until-end]
"""

import json
import pickle

import duckdb
from asana_event_bridge import Detector
from rows import row_of_new
from topic import batches, options

TABLES = """
CREATE TABLE IF NOT EXISTS change (
    stream TEXT, gid TEXT, type TEXT, name TEXT, parent TEXT, state JSON, changed_at TIMESTAMPTZ, removed TEXT,
    epoch UBIGINT, sequence UBIGINT
);
CREATE TABLE IF NOT EXISTS progress (topic TEXT PRIMARY KEY, offsets BLOB, detector BLOB);
CREATE OR REPLACE VIEW resource AS
WITH placed AS (
    SELECT *, row_number() OVER (PARTITION BY stream, gid ORDER BY epoch, sequence) AS place FROM change
), since AS (
    SELECT *, coalesce(max(place) FILTER (removed IS NOT NULL) OVER (PARTITION BY stream, gid), 0) AS gone FROM placed
)
SELECT stream, gid,
    arg_max(type, place) AS type,
    arg_max(name, place) FILTER (name IS NOT NULL) AS name,
    arg_max(parent, place) FILTER (parent IS NOT NULL) AS parent,
    arg_max(state, place) FILTER (state IS NOT NULL) AS state,
    arg_max(changed_at, place) FILTER (changed_at IS NOT NULL) AS changed_at
FROM since WHERE place > gone GROUP BY stream, gid;
"""
COLUMNS = dict.fromkeys(["stream", "gid", "type", "name", "parent", "state", "changed_at", "removed"], "VARCHAR")
FORM = json.dumps([COLUMNS | {"epoch": "UBIGINT", "sequence": "UBIGINT"}])
INSERT = f"INSERT INTO change BY NAME SELECT unnest(from_json(?, '{FORM}'), recursive := true)"


def main():
    chosen = options(__doc__)
    database = duckdb.connect(chosen.database)
    database.execute(TABLES)
    saved = database.execute("SELECT offsets, detector FROM progress WHERE topic = ?", [chosen.topic]).fetchone()
    offsets, detector = map(pickle.loads, saved) if saved else ({}, Detector())
    for records in batches(chosen.bootstrap, chosen.topic, offsets, chosen.until_end):
        rows = [row for record in records if (row := row_of_new(detector, record))]
        database.begin()
        database.execute(INSERT, [json.dumps([vars(row) for row in rows])])
        progress = [chosen.topic, pickle.dumps(offsets), pickle.dumps(detector)]
        database.execute("INSERT OR REPLACE INTO progress VALUES (?, ?, ?)", progress)
        database.commit()


if __name__ == "__main__":
    main()
