//! The smallest useful consumer: Asana's resources as a table in `SQLite`, exactly once, and honest about losses.
//!
//! `cargo run -p asana-event-bridge-consumer --features file --example materialize -- records.jsonl resources.db` reads what the file sink wrote (`run --sink file`); the next
//! call continues where it was. Ops, the reader's place and the detector's state are in one transaction, so that a
//! crash at any moment leaves all of a batch or none of it. If the bridge crashed, it may have cut off lines that were already read.
//! Then this program reports it, and the table has to be recreated, because it has records that the bridge never committed.
#![allow(clippy::print_stdout, reason = "a program for the command line")]

use asana_event_bridge_consumer::file::{FilePlace, FileReader};
use asana_event_bridge_consumer::materialize::{Mark, Op, Row};
use asana_event_bridge_consumer::{Continuity, Detector, Limits, Record, Start};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use std::error::Error;
use std::path::Path;

/// Records in a transaction.
const BATCH: u64 = 10_000;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS resource (
        stream TEXT, gid TEXT, type TEXT, name TEXT, parent TEXT, state TEXT, changed_at TEXT, lane INTEGER,
        epoch INTEGER, sequence INTEGER, PRIMARY KEY (stream, gid)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS file_reader (
        one INTEGER PRIMARY KEY CHECK (one = 1), lines INTEGER, bytes INTEGER, last_bytes INTEGER, last_hash INTEGER, detector BLOB
    );";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [records, database] = arguments.as_slice() else {
        return Err("usage: materialize RECORDS.jsonl RESOURCES.db".into());
    };
    let mut database = Connection::open(database)?;
    database.execute_batch(TABLES)?;
    let saved: Option<(FilePlace, Vec<u8>)> = database
        .query_row("SELECT lines, bytes, last_bytes, last_hash, detector FROM file_reader", [], |row| {
            let last_hash = row.get::<_, i64>(3)?.cast_unsigned();
            let place = FilePlace { lines: row.get(0)?, bytes: row.get(1)?, last_bytes: row.get(2)?, last_hash };
            Ok((place, row.get(4)?))
        })
        .optional()?;
    let (place, mut detector) = match saved {
        Some((place, state)) => (place, Detector::restore(&state, Limits::default())?),
        None => (FilePlace::default(), Detector::by_lane(Start::Beginning)),
    };
    let mut reader = FileReader::open_at(Path::new(records), place)?;
    loop {
        let batch = database.transaction()?;
        let before = reader.place();
        while reader.place().lines - before.lines < BATCH
            && let Some(received) = reader.read()?
        {
            let record = Record::from(received.record);
            let verdict = detector.observe(received.topic.as_str(), &record);
            match verdict.continuity {
                Continuity::Duplicate | Continuity::Older => continue,
                Continuity::Missing(count) => println!("{count} records are missing before {:?}", record.position),
                Continuity::InOrder | Continuity::Reordered | Continuity::Unnumbered | Continuity::NotFollowed => {}
            }
            if let Some(op) = Op::of(&record) {
                apply(&batch, op)?;
            }
        }
        let FilePlace { lines, bytes, last_bytes, last_hash } = reader.place();
        batch.execute(
            "INSERT OR REPLACE INTO file_reader VALUES (1, ?, ?, ?, ?, ?)",
            params![lines, bytes, last_bytes, last_hash.cast_signed(), detector.save()],
        )?;
        batch.commit()?;
        if reader.place() == before {
            break;
        }
    }
    let mut counts = database.prepare("SELECT stream, type, count(*) FROM resource GROUP BY 1, 2 ORDER BY 1, 2")?;
    let mut rows = counts.query([])?;
    while let Some(row) = rows.next()? {
        println!("{}  {}: {}", row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, u64>(2)?);
    }
    println!("{:?}; open source gaps: {}", detector.total(), detector.open_gaps().len());
    Ok(())
}

/// `SQLite`'s integers are signed; epochs and sequences stay far below their end.
fn mark(mark: Mark) -> Result<(i64, i64), std::num::TryFromIntError> {
    Ok((mark.epoch.try_into()?, mark.sequence.try_into()?))
}

fn apply(batch: &Transaction<'_>, op: Op) -> Result<(), Box<dyn Error>> {
    match op {
        Op::Put(row) => {
            let (epoch, sequence) = mark(row.mark)?;
            let Row { stream, gid, resource_type, name, parent, state_json, changed_at, lane, .. } = row;
            batch
                .prepare_cached(
                    "INSERT INTO resource VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
                     ON CONFLICT DO UPDATE SET type = excluded.type, name = coalesce(excluded.name, name),
                         parent = coalesce(excluded.parent, parent), state = coalesce(excluded.state, state),
                         changed_at = coalesce(excluded.changed_at, changed_at), lane = excluded.lane,
                         epoch = excluded.epoch, sequence = excluded.sequence
                     WHERE (epoch, sequence) < (excluded.epoch, excluded.sequence)",
                )?
                .execute(params![
                    stream,
                    gid,
                    resource_type,
                    name,
                    parent,
                    state_json,
                    changed_at.map(|time| time.to_rfc3339()),
                    lane,
                    epoch,
                    sequence
                ])?;
        }
        // Deleted, or out of this stream: the table is of what each stream has.
        Op::Remove { stream, gid, mark: at, .. } => {
            let (epoch, sequence) = mark(at)?;
            batch
                .prepare_cached("DELETE FROM resource WHERE stream = ? AND gid = ? AND (epoch, sequence) <= (?, ?)")?
                .execute(params![stream, gid, epoch, sequence])?;
        }
        // What a crawl didn't name may live: only a record of its own removes it.
        Op::BeginCrawl { .. } | Op::EndCrawl { .. } => {}
    }
    Ok(())
}
