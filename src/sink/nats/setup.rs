//! The JetStream stream: created if it is missing, checked if it exists.

use super::publish::Abilities;
use super::subject::Subjects;
use crate::config::NatsConfig;
use crate::finding::CheckResult;
use crate::sink::SinkError;
use async_nats::client::Client;
use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, ErrorCode};
use std::time::Duration;

/// The minimum of `max_age`: a checkpoint must outlive every sync token, which expires after at most 24 hours.
const SHORTEST_MAX_AGE: Duration = Duration::from_secs(48 * 3600);

/// The minimum of `max_msg_size`, in bytes: an entry of the checkpoint with its headers must fit.
const SMALLEST_MESSAGE: i32 = 4_000;

/// Creates or checks the JetStream stream. Returns its abilities.
///
/// # Errors
/// [`SinkError::Setup`] with all of its problems, [`SinkError::Unavailable`] if the server doesn't answer.
pub(super) async fn prepare(client: &Client, config: &NatsConfig, subjects: &Subjects) -> Result<Abilities, SinkError> {
    let jetstream = jetstream::new(client.clone());
    let wanted = wanted(client, config, subjects);
    let name = &config.stream;
    let Some(found) = find(&jetstream, name).await? else {
        return if config.create { create(&jetstream, wanted).await } else { Err(missing(name)) };
    };
    fit(name, &found, &wanted)?;
    if found.max_bytes > 0 {
        tracing::warn!(jetstream = %name, max_bytes = found.max_bytes, hint = "records wait while it is full",
            "size limit set on the JetStream stream");
    }
    let missing = abilities_missing(&found, &wanted);
    if missing.is_empty() {
        return Ok(abilities(&found));
    }
    if !config.create {
        return Err(lacking(name, &missing));
    }
    tracing::info!(jetstream = %name, adding = %missing.join(", "), "updating the JetStream stream");
    let changed = Config {
        allow_atomic_publish: found.allow_atomic_publish || wanted.allow_atomic_publish,
        allow_message_ttl: found.allow_message_ttl || wanted.allow_message_ttl,
        allow_rollup: true,
        allow_direct: true,
        ..found
    };
    let changed = jetstream.update_stream(changed).await;
    changed.map(|info| abilities(&info.config)).map_err(|error| create_error(name, &error))
}

/// Like [`prepare`], without creating or changing anything. Also returns the change that the bridge would make, as a
/// verb of JetStream's API.
pub(super) async fn examine(
    client: &Client,
    config: &NatsConfig,
    subjects: &Subjects,
) -> (CheckResult, Option<&'static str>) {
    let (name, wanted) = (&config.stream, wanted(client, config, subjects));
    let found = match find(&jetstream::new(client.clone()), name).await {
        Ok(Some(found)) => found,
        Ok(None) if config.create => {
            let reason = "is missing: the bridge creates it, and only that shows whether the account has room for it";
            return (CheckResult::unknown(reason), Some("CREATE"));
        }
        Ok(None) => return (missing(name).into(), None),
        Err(error) => return (error.into(), None),
    };
    let missing = abilities_missing(&found, &wanted);
    let change = (config.create && !missing.is_empty()).then_some("UPDATE");
    let verdict = match fit(name, &found, &wanted) {
        Err(error) => error.into(),
        Ok(()) if !config.create && !missing.is_empty() => lacking(name, &missing).into(),
        Ok(()) if !missing.is_empty() => CheckResult::ok(format!("fits, and the bridge adds {}", missing.join(", "))),
        Ok(()) if found.max_bytes > 0 => CheckResult::notice(
            format!("fits, and has a size limit of {} bytes: records wait while it is full", found.max_bytes),
            "check that `max_age` frees space in time",
        ),
        Ok(()) => CheckResult::ok(format!("fits: {} replica(s)", found.num_replicas)),
    };
    (verdict, change)
}

/// The JetStream stream's settings; `None` if it doesn't exist.
pub(super) async fn find(jetstream: &jetstream::Context, name: &str) -> Result<Option<Config>, SinkError> {
    let error = match jetstream.get_stream(name).await {
        Ok(stream) => return Ok(Some(stream.cached_info().config.clone())),
        Err(error) => error,
    };
    match error.kind() {
        GetStreamErrorKind::JetStream(answer) if answer.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(None),
        GetStreamErrorKind::JetStream(answer) => Err(refused(format!("read JetStream stream {name}"), &answer)),
        GetStreamErrorKind::EmptyName | GetStreamErrorKind::InvalidStreamName => Err(bad_name(name)),
        GetStreamErrorKind::Request => Err(SinkError::unavailable(format!("read JetStream stream {name}"), error)),
    }
}

fn fit(name: &str, found: &Config, wanted: &Config) -> Result<(), SinkError> {
    let problems = problems(found, wanted);
    if problems.is_empty() {
        return Ok(());
    }
    Err(SinkError::Setup {
        problem: format!("JetStream stream {name} isn't as the bridge needs it: {}", problems.join("; ")),
        remedy: "change it with `nats stream edit`, or name another one in sink.nats.stream".to_owned(),
    })
}

fn lacking(name: &str, missing: &[&str]) -> SinkError {
    SinkError::Setup {
        problem: format!("JetStream stream {name} lacks {}", missing.join(" and ")),
        remedy: "set them with `nats stream edit`, or let the bridge do it with sink.nats.create: true".to_owned(),
    }
}

fn wanted(client: &Client, config: &NatsConfig, subjects: &Subjects) -> Config {
    Config {
        name: config.stream.clone(),
        description: Some("Asana's events, and the checkpoints of asana-event-bridge".to_owned()),
        subjects: vec![subjects.all()],
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        // When it is full, it refuses new messages, and the bridge waits. The other policy would silently delete unread
        // records, and checkpoints.
        discard: DiscardPolicy::New,
        max_age: config.max_age.0,
        duplicate_window: config.duplicate_window.0,
        num_replicas: usize::from(config.replicas.get()),
        allow_direct: true,
        allow_rollup: true,
        allow_message_ttl: client.is_server_compatible(2, 11, 0),
        allow_atomic_publish: client.is_server_compatible(2, 12, 0),
        ..Config::default()
    }
}

fn abilities(config: &Config) -> Abilities {
    let message_bytes = usize::try_from(config.max_message_size).ok().filter(|bytes| *bytes > 0);
    Abilities {
        atomic: config.allow_atomic_publish,
        spare: config.allow_message_ttl,
        message_bytes: message_bytes.unwrap_or(usize::MAX),
    }
}

async fn create(jetstream: &jetstream::Context, wanted: Config) -> Result<Abilities, SinkError> {
    let name = wanted.name.clone();
    match jetstream.create_stream(wanted).await {
        Ok(stream) => {
            tracing::info!(jetstream = %name, "created the JetStream stream");
            Ok(abilities(&stream.cached_info().config))
        }
        Err(error) => Err(create_error(&name, &error)),
    }
}

fn create_error(name: &str, error: &jetstream::context::CreateStreamError) -> SinkError {
    match error.kind() {
        CreateStreamErrorKind::JetStream(answer) => refused(format!("create JetStream stream {name}"), &answer),
        CreateStreamErrorKind::EmptyStreamName
        | CreateStreamErrorKind::InvalidStreamName
        | CreateStreamErrorKind::DomainAndExternalSet => bad_name(name),
        CreateStreamErrorKind::JetStreamUnavailable
        | CreateStreamErrorKind::TimedOut
        | CreateStreamErrorKind::Response
        | CreateStreamErrorKind::NotFound
        | CreateStreamErrorKind::ResponseParse => {
            SinkError::unavailable(format!("create JetStream stream {name}"), error.to_string())
        }
    }
}

/// Statuses of the server from 500 on are its own errors, and pass. So does a lack of servers for the replicas (10005
/// in nats-server's `errors.json`), as when a cluster is just starting.
fn refused(action: String, answer: &jetstream::Error) -> SinkError {
    let may_pass = answer.code() >= 500 && answer.error_code() != ErrorCode::JETSTREAM_NOT_ENABLED;
    if may_pass || answer.error_code() == ErrorCode::CLUSTER_NO_PEERS {
        return SinkError::unavailable(action, answer.clone());
    }
    SinkError::Setup {
        problem: format!("the server refuses to {action}: {answer}"),
        remedy: "give the account the permissions and resources, or choose sink.nats.stream, subjectPrefix and \
                 replicas that the server accepts"
            .to_owned(),
    }
}

fn missing(name: &str) -> SinkError {
    SinkError::Setup {
        problem: format!("JetStream stream {name} doesn't exist, and sink.nats.create is false"),
        remedy: "create it, or set sink.nats.create: true".to_owned(),
    }
}

fn bad_name(name: &str) -> SinkError {
    SinkError::Setup {
        problem: format!("{name:?} can't be the name of a JetStream stream"),
        remedy: "use letters, digits, - and _ in sink.nats.stream".to_owned(),
    }
}

/// What the operator has to change, as found and needed.
fn problems(found: &Config, wanted: &Config) -> Vec<String> {
    let mut problems = Vec::new();
    let mut check = |fine: bool, what: &str, found: String, wanted: String| {
        if !fine {
            problems.push(format!("{what} is {found}, wanted {wanted}"));
        }
    };
    let ours = wanted.subjects.join(", ");
    check(found.subjects.iter().any(|s| wanted.subjects.contains(s)), "subjects", found.subjects.join(", "), ours);
    check(
        found.retention == RetentionPolicy::Limits,
        "retention",
        format!("{:?}", found.retention),
        "Limits, as every consumer reads every record".to_owned(),
    );
    check(
        found.max_age.is_zero() || found.max_age >= SHORTEST_MAX_AGE,
        "max_age",
        format!("{:?}", found.max_age),
        format!("{SHORTEST_MAX_AGE:?} or more (or none), as checkpoints must outlive every sync token"),
    );
    check(
        found.max_messages_per_subject <= 0,
        "max_msgs_per_subject",
        found.max_messages_per_subject.to_string(),
        "no bound, as each event of a resource has the same subject".to_owned(),
    );
    check(
        found.max_messages <= 0 || found.discard == DiscardPolicy::New,
        "max_msgs",
        format!("{} with discard old", found.max_messages),
        "no bound, or discard new".to_owned(),
    );
    check(
        found.max_bytes <= 0 || found.discard == DiscardPolicy::New,
        "max_bytes",
        format!("{} with discard old", found.max_bytes),
        "no bound, or discard new: else the oldest records and checkpoints are silently deleted".to_owned(),
    );
    check(
        found.max_message_size <= 0 || found.max_message_size >= SMALLEST_MESSAGE,
        "max_msg_size",
        found.max_message_size.to_string(),
        format!("{SMALLEST_MESSAGE} or more (or none), as an entry of the checkpoint must fit"),
    );
    check(
        found.duplicate_window >= wanted.duplicate_window,
        "duplicate_window",
        format!("{:?}", found.duplicate_window),
        format!("{:?} or more", wanted.duplicate_window),
    );
    check(
        found.num_replicas >= wanted.num_replicas,
        "num_replicas",
        found.num_replicas.to_string(),
        format!("{} or more", wanted.num_replicas),
    );
    check(!found.no_ack, "no_ack", "true".to_owned(), "false".to_owned());
    check(!found.sealed, "sealed", "true".to_owned(), "false".to_owned());
    check(
        !found.deny_purge,
        "deny_purge",
        "true".to_owned(),
        "false, as an old checkpoint entry goes when a new one comes".to_owned(),
    );
    problems
}

/// The abilities that the JetStream stream lacks and the bridge can add.
fn abilities_missing(found: &Config, wanted: &Config) -> Vec<&'static str> {
    let mut missing = Vec::new();
    if wanted.allow_atomic_publish && !found.allow_atomic_publish {
        missing.push("allow_atomic");
    }
    if wanted.allow_message_ttl && !found.allow_message_ttl {
        missing.push("allow_msg_ttl");
    }
    if !found.allow_rollup {
        missing.push("allow_rollup_hdrs");
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fine() -> Config {
        Config {
            subjects: vec!["asana.>".to_owned()],
            max_age: Duration::from_secs(168 * 3600),
            duplicate_window: Duration::from_secs(120),
            num_replicas: 1,
            max_messages: -1,
            max_bytes: -1,
            max_messages_per_subject: -1,
            ..Config::default()
        }
    }

    #[test]
    fn what_is_as_wanted_has_no_problem() {
        assert_eq!(problems(&fine(), &fine()), Vec::<String>::new());
    }

    #[test]
    fn each_problem_is_named() {
        type Spoil = fn(&mut Config);
        let table: [(&str, Spoil); 12] = [
            ("subjects", |c| c.subjects = vec!["other.>".to_owned()]),
            ("retention", |c| c.retention = RetentionPolicy::WorkQueue),
            ("max_age", |c| c.max_age = Duration::from_secs(24 * 3600)),
            ("max_msgs_per_subject", |c| c.max_messages_per_subject = 1),
            ("max_msgs", |c| c.max_messages = 5),
            ("max_bytes", |c| c.max_bytes = 5),
            ("max_msg_size", |c| c.max_message_size = 3_999),
            ("duplicate_window", |c| c.duplicate_window = Duration::from_secs(1)),
            ("num_replicas", |c| c.num_replicas = 0),
            ("no_ack", |c| c.no_ack = true),
            ("sealed", |c| c.sealed = true),
            ("deny_purge", |c| c.deny_purge = true),
        ];
        for (what, spoil) in table {
            let mut found = fine();
            spoil(&mut found);
            let problems = problems(&found, &fine());
            assert!(problems.len() == 1 && problems[0].starts_with(&format!("{what} is")), "{what}: {problems:?}");
        }
    }
}
