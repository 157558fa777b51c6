//! Pages of a list: what is requested, and where the next one begins.

use serde_json::{Value, json};

use super::{
    faults::Part,
    fields::Selection,
    http::{Answer, ApiError, Request},
    offsets::{Offsets, Place},
    places::Border,
    time::Timestamp,
};

/// The maximum number of objects in an answer without `limit`.
const UNPAGED: usize = 1_000;

pub(crate) type Answered = Result<Answer, ApiError>;

/// An admitted call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) request: &'a Request,
    /// The name of the account.
    pub(crate) account: &'a str,
    pub(crate) now: Timestamp,
    /// The part of a list that a fault leaves out.
    pub(crate) short: Option<Part>,
}

impl<'a> Call<'a> {
    pub(crate) fn param(&self, name: &str) -> Option<&'a str> {
        self.request.param(name)
    }
}

/// One page of a list, or all of it without a `limit`. `placed` has the items with their positions, in any order. The
/// page begins behind the last item of the page before, wherever that item is by now.
pub(crate) fn paged<T>(
    offsets: &mut Offsets,
    placed: impl Iterator<Item = (Border, T)>,
    show: impl Fn(&T) -> Value,
    compact: &[&str],
    call: &Call<'_>,
) -> Answered {
    let request = call.request;
    let limit = limit(request)?;
    let name = name_of(request);
    let begin = request.param("offset").map(|offset| offsets.resume(offset, &name, call.now)).transpose()?;
    let mut rest: Vec<_> = placed.filter(|(at, _)| begin.is_none_or(|begin| *at > begin.behind)).collect();
    if limit.is_none() && rest.len() > UNPAGED {
        let message = "The result is too large. You should use pagination (may require specifying a workspace)!";
        return Err(ApiError::new(400, message));
    }
    let size = limit.unwrap_or(rest.len());
    if let Some(refusal) = offsets.too_heavy(request, size) {
        return Ok(refusal);
    }
    sort_as_far_as_needed(&mut rest, size.saturating_mul(2));
    let Page { shown, goes_on } = cut(&rest, size, call.short);
    let selection = selection(request, compact);
    let mut body = String::from(r#"{"data":["#);
    write_all(shown.iter().map(|(_, item)| show(item)), &selection, &mut body);
    body.push(']');
    if let Some(limit) = limit {
        let last = shown.last().filter(|_| goes_on);
        let next = last.map(|(behind, _)| {
            let given = begin.map_or(0, |begin| begin.given) + shown.len();
            next_page(request, limit, &offsets.issue(&name, Place { behind: *behind, given }, call.now))
        });
        body.push_str(r#","next_page":"#);
        body.push_str(&json!(next).to_string());
    }
    body.push('}');
    Ok(Answer::bytes(200, body))
}

/// Sorts the first `reach` items: a list may be long, and have many pages.
fn sort_as_far_as_needed<T>(items: &mut [(Border, T)], reach: usize) {
    if reach < items.len() {
        items.select_nth_unstable_by_key(reach, |(at, _)| *at);
    }
    let reach = reach.min(items.len());
    items.get_mut(..reach).unwrap_or_default().sort_unstable_by_key(|(at, _)| *at);
}

struct Page<'a, T> {
    shown: &'a [T],
    goes_on: bool,
}

/// The first `size` items, or those that an incomplete list has instead.
fn cut<T>(rest: &[T], size: usize, short: Option<Part>) -> Page<'_, T> {
    let page = |from: usize| rest.get(from..rest.len().min(from.saturating_add(size))).unwrap_or_default();
    let goes_on = rest.len() > size;
    match short {
        None => Page { shown: page(0), goes_on },
        Some(Part::End) if goes_on => Page { shown: page(0), goes_on: false },
        Some(Part::End) => Page { shown: rest.get(..rest.len() / 2).unwrap_or_default(), goes_on: false },
        Some(Part::Middle) => Page { shown: page(size), goes_on: rest.len() > size.saturating_mul(2) },
    }
}

pub(crate) fn one(record: &Value, request: &Request) -> Answer {
    let mut body = String::from(r#"{"data":"#);
    Selection::of(request.param("opt_fields")).write(&record.to_string(), &mut body);
    body.push('}');
    Answer::bytes(200, body)
}

pub(crate) fn selection(request: &Request, compact: &[&str]) -> Selection {
    match request.param("opt_fields") {
        Some(list) => Selection::of(Some(list)),
        None => Selection::compact(compact),
    }
}

pub(crate) fn write_all(records: impl Iterator<Item = Value>, selection: &Selection, body: &mut String) {
    for (number, record) in records.enumerate() {
        if number > 0 {
            body.push(',');
        }
        selection.write(&record.to_string(), body);
    }
}

pub(crate) fn limit(request: &Request) -> Result<Option<usize>, ApiError> {
    let Some(text) = request.param("limit") else {
        return Ok(None);
    };
    match text.parse() {
        Ok(limit @ 1..=100) => Ok(Some(limit)),
        _ => Err(ApiError::new(400, format!("limit: Must be between 1 and 100: {text}"))),
    }
}

/// The name of a list: path and filters, without what may change from page to page.
fn name_of(request: &Request) -> String {
    let mut filters: Vec<_> =
        request.query.iter().filter(|(key, _)| !key.starts_with("opt_") && key != "limit" && key != "offset").collect();
    filters.sort();
    let mut name = url::form_urlencoded::Serializer::new(format!("{}?", request.path));
    name.extend_pairs(filters);
    name.finish()
}

fn next_page(request: &Request, limit: usize, offset: &str) -> Value {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    let kept = request.query.iter().filter(|(key, _)| key != "limit" && key != "offset");
    query.extend_pairs(kept);
    query.append_pair("limit", &limit.to_string());
    query.append_pair("offset", offset);
    let query = query.finish();
    let path = request.path.strip_prefix("/api/1.0").unwrap_or(&request.path);
    json!({
        "offset": offset,
        "path": format!("{path}?{query}"),
        "uri": format!("http://{}{}?{query}", request.host, request.path),
    })
}
