//! Resources that the index knows and that no list of a crawl showed.

use super::{ENTRY, Found, Index, IndexError, PackedGid, StoredGid, entry, find, unsigned};
use bridge_core::crawl::known::{Absent, AbsentFrom, Entry, Shortfall};
use bridge_core::ids::{Gid, StreamId};
use bridge_core::outcome::list::{Listing, What};
use rusqlite::params;

/// The maximum number of rows that are read at once.
const BATCH: u32 = 500;

/// The maximum depth of resources within resources: Asana allows five levels of subtasks, and their attachments are one
/// more. It also ends a cycle, which moves between two crawls can leave behind.
const DEEPEST: u32 = 8;

impl Index {
    /// Resources that the crawl neither saw nor passed, that no event named since the crawl began, and that aren't
    /// inside another such resource: up to `limit`, those that come after `after`. They are in the order of their
    /// numbers if their gids are numbers, and of their texts otherwise.
    ///
    /// # Errors
    /// [`IndexError::Store`] if the store fails.
    pub fn absent(
        &self,
        stream: &StreamId,
        from: &AbsentFrom,
        after: Option<&Gid>,
        limit: usize,
    ) -> Result<Vec<Absent>, IndexError> {
        let Some(Found { id, .. }) = find(&self.store, stream)? else { return Ok(Vec::new()) };
        let mut statement = self.store.prepare_cached(&format!(
            "SELECT it.gid, {}, place.gid IS NOT NULL, coalesce(place.crawl = ?1, 0) FROM entry AS it
             JOIN resource_type ON id = it.resource_type
             LEFT JOIN entry AS place ON place.stream = it.stream AND place.gid = it.parent
             WHERE it.stream = ?2 AND it.gid > ?3 AND it.crawl <> ?1 AND it.passed <> ?1 AND it.touched_at < ?1
             AND (?4 OR place.gid IS NULL OR place.crawl = ?1 OR it.parent = it.gid) ORDER BY it.gid LIMIT ?5",
            columns_of("it")
        ))?;
        let mut found = Vec::new();
        let mut after = after.cloned();
        loop {
            let behind = after.as_ref().map_or(PackedGid::Number(-1), PackedGid::from);
            let is_partial = !from.scope.is_empty();
            let rows =
                statement.query_map(params![from.crawl.cast_signed(), id, behind, is_partial, BATCH], |row| {
                    let absent =
                        Absent { gid: row.get::<_, StoredGid>(0)?.0, entry: entry(row, 1)?, knows_place: row.get(8)? };
                    Ok((absent, row.get::<_, bool>(9)?))
                })?;
            let rows = rows.collect::<Result<Vec<_>, _>>()?;
            let is_last = rows.len() < BATCH as usize;
            after = rows.last().map(|(absent, _)| absent.gid.clone()).or(after);
            let concerned =
                rows.into_iter().filter(|(absent, saw_place)| from.concerns(&absent.gid, &absent.entry, *saw_place));
            found.extend(concerned.map(|(absent, _)| absent));
            if is_last || found.len() >= limit {
                found.truncate(limit);
                return Ok(found);
            }
        }
    }

    /// Resources that earlier crawls found in this resource by these lists, and in those resources in turn, the deepest
    /// first: up to `limit`, except those that this crawl saw or that an event named since it began.
    ///
    /// # Errors
    /// [`IndexError::Store`] if the store fails.
    pub fn below(
        &self,
        stream: &StreamId,
        of: &Gid,
        lists: &[What],
        crawl: u64,
        limit: usize,
    ) -> Result<Vec<(Gid, Entry)>, IndexError> {
        let Some(Found { id, .. }) = find(&self.store, stream)? else { return Ok(Vec::new()) };
        let numbers: Vec<_> = lists.iter().map(|what| what.number().to_string()).collect();
        let numbers = numbers.join(",");
        let mut statement = self.store.prepare_cached(&format!(
            "WITH RECURSIVE below (gid, depth) AS (
                 SELECT gid, 1 FROM entry WHERE stream = ?1 AND parent = ?2 AND list IN ({numbers})
                 UNION SELECT it.gid, depth + 1 FROM below JOIN entry AS it ON it.stream = ?1 AND it.parent = below.gid
                 WHERE it.list IN ({numbers}) AND depth < {DEEPEST}
             )
             SELECT it.gid, {} FROM (SELECT gid, max(depth) AS depth FROM below GROUP BY gid) AS found
             JOIN entry AS it ON it.stream = ?1 AND it.gid = found.gid JOIN resource_type ON id = it.resource_type
             WHERE it.crawl <> ?3 AND it.touched_at < ?3 ORDER BY found.depth DESC, it.gid LIMIT ?4",
            columns_of("it")
        ))?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![id, PackedGid::from(of), crawl.cast_signed(), limit], |row| {
            Ok((row.get::<_, StoredGid>(0)?.0, entry(row, 1)?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Lists of resources that the crawl saw, or of the stream's own resource, that lack more than `least` resources
    /// and more than `percent` of the known ones.
    ///
    /// # Errors
    /// [`IndexError::Store`] if the store fails.
    pub fn shortfalls(
        &self,
        stream: &StreamId,
        crawl: u64,
        least: u32,
        percent: u32,
    ) -> Result<Vec<Shortfall>, IndexError> {
        let Some(Found { id, .. }) = find(&self.store, stream)? else { return Ok(Vec::new()) };
        let mut statement = self.store.prepare_cached(
            "SELECT it.parent, it.list, count(*) AS known,
             sum(it.crawl <> ?1 AND it.passed <> ?1 AND it.touched_at < ?1) AS unseen FROM entry AS it
             LEFT JOIN entry AS place ON place.stream = it.stream AND place.gid = it.parent
             WHERE it.stream = ?2 AND (place.crawl = ?1 OR it.parent = ?3) GROUP BY it.parent, it.list
             HAVING unseen > ?4 AND unseen * 100 > known * ?5",
        )?;
        let resource = PackedGid::from(&stream.resource);
        let rows = statement.query_map(params![crawl.cast_signed(), id, resource, least, percent], |row| {
            let what = What::of_number(row.get(1)?);
            Ok((row.get::<_, StoredGid>(0)?.0, what, unsigned(row, 2)?, unsigned(row, 3)?))
        })?;
        let short = |(of, what, known, unseen)| Some(Shortfall { listing: Listing { of, what: what? }, known, unseen });
        Ok(rows.collect::<Result<Vec<_>, _>>()?.into_iter().filter_map(short).collect())
    }
}

/// The columns of [`ENTRY`] in one of several tables. The name of a type is in a table of its own.
fn columns_of(table: &str) -> String {
    let qualified = ENTRY.split(", ").map(|column| match column {
        "name" => column.to_owned(),
        column => format!("{table}.{column}"),
    });
    qualified.collect::<Vec<_>>().join(", ")
}
