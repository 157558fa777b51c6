"""Every change of Asana's resources as a table in an embedded ClickHouse (chdb), and what is there now as a view.

ClickHouse has no transactions over tables: offsets are stored after the changes. After a crash the same changes may be inserted
again. They have the same key, so the table merges them, and the view doesn't change. The SQL also works on a server.

  SELECT type, count() FROM asana.resource GROUP BY type;
  SELECT name, JSONExtractString(state, 'due_on') FROM asana.resource WHERE type = 'task';

  python to_clickhouse.py --bootstrap HOST:PORT --topic asana.events --database asana.chdb [--until-end]
"""

import base64
import json
import pickle

from asana_event_bridge import Detector
from chdb import session
from rows import row_of_new
from topic import batches, options

TABLES = [
    "CREATE DATABASE IF NOT EXISTS asana",
    """CREATE TABLE IF NOT EXISTS asana.change (
        stream String, gid String, type String, name Nullable(String), parent Nullable(String), state Nullable(String),
        changed_at Nullable(String), removed Nullable(String), epoch UInt64, sequence UInt64
    ) ENGINE = ReplacingMergeTree ORDER BY (stream, gid, epoch, sequence)""",
    """CREATE TABLE IF NOT EXISTS asana.progress (topic String, written UInt64, state String)
    ENGINE = ReplacingMergeTree(written) ORDER BY topic""",
    """CREATE VIEW IF NOT EXISTS asana.resource AS
    SELECT stream, gid,
        argMax(type, place) AS type,
        argMaxIf(name, place, name IS NOT NULL) AS name,
        argMaxIf(parent, place, parent IS NOT NULL) AS parent,
        argMaxIf(state, place, state IS NOT NULL) AS state,
        argMaxIf(changed_at, place, changed_at IS NOT NULL) AS changed_at
    FROM (SELECT *, (epoch, sequence) AS place FROM asana.change) AS change
    LEFT JOIN (
        SELECT stream, gid, max((epoch, sequence)) AS gone FROM asana.change WHERE removed IS NOT NULL GROUP BY stream, gid
    ) AS removal USING (stream, gid)
    WHERE place > gone
    GROUP BY stream, gid""",
]
SAVED = "SELECT state FROM asana.progress FINAL WHERE topic = {topic:String}"


def main():
    chosen = options(__doc__)
    database = session.Session(chosen.database)
    for table in TABLES:
        database.query(table)
    saved = str(database.query(SAVED, "TSVRaw", params={"topic": chosen.topic})).strip()
    offsets, detector, written = pickle.loads(base64.b64decode(saved)) if saved else ({}, Detector(), 0)
    for records in batches(chosen.bootstrap, chosen.topic, offsets, chosen.until_end):
        rows = [row for record in records if (row := row_of_new(detector, record))]
        insert(database, "asana.change", map(vars, rows))
        written += 1
        state = base64.b64encode(pickle.dumps((offsets, detector, written))).decode()
        insert(database, "asana.progress", [{"topic": chosen.topic, "written": written, "state": state}])


def insert(database, table, rows):
    database.query(f"INSERT INTO {table} FORMAT JSONEachRow " + "\n".join(json.dumps(row) for row in rows))


if __name__ == "__main__":
    main()
