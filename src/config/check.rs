//! Turns the file's shape into types that can't be wrong, and collects every problem.

use super::checked::{
    Checked, CheckedAccount, CheckedAdmin, CheckedDiscovery, CheckedFile, CheckedOauth, CheckedReading, CheckedSink,
    Credential, left_for_polls,
};
use super::environment::Environment;
use super::gid;
use super::problem::{Place, Problems};
use super::secret::{Secret, SecretSource};
use super::suggest::nearest;
use super::tracing;
use super::{
    AccountConfig, AdminConfig, Config, CrawlConfig, FileConfig, OauthConfig, PollingConfig, REFRESH_SUFFIX,
    RefreshConfig, SecretConfig, StreamConfig,
};
use bridge_core::engine::StreamSpec;
use bridge_core::ids::{AccountName, Deployment, StreamId, StreamKind};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use url::{ParseError, Url};

/// A sync token dies after 24 hours (Asana's documentation of events); half of it is left
/// for outages.
const LONGEST_INTERVAL: Duration = Duration::from_secs(12 * 3600);
/// The maximum share of a budget for crawls. Polls need the rest.
const MOST_CRAWL_PERCENT: u32 = 90;
/// The longest name of a deployment: room for a namespace and a release of Kubernetes.
const LONGEST_DEPLOYMENT: usize = 128;
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);
const SHORTEST_REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

/// The state of a check: what it reads and what it has found.
pub(super) struct Check<'a> {
    pub(super) environment: &'a Environment,
    pub(super) problems: Problems,
    pub(super) warnings: Vec<String>,
    /// Hosts to which secrets may be sent without TLS.
    pub(super) insecure_hosts: Vec<String>,
}

impl Check<'_> {
    pub(super) fn problem(&mut self, place: &Place, message: impl Into<String>) {
        self.problems.add(place.clone(), message);
    }
}

/// Checks everything that the schema can't express. Connects to nothing.
pub(super) fn check(config: Config, environment: &Environment) -> (Option<Checked>, Problems) {
    let mut check =
        Check { environment, problems: Problems::default(), warnings: Vec::new(), insecure_hosts: Vec::new() };
    let root = Place::default();
    check.insecure_hosts = check.hosts(&config.insecure_hosts, &root.key("insecureHosts"));
    check.proxy_variables();

    if config.accounts.is_empty() {
        check.problem(&root.key("accounts"), "is empty: name an account, such as `main: {token: {env: ASANA_TOKEN}}`");
    }
    let accounts = config
        .accounts
        .iter()
        .filter_map(|(name, account)| check.account(name, account, &root.key("accounts").key(name)))
        .collect();
    let streams = check.streams(&config);
    check.polling(&config.polling, &root.key("polling"));
    check.crawl(&config.crawl, &config.accounts, &root.key("crawl"));
    check.state(&config.state, &config.sink, &root);
    if config.commit.max_pending.0 == 0 {
        check.problem(&root.key("commit").key("maxPending"), "must be above 0");
    }
    if config.index.path.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
        check.problem(&root.key("index").key("path"), "is empty: write a folder, or remove the key");
    }
    let discovery = check.discovery(&config, &root.key("discovery"));
    let webhooks = check.webhooks(&config.webhooks, &root.key("webhooks"));
    check.budgets(&config, &streams, &discovery);
    let admin = check.admin(&config.admin, &root.key("admin"));
    let deployment = check.deployment(config.deployment);
    if let (Some(admin), Some(webhooks)) = (&admin, &webhooks)
        && admin.listen == webhooks.listen
        && admin.listen.port() != 0
    {
        check.problem(&root.key("webhooks").key("listen"), "is the same as `admin.listen`: use another port");
    }
    let mut sink = check.sink(config.sink, &streams, !discovery.rules.is_empty(), &root.key("sink"));
    match sink.as_mut().filter(|_| config.state.refresh == RefreshConfig::On) {
        Some(CheckedSink::Kafka(kafka)) => {
            kafka.refresh_topic = Some(format!("{}{REFRESH_SUFFIX}", kafka.config.checkpoint_topic));
        }
        Some(CheckedSink::Nats(nats)) => nats.has_refresh_log = true,
        Some(CheckedSink::Console(_) | CheckedSink::File(_)) | None => {}
    }
    let replica = check.replica(config.replica.as_deref());
    let (sampling, warning) = tracing::sampling(environment);
    check.warnings.extend(warning);

    let Check { problems, warnings, .. } = check;
    let checked = sink.zip(replica).map(|(sink, replica)| Checked {
        accounts,
        streams,
        discovery,
        sink,
        polling: config.polling,
        crawl: config.crawl,
        state: config.state,
        commit: config.commit,
        index: config.index,
        admin,
        webhooks,
        shards: config.shards,
        deployment,
        checkpoint: config.checkpoint,
        replica,
        sampling,
        warnings,
    });
    (checked, problems)
}

/// Checks what a reader of the records needs, as far as the schema can't express it.
pub(super) fn check_reading(mut config: Config, environment: &Environment) -> (Option<CheckedReading>, Problems) {
    let mut check =
        Check { environment, problems: Problems::default(), warnings: Vec::new(), insecure_hosts: Vec::new() };
    let spec = |stream: &StreamConfig| {
        let of = |gid: &String, kind| StreamSpec { id: StreamId::new("", gid.as_str()), kind };
        let resource = stream.resource.as_ref().map(|gid| of(gid, StreamKind::Resource));
        resource.or_else(|| stream.workspace.as_ref().map(|gid| of(gid, StreamKind::Workspace)))
    };
    let streams: Vec<_> = config.streams.iter().filter_map(spec).collect();
    let discovers = !config.discovery.rules.is_empty();
    if let Some(kafka) = &mut config.sink.kafka {
        // Records contain all that is needed to decode them.
        kafka.schema_registry = None;
    }
    let deployment = check.deployment(config.deployment);
    let sink = check.sink(config.sink, &streams, discovers, &Place::default().key("sink"));
    let checked = sink.map(|sink| CheckedReading {
        sink,
        deployment,
        has_others: discovers || streams.is_empty(),
        streams,
        watermark_interval: config.commit.watermark_interval.0,
        shards: config.shards,
        replica: READER.to_owned(),
    });
    (checked, check.problems)
}

/// The name of a reader's connections.
const READER: &str = "reader";

impl Check<'_> {
    fn account(&mut self, name: &str, account: &AccountConfig, place: &Place) -> Option<CheckedAccount> {
        if !is_name(name) {
            self.problem(place, "an account's name may only have letters, digits, `.`, `_` and `-`");
        }
        let credential = match (&account.token, &account.oauth) {
            (Some(token), None) => self.token(token, &place.key("token")).map(Credential::Token),
            (None, Some(oauth)) => self.oauth(oauth, &place.key("oauth")).map(Credential::Oauth),
            (None, None) => {
                self.problem(place, "needs a credential, such as `token: {env: ASANA_TOKEN}`");
                None
            }
            (Some(_), Some(_)) => {
                self.problem(place, "has both `token` and `oauth`: keep one");
                None
            }
        };
        let base_url = self.secret_url(account.base_url.trim_end_matches('/'), &place.key("baseUrl"));
        if account.request_timeout.0 < SHORTEST_REQUEST_TIMEOUT {
            self.problem(&place.key("requestTimeout"), "must be at least `1s`");
        }
        self.certificates(account.ca_file.as_deref(), &place.key("caFile"));
        let proxy = account.proxy.as_deref().map(|proxy| self.url(proxy, &place.key("proxy")));
        let headers = self.headers(&account.headers, &place.key("headers"));
        Some(CheckedAccount {
            name: AccountName::from(name),
            credential: credential?,
            base_url: base_url?,
            ca_file: account.ca_file.clone(),
            proxy: match proxy {
                Some(proxy) => Some(proxy?),
                None => None,
            },
            requests_per_minute: account.requests_per_minute,
            max_in_flight: account.max_in_flight,
            request_timeout: account.request_timeout.0,
            headers,
        })
    }

    fn oauth(&mut self, oauth: &OauthConfig, place: &Place) -> Option<CheckedOauth> {
        if oauth.client_id.trim().is_empty() {
            self.problem(&place.key("clientId"), "is empty: write the application's client id");
        }
        let client_secret = oauth.client_secret.as_ref().map(|it| self.secret(it, &place.key("clientSecret")));
        let refresh_token = self.secret(&oauth.refresh_token, &place.key("refreshToken"));
        let token_url = self.secret_url(&oauth.token_url, &place.key("tokenUrl"));
        Some(CheckedOauth {
            client_id: oauth.client_id.clone(),
            client_secret: match client_secret {
                Some(secret) => Some(secret?),
                None => None,
            },
            refresh_token: refresh_token?,
            redirect_uri: oauth.redirect_uri.clone(),
            token_url: token_url?,
        })
    }

    /// A secret that is sent in a header.
    fn token(&mut self, secret: &SecretConfig, place: &Place) -> Option<SecretSource> {
        let source = self.secret(secret, place)?;
        let is_legal = |token: Secret| token.expose().bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
        if source.read().is_ok_and(is_legal) {
            return Some(source);
        }
        let problem = "isn't the token alone: remove white space, quotes, and words such as `Bearer`";
        self.problem(place, problem);
        None
    }

    /// The secret's source. It is read once as a test: a secret that can't be read now would fail later.
    pub(super) fn secret(&mut self, secret: &SecretConfig, place: &Place) -> Option<SecretSource> {
        // What stands in for the file's or variable's name isn't quoted: it may be the secret itself.
        let (source, place) = match (&secret.file, &secret.env) {
            (Some(file), None) => (SecretSource::File(file.clone()), place.key("file")),
            (None, Some(variable)) => {
                let place = place.key("env");
                if !is_variable(variable) {
                    self.problem(&place, "must be only the name of an environment variable, such as `ASANA_TOKEN`, without `$`; not the secret itself");
                    return None;
                }
                let Some(value) = self.environment.get(variable) else {
                    self.problem(
                        &place,
                        format!("the environment variable {variable} is not set: set it where the bridge starts"),
                    );
                    return None;
                };
                (SecretSource::Text(Secret::new(value)), place)
            }
            (None, None) => {
                self.problem(place, "needs `file: PATH` or `env: VARIABLE`: where the secret is");
                return None;
            }
            (Some(_), Some(_)) => {
                self.problem(place, "has both `file` and `env`: keep one");
                return None;
            }
        };
        match source.read() {
            Ok(_) => Some(source),
            Err(error) => {
                self.problem(&place, format!("the secret can't be read: {}", unreadable(&error)));
                None
            }
        }
    }

    pub(super) fn url(&mut self, text: &str, place: &Place) -> Option<Url> {
        let problem = match Url::parse(text) {
            Err(ParseError::RelativeUrlWithoutBase) => "must begin with https:// or http://".to_owned(),
            Ok(url) if !matches!(url.scheme(), "http" | "https") => "must begin with https:// or http://".to_owned(),
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                "must hold no user or password".to_owned()
            }
            Ok(url) if url.query().is_some() || url.fragment().is_some() => "must have no `?` or `#`".to_owned(),
            Ok(url) => return Some(url),
            Err(error) => format!("is no URL: {error}"),
        };
        self.problem(place, problem);
        None
    }

    fn streams(&mut self, config: &Config) -> Vec<StreamSpec> {
        let place = Place::default().key("streams");
        if config.streams.is_empty() && config.discovery.rules.is_empty() {
            self.problem(&place, "is empty: name what to poll, such as `- resource: \"GID\"`");
        }
        let mut first_at: BTreeMap<StreamId, usize> = BTreeMap::new();
        let mut specs = Vec::with_capacity(config.streams.len());
        for (index, stream) in config.streams.iter().enumerate() {
            let place = place.item(index);
            let Some(spec) = self.stream(stream, &config.accounts, &place) else { continue };
            if let Some(first) = first_at.get(&spec.id) {
                self.problem(&place, format!("is the same as streams[{first}]: account and gid are equal"));
                continue;
            }
            first_at.insert(spec.id.clone(), index);
            specs.push(spec);
        }
        specs
    }

    fn stream(
        &mut self,
        stream: &StreamConfig,
        accounts: &BTreeMap<String, AccountConfig>,
        place: &Place,
    ) -> Option<StreamSpec> {
        let account = self.account_of(stream.account.as_deref(), accounts, place);
        let (gid, kind) = match (&stream.resource, &stream.workspace) {
            (Some(text), None) => (self.gid(gid::gid(text), &place.key("resource")), StreamKind::Resource),
            (None, Some(text)) => (self.gid(gid::workspace(text), &place.key("workspace")), StreamKind::Workspace),
            (None, None) => {
                self.problem(
                    place,
                    "needs `resource` or `workspace`: what to poll, such as `resource: \"1204619611402340\"`",
                );
                return None;
            }
            (Some(_), Some(_)) => {
                self.problem(place, "has both `resource` and `workspace`: keep one, or make it two streams");
                return None;
            }
        };
        Some(StreamSpec { id: StreamId::new(account?, gid?), kind })
    }

    pub(super) fn gid(&mut self, gid: Result<String, String>, place: &Place) -> Option<String> {
        gid.map_err(|problem| self.problem(place, problem)).ok()
    }

    pub(super) fn account_of<'a>(
        &mut self,
        named: Option<&'a str>,
        accounts: &'a BTreeMap<String, AccountConfig>,
        place: &Place,
    ) -> Option<&'a str> {
        let mut names = accounts.keys().map(String::as_str);
        let known = || accounts.keys().map(String::as_str);
        match (named, names.next(), names.next()) {
            (Some(name), ..) if accounts.contains_key(name) => Some(name),
            // Each of them would only repeat that there is no account.
            (_, None, _) => None,
            (Some(name), ..) => {
                let hint = match nearest(name, known()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("there are {}", known().collect::<Vec<_>>().join(", ")),
                };
                self.problem(&place.key("account"), format!("there is no such account; {hint}"));
                None
            }
            (None, Some(only), None) => Some(only),
            (None, Some(_), Some(_)) => {
                let names = known().collect::<Vec<_>>().join(", ");
                self.problem(place, format!("needs `account`, as there are several: {names}"));
                None
            }
        }
    }

    fn polling(&mut self, polling: &PollingConfig, place: &Place) {
        if polling.min_interval.0 < SHORTEST_INTERVAL {
            self.problem(&place.key("minInterval"), "must be at least `100ms`");
        }
        if polling.max_interval.0 > LONGEST_INTERVAL {
            self.problem(&place.key("maxInterval"), "must be at most `12h`: a sync token dies after 24 hours");
        }
        if polling.min_interval.0 > polling.max_interval.0 {
            self.problem(place, "`minInterval` is above `maxInterval`: raise the one or lower the other");
        }
    }

    fn admin(&mut self, admin: &AdminConfig, place: &Place) -> Option<CheckedAdmin> {
        let listen = self.listen(admin.listen.as_deref()?, "0.0.0.0:8080", &place.key("listen"))?;
        let allowed_hosts = self.hosts(&admin.allowed_hosts, &place.key("allowedHosts"));
        let stream_metrics = usize::try_from(admin.stream_metrics).unwrap_or(usize::MAX);
        Some(CheckedAdmin { listen, status_page: admin.status_page, allowed_hosts, stream_metrics })
    }

    /// An address to listen on.
    pub(super) fn listen(&mut self, text: &str, example: &str, place: &Place) -> Option<SocketAddr> {
        let hint = match text.parse() {
            Ok(address) => return Some(address),
            Err(_) if text.starts_with("localhost:") => "write 127.0.0.1 instead of localhost".to_owned(),
            Err(_) => format!("write one such as `{example}`, or `127.0.0.1:PORT` for this machine alone"),
        };
        self.problem(place, format!("is no address with a port: {hint}"));
        None
    }

    fn crawl(&mut self, crawl: &CrawlConfig, accounts: &BTreeMap<String, AccountConfig>, place: &Place) {
        if crawl.account.is_some() {
            self.account_of(crawl.account.as_deref(), accounts, place);
        }
        if !(1..=MOST_CRAWL_PERCENT).contains(&crawl.budget_percent) {
            self.problem(&place.key("budgetPercent"), "must be between 1 and 90: polls need the rest");
        }
        if !(1..=100).contains(&crawl.short_list_percent) {
            self.problem(&place.key("shortListPercent"), "must be between 1 and 100");
        }
        let interval = crawl.reconcile_interval.0;
        if !interval.is_zero() && interval < crawl.late_events.0 {
            let message = "must be `0s`, or `lateEvents` at least: else it isn't known yet which events are missed";
            self.problem(&place.key("reconcileInterval"), message);
        }
    }

    /// Checks that each account's budget suffices for its streams while they are quiet.
    fn budgets(&mut self, config: &Config, streams: &[StreamSpec], discovery: &CheckedDiscovery) {
        for (name, account) in &config.accounts {
            let of_account = streams.iter().filter(|stream| stream.id.account.as_str() == name).count() as u64;
            let has_webhooks = config.webhooks.listen.is_some();
            let per_minute =
                left_for_polls(discovery, has_webhooks, &name.as_str().into(), account.requests_per_minute);
            let per_minute = u64::from(config.state.left(per_minute).get());
            let polls_in = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX) * per_minute / 60_000;
            let place = Place::default().key("accounts").key(name).key("requestsPerMinute");
            if of_account > polls_in(LONGEST_INTERVAL) {
                self.problem(
                    &place,
                    format!(
                        "{per_minute} a minute can't poll {of_account} streams once in 12 hours; use more accounts"
                    ),
                );
            } else if of_account > polls_in(config.polling.max_interval.0.min(LONGEST_INTERVAL)) {
                let pace = Duration::from_secs((of_account * 60).div_ceil(per_minute));
                self.warnings.push(format!(
                    "{place}: {per_minute} a minute can't poll {of_account} streams every {}; they will be polled \
                     every {} on average, quiet ones less often",
                    config.polling.max_interval,
                    humantime::format_duration(pace),
                ));
            }
        }
    }

    fn sink(
        &mut self,
        sink: super::SinkConfig,
        streams: &[StreamSpec],
        discovers: bool,
        place: &Place,
    ) -> Option<CheckedSink> {
        let named = [
            sink.kafka.as_ref().map(|_| "kafka"),
            sink.nats.as_ref().map(|_| "nats"),
            sink.console.as_ref().map(|_| "console"),
            sink.file.as_ref().map(|_| "file"),
        ];
        let named: Vec<&str> = named.into_iter().flatten().collect();
        match (named.as_slice(), sink.kafka, sink.nats, sink.console, sink.file) {
            ([_], Some(kafka), ..) => {
                self.kafka(kafka, streams, discovers, &place.key("kafka")).map(Box::new).map(CheckedSink::Kafka)
            }
            ([_], _, Some(nats), ..) => self.nats(nats, &place.key("nats")).map(Box::new).map(CheckedSink::Nats),
            ([_], _, _, Some(console), _) => Some(CheckedSink::Console(console)),
            ([_], _, _, _, Some(file)) => self.file(file, &place.key("file")).map(CheckedSink::File),
            ([], ..) => {
                self.problem(place, "needs one of `kafka`, `nats`, `console` and `file`, such as `kafka: {bootstrapServers: \"kafka-1:9092\"}`");
                None
            }
            (several, ..) => {
                self.problem(place, format!("has {}: keep one", several.join(" and ")));
                None
            }
        }
    }

    fn file(&mut self, file: FileConfig, place: &Place) -> Option<CheckedFile> {
        if file.path.as_os_str().is_empty() {
            self.problem(&place.key("path"), "is empty: write the name of a file");
            return None;
        }
        let mut checked = CheckedFile::at(file.path);
        checked.checkpoint = file.checkpoint.unwrap_or(checked.checkpoint);
        if checked.checkpoint == checked.path {
            self.problem(&place.key("checkpoint"), "is the same file as `path`");
            return None;
        }
        Some(checked)
    }

    fn deployment(&mut self, configured: Option<String>) -> Deployment {
        let name = configured.unwrap_or_default();
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if name.len() > LONGEST_DEPLOYMENT || !name.chars().all(legal) {
            let problem = format!("must be letters, digits, `-` and `_`, {LONGEST_DEPLOYMENT} of them at most");
            self.problem(&Place::default().key("deployment"), problem);
        }
        name.into()
    }

    fn replica(&mut self, configured: Option<&str>) -> Option<String> {
        let name = configured
            .or_else(|| self.environment.get("POD_NAME"))
            .or_else(|| self.environment.host())
            .unwrap_or_default();
        if is_name(name) {
            return Some(name.to_owned());
        }
        let problem = match name {
            "" => "is empty, and neither POD_NAME nor the host has a name: give one",
            _ => {
                "may only have letters, digits, `.`, `_` and `-` (it is the file's, else POD_NAME, else the host's name)"
            }
        };
        self.problem(&Place::default().key("replica"), problem);
        None
    }

    /// Checks that at most one of these keys is set.
    pub(super) fn at_most_one(&mut self, place: &Place, keys: &[(&str, bool)]) {
        let there: BTreeSet<&str> = keys.iter().filter(|(_, there)| *there).map(|(key, _)| *key).collect();
        if there.len() > 1 {
            let keys: Vec<String> = there.iter().map(|key| format!("`{key}`")).collect();
            self.problem(place, format!("has {}: keep one", keys.join(" and ")));
        }
    }
}

/// Why a file can't be read, without its path, which may be a secret in the wrong place.
pub(super) fn unreadable(error: &io::Error) -> String {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others have texts of their own")]
    match error.kind() {
        io::ErrorKind::NotFound => "there is no file of this name; write its whole path".to_owned(),
        io::ErrorKind::PermissionDenied => "the bridge's user has no right to read it".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder; write the path of a file in it".to_owned(),
        _ => error.to_string(),
    }
}

fn is_variable(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Names that go into stream ids, transactional ids and subjects.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}
