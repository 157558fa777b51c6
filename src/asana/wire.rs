//! Status, headers and body → poll outcome, and what all answers have in common.
//!
//! Nothing is dropped for its shape: a body that can't be read completely gives no page, and the next poll uses the
//! same token.

use super::http::HttpAnswer;
use bridge_core::ids::SyncToken;
use bridge_core::outcome::list::ListOutcome;
use bridge_core::outcome::poll::{Denial, Failure, Page, PollOutcome, Polled, Probed, Verdict};
use bridge_core::outcome::stamp::Stamp;
use bridge_core::record::event::Event;
use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

/// The pause if Asana doesn't say how long; its official Java client waits as long.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(60);

/// The maximum pause that is accepted. Asana's limits are per minute, so a longer one is an error, and would let sync
/// tokens come near their end of 24 hours.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// The most items of a page that are read. Asana gives at most 1,000 events for one token, and 100 items of a list: a page of
/// more than this isn't Asana's, and would cost many times its own size in memory.
const MAX_ITEMS: usize = 10_000;

/// The longest sync token or offset that is accepted, in bytes. Real ones have tens to some hundreds. A longer one would be in
/// every checkpoint of its stream from then on, and in the head of each request, which servers limit to 8 KiB.
const MAX_TOKEN: usize = 4 << 10;

/// The longest part of Asana's phrase that is kept. Real ones have five words.
const MAX_PHRASE: usize = 120;

#[derive(Deserialize)]
struct PageBody<'a> {
    #[serde(borrow)]
    data: Items<&'a RawValue>,
    sync: String,
    /// Absent from answers before 2023. Then the page counts as the last one.
    has_more: Option<bool>,
}

/// A list of which no more is kept than a page may have.
struct Items<T> {
    kept: Vec<T>,
    has_more: bool,
}

impl<T> Items<T> {
    fn all(self, what: &str) -> Result<Vec<T>, Failure> {
        if self.has_more {
            return Err(Failure::Malformed(format!("the {what} has more than {MAX_ITEMS} items")));
        }
        Ok(self.kept)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Items<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = Items<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut kept = Vec::new();
                while kept.len() < MAX_ITEMS {
                    let Some(item) = list.next_element()? else { return Ok(Items { kept, has_more: false }) };
                    kept.push(item);
                }
                let mut has_more = false;
                while list.next_element::<IgnoredAny>()?.is_some() {
                    has_more = true;
                }
                Ok(Items { kept, has_more })
            }
        }

        deserializer.deserialize_seq(Reader(PhantomData))
    }
}

#[derive(Deserialize)]
struct ResetBody {
    sync: String,
}

/// Statuses of gateways between Asana and us, for a request that took too long or reached the wrong server: request
/// timeout, misdirected request, too early, and nginx's "client closed request". Asana documents none of them.
const GATEWAY_STATUSES: [u16; 4] = [408, 421, 425, 499];

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "errors")]
    _errors: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
struct ObjectBody {
    #[serde(rename = "data")]
    _data: Object,
}

#[derive(Deserialize)]
struct Object {
    #[serde(rename = "gid")]
    _gid: IgnoredAny,
}

#[derive(Deserialize)]
struct ErrorBody {
    errors: Vec<ErrorItem>,
}

#[derive(Deserialize)]
struct ErrorItem {
    message: Option<String>,
    phrase: Option<String>,
}

/// Why a request has no result, for all kinds of requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Status 429 (or Asana's own 424): all requests of the account pause.
    Throttled {
        /// The pause, from now.
        retry_after: Duration,
    },
    /// Asana refused the request.
    Denied(Denial),
    /// There was no usable answer.
    Failed(Failure),
}

impl Refusal {
    /// A constant name, for metrics and logs.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Throttled { .. } => "throttled",
            Self::Denied(denial) => denial.label(),
            Self::Failed(failure) => failure.label(),
        }
    }
}

impl From<Refusal> for PollOutcome {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Throttled { retry_after } => Self::Throttled { retry_after },
            Refusal::Denied(denial) => Self::Denied(denial),
            Refusal::Failed(failure) => Self::Failed(failure),
        }
    }
}

impl From<Refusal> for ListOutcome {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Throttled { retry_after } => Self::Throttled { retry_after },
            Refusal::Denied(denial) => Self::Denied(denial),
            Refusal::Failed(failure) => Self::Failed(failure),
        }
    }
}

/// What `answer` says to a poll. Parsing is done in place: a page has at most 1,000 events of a
/// few microseconds each, too short a time to be worth a thread of its own.
pub(super) fn polled(answer: HttpAnswer) -> Polled {
    let (stamp, received_at) = (stamp(&answer), answer.received_at);
    let read = match answer.status {
        StatusCode::OK => answer.body.and_then(|body| page(&body, received_at)).map(PollOutcome::Page),
        StatusCode::PRECONDITION_FAILED => answer.body.and_then(|body| reset(&body)).map(PollOutcome::TokenReset),
        _ => Ok(refusal(answer, received_at).into()),
    };
    let outcome = read.unwrap_or_else(PollOutcome::Failed);
    Polled { stamp: stamp.filter(|_| outcome.is_asanas()), outcome, received_at }
}

/// What `answer` says of the credential that it was asked for with.
pub(super) fn probed(answer: HttpAnswer) -> Probed {
    let (stamp, received_at) = (stamp(&answer), answer.received_at);
    let verdict = match answer.status {
        StatusCode::OK => {
            // A gateway's page may be a 200, too.
            let body = answer.body.and_then(|body| object::<ObjectBody>(&body, "object").map(drop));
            body.map_or(Verdict::Unknown, |()| Verdict::Lives)
        }
        _ => verdict(&refusal(answer, received_at)),
    };
    let is_asanas = matches!(verdict, Verdict::Lives | Verdict::Refused(_));
    Probed { verdict, stamp: stamp.filter(|_| is_asanas), received_at }
}

/// What a refusal says about the credential.
pub(super) fn verdict(refusal: &Refusal) -> Verdict {
    match refusal {
        // A user who may not read this is known.
        Refusal::Denied(Denial::Forbidden) => Verdict::Lives,
        Refusal::Denied(denial @ (Denial::Unauthorized | Denial::LegalBlock)) => Verdict::Refused(*denial),
        Refusal::Throttled { retry_after } => Verdict::Throttled(*retry_after),
        Refusal::Denied(Denial::BadRequest | Denial::PaymentRequired | Denial::NotFound | Denial::OtherStatus(_))
        | Refusal::Failed(_) => Verdict::Unknown,
    }
}

/// When the answer was given, by the clock of who gave it.
fn stamp(answer: &HttpAnswer) -> Option<Stamp> {
    Stamp::new(sent_at(&answer.headers)?, answer.took)
}

/// What an `answer` says whose status promises nothing to read. Only Asana's own words are a refusal: what stands
/// between may refuse with any status, and means this request alone.
pub(super) fn refusal(answer: HttpAnswer, received_at: DateTime<Utc>) -> Refusal {
    let HttpAnswer { status, headers, body, .. } = answer;
    let throttled = || Refusal::Throttled { retry_after: retry_after(&headers, received_at) };
    let status_number = status.as_u16();
    if status == StatusCode::TOO_MANY_REQUESTS {
        return throttled();
    }
    if status.is_server_error() {
        let phrase = body.ok().and_then(|body| phrase(&body));
        return Refusal::Failed(Failure::Server { status: status_number, phrase });
    }
    if !status.is_client_error() {
        // Redirects are among them. They aren't followed, because they would carry the token to another server.
        return Refusal::Failed(Failure::Malformed(format!("status {status_number} is no answer to a request")));
    }
    match (body, status_number) {
        (_, status) if GATEWAY_STATUSES.contains(&status) => Refusal::Failed(Failure::Gateway { status }),
        (Err(failure), _) => Refusal::Failed(failure),
        (Ok(body), status) if !is_envelope(&body) => Refusal::Failed(Failure::Gateway { status }),
        // Asana's own description has it instead of 429 in two places.
        (Ok(_), 424) => throttled(),
        (Ok(_), status) => Refusal::Denied(Denial::of_status(status)),
    }
}

/// Whether a body has the form of Asana's refusals: `{"errors": […]}`.
fn is_envelope(body: &[u8]) -> bool {
    object::<Envelope>(body, "error").is_ok()
}

fn page(body: &[u8], received_at: DateTime<Utc>) -> Result<Page, Failure> {
    let PageBody { data, sync, has_more } = object(body, "page")?;
    Ok(Page {
        events: data.all("page")?.into_iter().map(Event::parse).collect(),
        next: token(sync, "page")?,
        has_more: has_more.unwrap_or(false),
        received_at,
        bytes: body.len(),
    })
}

fn reset(body: &[u8]) -> Result<SyncToken, Failure> {
    let ResetBody { sync } = object(body, "token reset")?;
    token(sync, "token reset")
}

fn token(sync: String, what: &str) -> Result<SyncToken, Failure> {
    if sync.is_empty() {
        return Err(Failure::Malformed(format!("the {what} has an empty sync token")));
    }
    if sync.len() > MAX_TOKEN {
        return Err(Failure::Malformed(format!("the {what} has a sync token of more than {MAX_TOKEN} bytes")));
    }
    Ok(sync.into())
}

/// The message in Asana's error body, if the body is one.
pub(super) fn message(body: &[u8]) -> Option<String> {
    let ErrorBody { errors } = object(body, "error").ok()?;
    Some(errors.into_iter().find_map(|error| error.message).unwrap_or_default())
}

fn phrase(body: &[u8]) -> Option<String> {
    let ErrorBody { errors } = object(body, "error").ok()?;
    let phrase = errors.into_iter().find_map(|error| error.phrase)?;
    Some(phrase.chars().filter(|letter| !letter.is_control()).take(MAX_PHRASE).collect())
}

/// A `T` from a JSON object. A derived struct alone would also accept an array.
pub(super) fn object<'a, T: Deserialize<'a>>(body: &'a [u8], what: &str) -> Result<T, Failure> {
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(Failure::Malformed(format!("the body is no {what}: not a JSON object")));
    }
    serde_json::from_slice(body).map_err(|error| {
        Failure::Malformed(format!(
            "the body is no {what}: {} at line {} column {}",
            reason(&error),
            error.line(),
            error.column()
        ))
    })
}

#[derive(Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
struct ListBody<T> {
    data: Items<T>,
    /// Null or absent on the last page.
    next_page: Option<NextPage>,
}

#[derive(Deserialize)]
struct NextPage {
    offset: String,
}

/// The items on the page of a list that began at `offset`, and the offset of the next page, if there is one.
pub(super) fn list_page<'a, T: Deserialize<'a>>(
    body: &'a [u8],
    offset: Option<&str>,
) -> Result<(Vec<T>, Option<String>), Failure> {
    let ListBody { data, next_page } = object(body, "page of a list")?;
    let next_offset = next_page.map(|next| next.offset);
    // Otherwise the list would never end.
    if next_offset.as_deref().is_some_and(|next| next.is_empty() || Some(next) == offset) {
        return Err(Failure::Malformed("the page of a list leads nowhere but to itself".into()));
    }
    if next_offset.as_deref().is_some_and(|next| next.len() > MAX_TOKEN) {
        return Err(Failure::Malformed(format!("the page of a list has an offset of more than {MAX_TOKEN} bytes")));
    }
    Ok((data.all("page of a list")?, next_offset))
}

/// A reason in our own words: the library's words quote values, which may be names or a sync token.
fn reason(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Io => "unreadable",
        serde_json::error::Category::Syntax => "not JSON",
        serde_json::error::Category::Data => "a key is missing or of the wrong type",
        serde_json::error::Category::Eof => "it ends too early",
    }
}

/// The pause. `Retry-After` is in seconds, which the official Java client reads as a decimal number, or a date, which
/// is compared with the answer's own `Date`, if it has one.
fn retry_after(headers: &HeaderMap, received_at: DateTime<Utc>) -> Duration {
    let Some(text) = header(headers, &RETRY_AFTER) else { return DEFAULT_RETRY_AFTER };
    if let Ok(seconds) = text.parse::<f64>() {
        let believable = seconds.is_finite() && seconds >= 0.0;
        return Duration::try_from_secs_f64(seconds.min(MAX_RETRY_AFTER.as_secs_f64()))
            .ok()
            .filter(|_| believable)
            .unwrap_or(DEFAULT_RETRY_AFTER);
    }
    let Some(until) = date(text) else { return DEFAULT_RETRY_AFTER };
    let from = sent_at(headers).unwrap_or(received_at);
    // A date in the past is no wait at all.
    (until - from).to_std().unwrap_or_default().min(MAX_RETRY_AFTER)
}

/// The time when the answer was sent, by the sender's clock.
pub(super) fn sent_at(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    header(headers, &DATE).and_then(date)
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// HTTP's preferred form of a date is one of RFC 2822's.
fn date(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc2822(text).ok().map(|time| time.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(retry_after_header: &str, date_header: Option<&str>) -> Duration {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, retry_after_header.parse().unwrap());
        if let Some(date) = date_header {
            headers.insert(DATE, date.parse().unwrap());
        }
        retry_after(&headers, date("Tue, 24 Nov 2026 09:00:00 GMT").unwrap())
    }

    #[test]
    fn a_wait_is_read_in_each_of_its_forms_and_kept_sane() {
        let seconds = Duration::from_secs;
        assert_eq!(retry_after(&HeaderMap::new(), DateTime::UNIX_EPOCH), seconds(60));
        for (text, expected) in [
            ("30", seconds(30)),
            ("0", Duration::ZERO),
            (" 1.5 ", Duration::from_millis(1500)),
            ("86400", MAX_RETRY_AFTER),
            ("1e300", MAX_RETRY_AFTER),
            ("1e999", DEFAULT_RETRY_AFTER),
            ("-1", DEFAULT_RETRY_AFTER),
            ("nan", DEFAULT_RETRY_AFTER),
            ("inf", DEFAULT_RETRY_AFTER),
            ("soon", DEFAULT_RETRY_AFTER),
            ("", DEFAULT_RETRY_AFTER),
            ("Tue, 24 Nov 2026 09:00:20 GMT", seconds(20)),
            ("Tue, 24 Nov 2026 08:00:00 GMT", Duration::ZERO),
            ("Tue, 24 Nov 2099 08:00:00 GMT", MAX_RETRY_AFTER),
        ] {
            assert_eq!(wait(text, None), expected, "{text:?}");
        }
    }

    #[test]
    fn a_date_is_seen_from_the_answers_own_clock() {
        let asanas_clock = "Tue, 24 Nov 2026 08:59:00 GMT";
        assert_eq!(wait("Tue, 24 Nov 2026 08:59:10 GMT", Some(asanas_clock)), Duration::from_secs(10));
    }

    #[test]
    fn what_is_larger_than_anything_of_asanas_is_malformed() {
        let items = |count: usize| vec!["{}"; count].join(",");
        let page = |count, sync: &str| {
            page(format!(r#"{{"data":[{}],"sync":"{sync}"}}"#, items(count)).as_bytes(), DateTime::UNIX_EPOCH)
        };
        let list = |count, offset: &str| {
            let body = format!(r#"{{"data":[{}],"next_page":{{"offset":"{offset}"}}}}"#, items(count));
            list_page::<IgnoredAny>(body.as_bytes(), None).map(|(items, _)| items.len())
        };
        let (longest, too_long) = ("a".repeat(4096), "a".repeat(4097));
        assert_eq!(page(10_000, &longest).unwrap().events.len(), 10_000);
        assert_eq!(list(10_000, &longest), Ok(10_000));
        assert!(reset(format!(r#"{{"sync":"{longest}"}}"#).as_bytes()).is_ok());
        let failures = [
            page(10_001, "a").map(drop),
            page(0, &too_long).map(drop),
            list(10_001, "a").map(drop),
            list(0, &too_long).map(drop),
            reset(format!(r#"{{"sync":"{too_long}"}}"#).as_bytes()).map(drop),
        ];
        for (failure, words) in failures.into_iter().zip(["10000", "4096", "10000", "4096", "4096"]) {
            let Err(Failure::Malformed(text)) = failure else { panic!("{failure:?} instead of {words}") };
            assert!(text.contains(words) && !text.contains(&too_long), "{text}");
        }
    }

    #[test]
    fn a_complaint_about_a_body_quotes_nothing_of_it() {
        for body in [r#"{"data":"hunter2","sync":"a"}"#, r#"{"data":[],"sync":["hunter2"]}"#, r#"{"data":[hunter2"#] {
            let Err(Failure::Malformed(text)) = page(body.as_bytes(), DateTime::UNIX_EPOCH) else {
                panic!("{body} was read");
            };
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}
