//! The meaning of librdkafka's errors for a transaction.

use crate::sink::{CommitError, SinkError};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::fmt;

/// The step of a transaction that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// `init_transactions`: fences an earlier producer with the same transactional id.
    Init,
    /// `begin_transaction`: starts a transaction.
    Begin,
    /// The sending of messages, and their acknowledgement.
    Deliver,
    /// `send_offsets_to_transaction`: ties the transaction to the group's generation.
    SendOffsets,
    /// `commit_transaction`: commits the transaction.
    Commit,
    /// `abort_transaction`: aborts the transaction.
    Abort,
}

impl Step {
    /// The step, for people, after "while".
    fn action(self) -> &'static str {
        match self {
            Self::Init => "initialising Kafka transactions",
            Self::Begin => "beginning a Kafka transaction",
            Self::Deliver => "sending messages in a Kafka transaction",
            Self::SendOffsets => "fencing a Kafka transaction by the group's generation",
            Self::Commit => "committing a Kafka transaction",
            Self::Abort => "aborting a Kafka transaction",
        }
    }
}

/// What the caller has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Repeat the same call: librdkafka continues where it was.
    Repeat,
    /// Abort. Nothing is on the bus, and the same batch may be written again.
    Abort,
    /// Abort. The same batch would fail again until the operator acts.
    AbortRefused,
    /// A newer producer with the same transactional id exists. The client can't be used any more.
    Fenced,
    /// The client can't be used any more.
    Fatal,
}

/// The properties of a librdkafka error, apart from its text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    code: Option<RDKafkaErrorCode>,
    fatal: bool,
    abortable: bool,
    retriable: bool,
}

impl Facts {
    /// `cause` is the code of the fatal error, if the client had one.
    pub(super) fn new(error: &KafkaError, cause: Option<RDKafkaErrorCode>) -> Self {
        let code = error.rdkafka_error_code();
        match (error, cause) {
            (_, Some(cause)) => Self { code: Some(cause), fatal: true, abortable: false, retriable: false },
            (KafkaError::Transaction(inner), None) => Self {
                code,
                fatal: inner.is_fatal(),
                abortable: inner.txn_requires_abort(),
                retriable: inner.is_retriable(),
            },
            // The flush before a commit, and calls outside of transactions.
            (other, None) => {
                Self { code, fatal: false, abortable: false, retriable: matches!(other, KafkaError::Flush(_)) }
            }
        }
    }
}

/// Decides what an error means. This is the only such place.
pub(super) fn sort(step: Step, facts: Facts) -> Fate {
    use RDKafkaErrorCode as Code;
    let Facts { code, fatal, abortable, retriable } = facts;
    match (code.unwrap_or(Code::Unknown), step) {
        // During sending, librdkafka may recover with a new epoch, once the transaction is aborted.
        (Code::InvalidProducerEpoch, Step::Deliver) if !fatal => Fate::Abort,
        // Another producer has the transactional id. librdkafka reports it with several codes.
        (Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch, _) => Fate::Fenced,
        // A fatal error is reported again by every call.
        (Code::Fatal, _) => Fate::Fatal,
        (_, _) if fatal => Fate::Fatal,

        // The group rejects our membership. A rebalance gives a new generation also to members that keep their shards.
        // The member learns of lost shards with its next heartbeat.
        (
            Code::UnknownMemberId
            | Code::FencedInstanceId
            | Code::IllegalGeneration
            | Code::StaleMemberEpoch
            | Code::FencedMemberEpoch
            | Code::RebalanceInProgress,
            Step::SendOffsets,
        ) => Fate::Abort,

        // Errors that only the operator can fix.
        (
            Code::MessageSizeTooLarge
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::UnknownTopicOrPartition
            | Code::UnknownTopic
            | Code::UnknownPartition
            | Code::InvalidRecord
            | Code::PolicyViolation
            | Code::UnsupportedForMessageFormat
            | Code::UnsupportedCompressionType,
            Step::Begin | Step::Deliver | Step::SendOffsets | Step::Commit,
        ) => Fate::AbortRefused,

        (_, Step::Abort | Step::Init) if retriable => Fate::Repeat,
        (_, _) if abortable => Fate::Abort,
        (_, _) if retriable => Fate::Repeat,
        // A message failed: librdkafka requires an abort at the next call.
        (_, Step::Deliver) => Fate::Abort,
        // Such as `State`: the client isn't in the expected state.
        (_, _) => Fate::Fatal,
    }
}

/// The error for an aborted transaction, which may be written again.
pub(super) fn aborted(step: Step, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> CommitError {
    CommitError::Aborted(SinkError::unavailable(step.action(), error))
}

/// The error for a transactional id that another producer has taken.
pub(super) fn fenced(step: Step, error: KafkaError) -> CommitError {
    CommitError::Fenced(SinkError::unavailable(step.action(), error))
}

/// The error for a client that can't be used any more.
pub(super) fn fatal(step: Step, error: KafkaError) -> CommitError {
    CommitError::Fatal(setup(step.action(), error))
}

/// The error for a commit that the cluster refuses until the operator acts, such as by this right.
pub(super) fn refused(step: Step, right: &Right, error: KafkaError) -> CommitError {
    CommitError::Fatal(setup_with(step.action(), right, error))
}

/// The error of a read that may succeed later.
///
/// # Errors
/// One that the operator has to fix, or that another login may fix.
pub(super) fn passing(action: &str, right: &Right, error: KafkaError) -> Result<SinkError, SinkError> {
    match setup_with(action, right, error) {
        error @ SinkError::Unavailable { .. } => Ok(error),
        error @ (SinkError::Refused { .. }
        | SinkError::Setup { .. }
        | SinkError::Tampered { .. }
        | SinkError::ReaderGone) => Err(error),
    }
}

/// The error for a call that doesn't return.
pub(super) fn hung(step: Step) -> CommitError {
    CommitError::Fatal(SinkError::unavailable(step.action(), "the client hangs"))
}

/// The error for a call that was repeated as often as is reasonable.
pub(super) fn unknown(step: Step, error: KafkaError) -> CommitError {
    CommitError::Unknown(SinkError::unavailable(step.action(), error))
}

/// The lack of a connection, with librdkafka's last message about it. It passes if a broker is away for a while, so the
/// bridge retries. Otherwise the operator has to act.
pub(super) fn no_connection(trouble: String) -> (String, &'static str) {
    let remedy = Obstacle::of(&trouble).remedy();
    (trouble, remedy)
}

/// What keeps a client from the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// No broker answers at the addresses.
    Unreachable,
    /// A broker's certificate isn't trusted.
    Certificate,
    /// The brokers don't accept the client's certificate.
    ClientCertificate,
    /// The brokers don't accept the login.
    Login,
    /// The client and the brokers use different protocols.
    Protocol,
}

impl Obstacle {
    /// By librdkafka's words.
    pub(super) fn of(trouble: &str) -> Self {
        let has = |words: &[&str]| words.iter().any(|word| trouble.contains(word));
        if has(&["Connect to", "resolve"]) {
            Self::Unreachable
        } else if has(&["certificate verify failed", "certificate could not be verified"]) {
            Self::Certificate
        } else if has(&["alert certificate", "alert bad certificate", "alert unknown ca"]) {
            Self::ClientCertificate
        } else if has(&["SASL", "uthentication"]) {
            Self::Login
        } else if has(&["SSL", "ssl://", "security.protocol", "Disconnected"]) {
            Self::Protocol
        } else {
            Self::Unreachable
        }
    }

    /// What to do, by the names of the configuration.
    pub(super) fn remedy(self) -> &'static str {
        match self {
            Self::Unreachable => {
                "check `sink.kafka.bootstrapServers`, that the brokers run, and that nothing between keeps them \
                 apart from here"
            }
            Self::Certificate => {
                "give the authority that signed the brokers' certificates as `ssl.ca.location` in \
                 `sink.kafka.properties`, and see that `bootstrapServers` has the names that the certificates have"
            }
            Self::ClientCertificate => {
                "give a certificate that the brokers accept, and that hasn't expired, as `ssl.certificate.location` and \
                 `ssl.key.location` in `sink.kafka.properties`"
            }
            Self::Login => {
                "check `sasl.mechanisms` and `sasl.username` in `sink.kafka.properties`, and `sasl.password` in \
                 `sink.kafka.secretProperties`"
            }
            Self::Protocol => {
                "check `security.protocol` and the properties that begin with `ssl.` in `sink.kafka.properties`, \
                 and that Kafka is at `bootstrapServers`"
            }
        }
    }

    /// What to do, by the options of a command without a configuration.
    pub(super) fn remedy_of_options(self) -> &'static str {
        match self {
            Self::Unreachable => {
                "check the address in `--kafka`, that the brokers run, and that nothing between keeps them apart from here"
            }
            Self::Certificate => {
                "give the authority that signed the brokers' certificates with `-X ssl.ca.location=FILE`, and use the \
                 names that the certificates have in `--kafka`"
            }
            Self::ClientCertificate => {
                "give a certificate that the brokers accept with `-X ssl.certificate.location=FILE` and \
                 `-X ssl.key.location=FILE`"
            }
            Self::Login => "check `-X sasl.mechanisms=…`, `-X sasl.username=…` and `-X sasl.password=…`",
            Self::Protocol => {
                "check `-X security.protocol=…` and the properties that begin with `ssl.`, and that Kafka is at the \
                 address in `--kafka`"
            }
        }
    }
}

/// A right on a topic, without which the cluster refuses a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Right {
    operation: &'static str,
    topic: String,
}

impl Right {
    /// To create the topic.
    pub(super) fn create(topic: &str) -> Self {
        Self { operation: "Create", topic: topic.to_owned() }
    }

    /// To see the topic and its partitions.
    pub(super) fn describe(topic: &str) -> Self {
        Self { operation: "Describe", topic: topic.to_owned() }
    }

    /// To see the topic's settings.
    pub(super) fn describe_configs(topic: &str) -> Self {
        Self { operation: "DescribeConfigs", topic: topic.to_owned() }
    }

    /// To read from the topic, and to commit offsets for it.
    pub(super) fn read(topic: &str) -> Self {
        Self { operation: "Read", topic: topic.to_owned() }
    }

    /// To write to the topic.
    pub(super) fn write(topic: &str) -> Self {
        Self { operation: "Write", topic: topic.to_owned() }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on the topic {}", self.operation, self.topic)
    }
}

/// The same as [`setup`], for a request that needs a right on a topic.
pub(super) fn setup_with(action: &str, right: &Right, error: KafkaError) -> SinkError {
    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed) {
        return SinkError::Setup { problem: format!("{action}: {error}"), remedy: format!("allow {right}") };
    }
    setup(action, error)
}

/// The error of a setup step, with a remedy if there is one.
#[expect(clippy::wildcard_enum_match_arm, reason = "librdkafka's codes are an open set; the rest has no remedy")]
pub(super) fn setup(action: &str, error: KafkaError) -> SinkError {
    use RDKafkaErrorCode as Code;
    let remedy = match error.rdkafka_error_code().unwrap_or(Code::Unknown) {
        Code::TopicAuthorizationFailed => "allow what docs/operations/doctor.md lists on the bridge's topics",
        Code::GroupAuthorizationFailed => "allow Read on the group `sink.kafka.groupId`",
        Code::ClusterAuthorizationFailed => {
            "allow IdempotentWrite on the cluster, and Create if the bridge creates topics"
        }
        Code::TransactionalIdAuthorizationFailed => {
            "allow Write on transactional ids that begin with `sink.kafka.groupId`"
        }
        Code::SaslAuthenticationFailed | Code::Authentication => {
            let remedy = "check `sink.kafka.properties` and `secretProperties` of SASL and TLS".to_owned();
            return SinkError::Refused { problem: format!("{action}: {error}"), remedy };
        }
        Code::MessageSizeTooLarge => "raise the topic's `max.message.bytes` with kafka-configs.sh, then restart",
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
            "check if a topic was deleted, and restart, so that topics are created and checked again"
        }
        Code::UnsupportedFeature | Code::UnsupportedVersion => "use a cluster of Apache Kafka 2.5 or newer",
        _ => return SinkError::unavailable(action, error),
    };
    SinkError::Setup { problem: format!("{action}: {error}"), remedy: remedy.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RDKafkaErrorCode as Code;

    const PLAIN: Facts = Facts { code: None, fatal: false, abortable: false, retriable: false };

    #[test]
    fn every_kind_of_error_has_its_fate() {
        let fatal = |code| Facts { code: Some(code), fatal: true, ..PLAIN };
        let abortable = |code| Facts { code: Some(code), abortable: true, ..PLAIN };
        let retriable = |code| Facts { code: Some(code), retriable: true, ..PLAIN };
        let plain = |code| Facts { code: Some(code), ..PLAIN };
        let table = [
            (Step::Commit, retriable(Code::OperationTimedOut), Fate::Repeat),
            (Step::Abort, retriable(Code::OperationTimedOut), Fate::Repeat),
            (Step::Init, retriable(Code::OperationTimedOut), Fate::Repeat),
            (Step::SendOffsets, retriable(Code::OperationTimedOut), Fate::Repeat),
            (Step::SendOffsets, abortable(Code::OperationTimedOut), Fate::Abort),
            (Step::SendOffsets, abortable(Code::IllegalGeneration), Fate::Abort),
            (Step::SendOffsets, abortable(Code::StaleMemberEpoch), Fate::Abort),
            (Step::SendOffsets, abortable(Code::UnknownMemberId), Fate::Abort),
            (Step::SendOffsets, abortable(Code::FencedInstanceId), Fate::Abort),
            (Step::SendOffsets, abortable(Code::RebalanceInProgress), Fate::Abort),
            (Step::SendOffsets, abortable(Code::GroupAuthorizationFailed), Fate::AbortRefused),
            (Step::Commit, abortable(Code::OperationTimedOut), Fate::Abort),
            (Step::Commit, fatal(Code::Fenced), Fate::Fenced),
            (Step::Commit, fatal(Code::ProducerFenced), Fate::Fenced),
            (Step::Commit, fatal(Code::InvalidProducerEpoch), Fate::Fenced),
            (Step::Abort, fatal(Code::Fenced), Fate::Fenced),
            (Step::Begin, fatal(Code::Fenced), Fate::Fenced),
            (Step::Commit, fatal(Code::InvalidTransactionalState), Fate::Fatal),
            (Step::Commit, fatal(Code::Fatal), Fate::Fatal),
            (Step::Begin, plain(Code::State), Fate::Fatal),
            (Step::Deliver, plain(Code::MessageTimedOut), Fate::Abort),
            (Step::Deliver, plain(Code::InvalidProducerEpoch), Fate::Abort),
            (Step::Deliver, plain(Code::Fenced), Fate::Fenced),
            (Step::Deliver, plain(Code::MessageSizeTooLarge), Fate::AbortRefused),
            (Step::Deliver, plain(Code::TopicAuthorizationFailed), Fate::AbortRefused),
            (Step::Deliver, plain(Code::Fatal), Fate::Fatal),
            (Step::Init, fatal(Code::TransactionalIdAuthorizationFailed), Fate::Fatal),
        ];
        for (step, facts, fate) in table {
            assert_eq!(sort(step, facts), fate, "{step:?} {facts:?}");
        }
    }

    #[test]
    fn what_keeps_from_a_connection_is_told_with_a_remedy() {
        for (trouble, remedy) in [
            ("ssl://k:9093/bootstrap: SSL handshake failed: certificate verify failed: no", "ssl.ca.location"),
            ("ssl://k:9093/bootstrap: Receive failed: ssl/tls alert certificate unknown", "ssl.certificate.location"),
            ("sasl_ssl://k:9093/bootstrap: SASL authentication error: Authentication failed", "sasl.password"),
            ("k:9093/bootstrap: Disconnected: might be caused by incorrect security.protocol", "security.protocol"),
            (
                "sasl_ssl://k:9093/bootstrap: Connect to ipv4#10.0.0.1:9093 failed: Connection refused",
                "bootstrapServers",
            ),
        ] {
            assert!(no_connection(trouble.to_owned()).1.contains(remedy), "{trouble}");
            let remedy = if remedy == "bootstrapServers" { "--kafka" } else { remedy };
            assert!(Obstacle::of(trouble).remedy_of_options().contains(remedy), "{trouble}");
        }
    }

    #[test]
    fn what_the_operator_can_change_is_told_with_a_remedy() {
        let error = setup("trying", KafkaError::Global(Code::GroupAuthorizationFailed));
        assert!(matches!(error, SinkError::Setup { .. }), "{error}");
        let error = setup("trying", KafkaError::Global(Code::SaslAuthenticationFailed));
        assert!(matches!(error, SinkError::Refused { .. }), "{error}");
        let error = setup("trying", KafkaError::Global(Code::BrokerTransportFailure));
        assert!(matches!(error, SinkError::Unavailable { .. }), "{error}");
    }
}
