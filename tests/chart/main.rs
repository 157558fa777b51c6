//! The Helm chart: what it renders is what Kubernetes and the program take, and what it says of itself is true.
//! `UPDATE=1` writes what is generated of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    reason = "a test may stop at the first surprise, look at the clock, and print"
)]

mod causes;
mod pod;
#[path = "../support/mod.rs"]
mod support;

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;
use support::tls::Certificates;

/// What the pod needs beside the deadlines of the program: its start of stopping, and the bus's last answer.
const SPARE_SECONDS: u64 = 5;

static TOOLS: LazyLock<PathBuf> = LazyLock::new(|| {
    let output = Command::new(root().join("scripts/chart-env")).output().expect("run scripts/chart-env");
    assert!(output.status.success(), "{}", text(&output.stderr));
    PathBuf::from(text(&output.stdout).trim())
});

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn chart() -> PathBuf {
    root().join("helm/asana-event-bridge")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn examples() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("helm/examples")).expect("helm/examples");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert!(files.len() >= 10, "{files:?}");
    files
}

fn example(name: &str) -> PathBuf {
    root().join("helm/examples").join(name).with_extension("yaml")
}

/// Runs one of the tools, with something to read.
fn tool(name: &str, arguments: &[&str], stdin: &str) -> Output {
    let given = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(given.path(), stdin).expect("write");
    let mut command = Command::new(TOOLS.join(name));
    command.args(arguments).stdin(std::fs::File::open(given.path()).expect("open"));
    command.output().unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn template(values: &Path, sets: &[&str]) -> Output {
    let chart = chart();
    let mut arguments = vec!["template", "bridge", chart.to_str().unwrap(), "--values", values.to_str().unwrap()];
    arguments.extend(["--namespace", "asana"]);
    arguments.extend(sets.iter().flat_map(|set| ["--set-json", set]));
    tool("helm", &arguments, "")
}

fn rendered(values: &Path, sets: &[&str]) -> String {
    let output = template(values, sets);
    assert!(output.status.success(), "{}: {}", values.display(), text(&output.stderr));
    text(&output.stdout)
}

fn objects(values: &Path, sets: &[&str]) -> Vec<Value> {
    let documents = rendered(values, sets);
    let parsed = documents.split("\n---\n").map(|document| serde_saphyr::from_str(document).expect("YAML"));
    parsed.filter(|object: &Value| !object.is_null()).collect()
}

fn object<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    objects.iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
}

/// All sets that turn on whatever is off, of Kafka.
fn everything() -> Vec<&'static str> {
    vec![
        "autoscaling.enabled=true",
        "networkPolicy.enabled=true",
        "podMonitor.enabled=true",
        "prometheusRule.enabled=true",
        "dashboard.enabled=true",
        "doctor.enabled=true",
        r#"imagePullSecrets=[{"name":"registry"}]"#,
        r#"tolerations=[{"key":"x","operator":"Exists"}]"#,
        r#"annotations={"x":"y"}"#,
        r#"dnsConfig={"options":[{"name":"ndots","value":"2"}]}"#,
        r#"hostAliases=[{"ip":"10.0.0.1","hostnames":["kafka"]}]"#,
        r#"initContainers=[{"name":"before","image":"x"}]"#,
        r#"extraContainers=[{"name":"beside","image":"x"}]"#,
        r#"extraEnvFrom=[{"configMapRef":{"name":"x"}}]"#,
        r#"podMonitor.scrapeTimeout="10s""#,
        r#"podMonitor.relabelings=[{"targetLabel":"x","replacement":"y"}]"#,
        r#"podMonitor.metricRelabelings=[{"action":"labeldrop","regex":"x"}]"#,
        r#"prometheusRule.runbookUrl="https://git.example.com/alerts.md#""#,
        r#"prometheusRule.alertLabels={"team":"one"}"#,
        r#"prometheusRule.alertAnnotations={"link":"two"}"#,
    ]
}

#[test]
fn every_example_is_what_kubernetes_and_the_program_take() {
    for values in examples() {
        for sets in [vec![], everything()] {
            if values.ends_with("production.yaml") && !sets.is_empty() {
                continue; // It has a ServiceMonitor, and both are one too many.
            }
            let documents = rendered(&values, &sets);
            let checked = tool("manifests", &[], &documents);
            assert!(checked.status.success(), "{}: {}", values.display(), text(&checked.stderr));
            assert!(text(&checked.stdout).contains("Deployment"), "{}", values.display());
        }
        let chart = chart();
        let linted = tool("helm", &["lint", "--strict", chart.to_str().unwrap(), "-f", values.to_str().unwrap()], "");
        assert!(linted.status.success(), "{}: {}", values.display(), text(&linted.stdout));
        check_config(&values);
    }
}

/// The rendered configuration, with a secret in every file that it names, before `check-config`.
fn check_config(values: &Path) {
    let objects = objects(values, &[]);
    let config = object(&objects, "ConfigMap")["data"]["bridge.yaml"].as_str().expect("a file").to_owned();
    let folder = tempfile::tempdir().expect("a folder");
    let certificates = Certificates::make(folder.path());
    let secrets = config.split_whitespace().filter_map(|word| word.strip_prefix("/secrets/"));
    for secret in secrets {
        let file = folder.path().join(secret);
        std::fs::create_dir_all(file.parent().unwrap()).expect("a folder");
        // librdkafka reads certificates when the configuration is checked.
        let pem = match file.file_name().and_then(|name| name.to_str()) {
            Some("ca.crt") => Some(&certificates.authority),
            Some("tls.crt") => Some(&certificates.certificate),
            Some("tls.key") => Some(&certificates.key),
            _ => None,
        };
        match pem {
            Some(pem) => std::fs::copy(pem, file).map(drop).expect("copy"),
            None => std::fs::write(file, "secret").expect("write"),
        }
    }
    let file = folder.path().join("bridge.yaml");
    std::fs::write(&file, config.replace("/secrets/", &format!("{}/", folder.path().display()))).expect("write");
    let output = Command::new(env!("CARGO_BIN_EXE_asana-event-bridge"))
        .arg("check-config")
        .arg(&file)
        .env("POD_NAME", "bridge-0")
        .output()
        .expect("run the program");
    assert!(output.status.success(), "{}:\n{config}\n{}", values.display(), text(&output.stderr));
}

#[test]
fn what_the_validator_must_find_it_finds() {
    let fine = rendered(&example("quickstart"), &[]);
    for (from, to, what) in [
        ("containerPort:", "containerport:", "containerport"),
        ("minReadySeconds: 5", "minReadySeconds: five", "minReadySeconds"),
        ("automountServiceAccountToken: false", "autoMount: false", "autoMount"),
        ("kind: Service\n", "kind: Servise\n", "Servise"),
    ] {
        assert!(fine.contains(from), "{from}");
        let checked = tool("manifests", &[], &fine.replace(from, to));
        assert!(!checked.status.success() && text(&checked.stderr).contains(what), "{to}: {}", text(&checked.stderr));
    }
}

#[test]
fn the_defaults_lint_and_say_what_is_missing() {
    let chart = chart();
    let linted = tool("helm", &["lint", "--strict", chart.to_str().unwrap()], "");
    assert!(linted.status.success(), "{}", text(&linted.stdout));
    let output = template(&chart.join("values.yaml"), &[]);
    assert!(!output.status.success() && text(&output.stderr).contains("config.accounts is empty"));
}

#[test]
fn rules_of_discovery_are_enough_to_poll() {
    let rules = r#"config.discovery={"rules":[{"workspace":"1"}]}"#;
    rendered(&example("quickstart"), &["config.streams=[]", rules]);
    let output = template(&example("quickstart"), &["config.streams=[]"]);
    assert!(!output.status.success() && text(&output.stderr).contains("config.streams is empty"));
}

#[test]
fn the_quick_start_has_less_than_20_lines() {
    let text = read("helm/examples/quickstart.yaml");
    assert!(text.lines().filter(|line| !line.starts_with('#')).count() < 20);
}

#[test]
fn the_schema_refuses_typos() {
    for (set, word) in [
        ("replicacount=3", "replicacount"),
        (r#"image.tga="1""#, "tga"),
        (r#"secrets.asana.secretName="x""#, "secretName"),
        (r#"secrets={"Asana":{"existingSecret":"x"}}"#, "Asana"),
        ("terminationGracePeriodSeconds=20", "terminationGracePeriodSeconds"),
        ("config.stream=[]", "stream"),
        (r#"config.streams=[{"resource":1200}]"#, "resource"),
        (r#"config.polling.minIntervall="5s""#, "minIntervall"),
        (r#"config.accounts.main.token={"env":"TOKEN"}"#, "env"),
        (r#"config.accounts.main.token={"value":"0/abc"}"#, "value"),
        ("config.sink.kafka.topics.replicas=3", "replicas"),
        (r#"config.sink={"console":{}}"#, "console"),
        (r#"config.admin.listen="0.0.0.0:1""#, "listen"),
        (r#"listenAddress="::""#, "listenAddress"),
        (r#"service.ipFamilies=["ipv6"]"#, "ipFamilies"),
    ] {
        let output = template(&example("quickstart"), &[set]);
        let said = text(&output.stderr);
        assert!(!output.status.success(), "{set} passes");
        assert!(said.contains("schema") && said.contains(word), "{set}: {said}");
    }
}

#[test]
fn contradictions_end_the_rendering_with_a_sentence() {
    let nats = r#"config.sink={"nats":{"servers":["nats://nats:4222"]}}"#;
    for (sets, sentence) in [
        (&[r#"config.replica="one""#][..], "config.replica would give all pods the same name"),
        (&["config.sink.kafka.staticMembership=true"], "config.sink.kafka.staticMembership is for"),
        (&[r#"config.sink.nats={"servers":["nats://nats:4222"]}"#], "exactly one of kafka and nats"),
        (&["replicaCount=33"], "replicaCount is 33, but config.shards is 32"),
        (&[r#"autoscaling={"enabled":true,"maxReplicas":40}"#], "autoscaling.maxReplicas is 40"),
        (&[r#"autoscaling={"enabled":true,"minReplicas":9}"#], "minReplicas is above"),
        (&[r#"config.accounts.main.token={"file":"/secrets/other/token"}"#], "secrets.other is missing"),
        (&[r#"service.ipFamilies=["IPv6"]"#], "pods listen at 0.0.0.0"),
        (&[r#"image.repository="""#], "image.repository is empty"),
        (&["serviceMonitor.enabled=true", "podMonitor.enabled=true"], "count everything twice"),
        (&[r#"strimzi={"user":true}"#], "strimzi.cluster is empty"),
        (&[nats, r#"strimzi={"user":true,"cluster":"main"}"#], "strimzi needs config.sink.kafka"),
        (
            &[r#"config.sink.kafka.topic="asana.{stream}""#, r#"strimzi={"topics":true,"cluster":"main"}"#],
            "strimzi.topics can't create",
        ),
    ] {
        let output = template(&example("quickstart"), sets);
        let said = text(&output.stderr);
        assert!(!output.status.success() && said.contains(sentence), "{sets:?}: {said}");
    }
}

/// What injects secrets into pods puts them elsewhere, and `secrets` knows nothing of it.
#[test]
fn files_from_elsewhere_are_no_business_of_secrets() {
    for file in ["/vault/secrets/asana-token", "/var/run/secrets/asana/token"] {
        let token = format!(r#"config.accounts.main.token={{"file":"{file}"}}"#);
        assert!(rendered(&example("quickstart"), &[&token]).contains(file));
    }
    let authority = r#"config.sink.kafka.properties={"ssl.ca.location":"/secrets/ca/a: b"}"#;
    let said = text(&template(&example("quickstart"), &[authority]).stderr);
    assert!(said.contains("secrets.ca is missing"), "{said}");
}

fn pods(objects: &[Value]) -> Vec<&Value> {
    let spec = |object: &'static str| move |it: &&Value| it["kind"] == object;
    let templates = objects.iter().filter(|it| spec("Deployment")(it) || spec("Job")(it));
    let bare = objects.iter().filter(spec("Pod")).map(|pod| &pod["spec"]);
    templates.map(|it| &it["spec"]["template"]["spec"]).chain(bare).collect()
}

#[test]
fn pods_have_no_rights_and_secrets_are_files_that_follow_changes() {
    for values in examples() {
        let objects = objects(&values, &["doctor.enabled=true"]);
        let pods = pods(&objects);
        assert_eq!(pods.len(), 4, "the bridge, the doctor, two tests");
        for pod in pods {
            assert_eq!(pod["automountServiceAccountToken"], false);
            // Of two, many versions of `helm test --logs` know neither.
            assert_eq!(pod["containers"].as_array().unwrap().len(), 1);
            let context = &pod["securityContext"];
            assert_eq!(context["runAsNonRoot"], true);
            assert_eq!(context["seccompProfile"]["type"], "RuntimeDefault");
            let container = &pod["containers"][0]["securityContext"];
            assert_eq!(container["readOnlyRootFilesystem"], true);
            // Where it may write all the same.
            let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
            assert!(mounts.contains(&json!({"name": "tmp", "mountPath": "/tmp"})));
            assert_eq!(container["allowPrivilegeEscalation"], false);
            assert_eq!(container["capabilities"], json!({"drop": ["ALL"]}));
            let whole = pod.to_string();
            // Neither follows a change of what is mounted.
            for never in ["secretKeyRef", "secretRef", "subPath"] {
                assert!(!whole.contains(never), "{}: {never}", values.display());
            }
        }
    }
}

/// The seconds of a constant in the program's source.
fn seconds(source: &str, name: &str) -> u64 {
    let declared = format!("{name}: Duration = Duration::from_secs(");
    let rest = source.split_once(&declared).unwrap_or_else(|| panic!("{name} isn't there as whole seconds")).1;
    rest.split_once(')').unwrap().0.parse().unwrap()
}

#[test]
fn the_grace_period_outlasts_the_programs_deadlines() {
    let source = read("src/bridge/session.rs");
    let deadlines = seconds(&source, "DRAIN_TIMEOUT") + seconds(&source, "CLOSE_TIMEOUT");
    let objects = objects(&example("quickstart"), &[]);
    let pod = &object(&objects, "Deployment")["spec"]["template"]["spec"];
    assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() >= deadlines + SPARE_SECONDS);
    let schema: Value = serde_json::from_str(&read("helm/asana-event-bridge/values.schema.json")).unwrap();
    let least = schema["properties"]["terminationGracePeriodSeconds"]["minimum"].as_u64().unwrap();
    assert!(least >= deadlines + SPARE_SECONDS, "the schema lets {least} through");
}

#[test]
fn ports_agree() {
    let objects = objects(&example("quickstart"), &[]);
    let config: Value =
        serde_saphyr::from_str(object(&objects, "ConfigMap")["data"]["bridge.yaml"].as_str().unwrap()).unwrap();
    let container = &object(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    let port = &container["ports"][0];
    assert_eq!(config["admin"]["listen"], format!("0.0.0.0:{}", port["containerPort"]));
    assert_eq!(object(&objects, "Service")["spec"]["ports"][0]["targetPort"], port["name"]);
    for (probe, path) in [("livenessProbe", "/livez"), ("startupProbe", "/livez"), ("readinessProbe", "/readyz")] {
        assert_eq!(container[probe]["httpGet"], json!({"path": path, "port": "admin"}));
    }
}

/// Services, port and policy exist if webhooks are configured, and only then.
#[test]
fn webhooks_have_a_port_and_the_pods_find_each_other() {
    let named = |object: &Value| object["metadata"]["name"].as_str().unwrap().to_owned();
    let policy = "networkPolicy.enabled=true";
    assert!(!rendered(&example("quickstart"), &[policy]).contains("webhook"));
    let webhooks = r#"config.webhooks={"publicUrl":"https://a.example","key":{"file":"/secrets/asana/token"}}"#;
    let sets = [policy, webhooks];
    let checked = tool("manifests", &[], &rendered(&example("quickstart"), &sets));
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    let objects = objects(&example("quickstart"), &sets);
    let config: Value =
        serde_saphyr::from_str(object(&objects, "ConfigMap")["data"]["bridge.yaml"].as_str().unwrap()).unwrap();
    let port = &object(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["ports"][1];
    assert_eq!(config["webhooks"]["listen"], format!("0.0.0.0:{}", port["containerPort"]));
    let services: Vec<_> = objects.iter().filter(|it| it["spec"]["ports"][0]["targetPort"] == port["name"]).collect();
    let names: Vec<_> = services.iter().map(|it| named(it)).collect();
    assert_eq!(names.len(), 2, "one for Asana, one for the pods: {names:?}");
    let for_asana = services.iter().find(|it| it["spec"]["clusterIP"].is_null()).unwrap();
    assert!(named(for_asana).ends_with("-webhooks"), "{names:?}");
    let headless = services.iter().find(|it| it["spec"]["clusterIP"] == "None").unwrap();
    assert!(named(headless).ends_with("-webhook-peers"), "{names:?}");
    let at = (named(headless), &headless["metadata"]["namespace"], &headless["spec"]["ports"][0]["port"]);
    assert_eq!(config["webhooks"]["peers"], json!([format!("{}.{}.svc:{}", at.0, at.1.as_str().unwrap(), at.2)]));
    let ingress = object(&objects, "NetworkPolicy")["spec"]["ingress"].to_string();
    assert!(ingress.contains("webhooks"), "{ingress}");
    let output = template(&example("quickstart"), &[r#"config.webhooks={"interval":"1m"}"#]);
    assert!(text(&output.stderr).contains("config.webhooks needs publicUrl"), "{}", text(&output.stderr));
}

#[test]
fn a_cluster_may_have_ipv6_only() {
    let webhooks = r#"config.webhooks={"publicUrl":"https://a.example","key":{"file":"/secrets/asana/token"}}"#;
    let services = r#"service={"ipFamilyPolicy":"SingleStack","ipFamilies":["IPv6"]}"#;
    let sets = [webhooks, services, r#"listenAddress="[::]""#];
    let documents = rendered(&example("quickstart"), &sets);
    let checked = tool("manifests", &[], &documents);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    for port in [8080, 8081] {
        assert!(documents.contains(&format!("listen: '[::]:{port}'")), "{documents}");
    }
    let objects = objects(&example("quickstart"), &sets);
    let services: Vec<_> = objects.iter().filter(|object| object["kind"] == "Service").collect();
    assert_eq!(services.len(), 3);
    for service in services {
        assert_eq!(service["spec"]["ipFamilyPolicy"], "SingleStack");
        assert_eq!(service["spec"]["ipFamilies"], json!(["IPv6"]));
    }
}

#[test]
fn only_what_needs_a_restart_rolls_the_pods() {
    let template = |sets: &[&str]| {
        let objects = objects(&example("quickstart"), sets);
        object(&objects, "Deployment")["spec"]["template"].clone()
    };
    let before = template(&[]);
    for live in [
        r#"config.streams=[{"resource":"1"},{"resource":"2"}]"#,
        "config.accounts.main.requestsPerMinute=1400",
        r#"config.polling.minInterval="1s""#,
        "config.commit.maxPerSecond=10",
        "config.state.budgetPercent=30",
        "commonLabels={}",
    ] {
        assert_eq!(template(&[live]), before, "{live}");
    }
    let restarts = [
        ("sink", r#"config.sink.kafka.topic="other""#),
        ("shards", "config.shards=64"),
        ("index", r#"config.index.path="/tmp/index""#),
        ("replica", r#"config.replica="${POD_NAME}-x""#),
        ("state.refresh", r#"config.state.refresh="on""#),
        ("webhooks", r#"config.webhooks={"publicUrl":"https://a.example","key":{"file":"/secrets/asana/token"}}"#),
    ];
    for (_, set) in restarts {
        assert_ne!(template(&[set]), before, "{set}");
    }
    // The program's own list.
    let source = read("src/commands/run/plan.rs");
    let differ = source.split_once("let differ = [").unwrap().1.split_once("];").unwrap().0;
    let keys: BTreeSet<_> =
        differ.lines().filter_map(|line| line.trim().strip_prefix("(\"")?.split('"').next()).collect();
    let helper = read("helm/asana-event-bridge/templates/_helpers.tpl");
    let picked = helper.split_once("{{- pick ").unwrap().1.split_once(" | toJson").unwrap().0;
    for key in &keys {
        assert!(picked.contains(&format!("\"{key}\"")), "`{key}` needs a restart, and the chart doesn't know");
    }
    assert!(restarts.iter().all(|(key, _)| keys.contains(key)), "{keys:?}");
}

#[test]
fn the_network_policy_lets_through_what_the_configuration_names() {
    let ports = |values: &str| {
        let objects = objects(&example(values), &["networkPolicy.enabled=true"]);
        let egress = object(&objects, "NetworkPolicy")["spec"]["egress"][1]["ports"].clone();
        let ports = egress.as_array().unwrap().iter().map(|port| port["port"].as_u64().unwrap());
        ports.collect::<BTreeSet<_>>()
    };
    assert_eq!(ports("kafka-scram-tls"), BTreeSet::from([443, 9093]));
    assert_eq!(ports("production"), BTreeSet::from([443, 9093]));
    assert_eq!(ports("nats-creds"), BTreeSet::from([443, 4222]));
}

/// Where nothing is let through by default, the doctor and `helm test` have policies, too.
#[test]
fn each_pod_has_the_network_policy_that_it_needs() {
    let objects = objects(&example("production"), &["doctor.enabled=true"]);
    let labels = |it: &Value| match it["kind"].as_str() {
        Some("Deployment" | "Job") => it["spec"]["template"]["metadata"]["labels"].clone(),
        Some("Pod") => it["metadata"]["labels"].clone(),
        _ => Value::Null,
    };
    let policies: Vec<_> = objects.iter().filter(|object| object["kind"] == "NetworkPolicy").collect();
    let policy_of = |kind: &str| {
        let labels = labels(object(&objects, kind));
        let selects = |policy: &&&Value| {
            let wanted = policy["spec"]["podSelector"]["matchLabels"].as_object().unwrap();
            wanted.iter().all(|(key, value)| labels[key] == *value)
        };
        let found: Vec<_> = policies.iter().filter(selects).collect();
        assert_eq!(found.len(), 1, "{kind}");
        *found[0]
    };
    let (bridge, doctor, test) = (policy_of("Deployment"), policy_of("Job"), policy_of("Pod"));
    assert_eq!(bridge["spec"]["egress"], doctor["spec"]["egress"], "the doctor asks whom the bridge asks");
    let weight = |object: &Value| object["metadata"]["annotations"]["helm.sh/hook-weight"].as_str().unwrap().parse();
    let weights: [i32; 2] = [doctor, object(&objects, "Job")].map(|object| weight(object).unwrap());
    assert!(weights[0] < weights[1], "it is there before the doctor: {weights:?}");
    let from = bridge["spec"]["ingress"][0]["from"].as_array().unwrap();
    assert!(from.contains(&json!({"podSelector": test["spec"]["podSelector"]})), "{from:?}");
    let to = &test["spec"]["egress"][1];
    assert_eq!(*to, json!({"ports": [{"port": "admin"}], "to": [{"podSelector": bridge["spec"]["podSelector"]}]}));
}

#[test]
fn common_labels_and_annotations_are_on_all_objects() {
    let policy = "helm.sh/hook-delete-policy";
    let annotations = format!(r#"commonAnnotations={{"owner":"two","{policy}":"hook-failed"}}"#);
    let common = [r#"commonLabels={"team":"one"}"#, &annotations];
    for values in ["strimzi", "nats-creds"] {
        let webhooks = r#"config.webhooks={"publicUrl":"https://a.example","key":{"file":"/secrets/asana/token"}}"#;
        let sets: Vec<_> = [&common[..], &everything()[..], &[webhooks, r#"job=["doctor"]"#]].concat();
        for object in objects(&example(values), &sets) {
            let metadata = &object["metadata"];
            assert_eq!(metadata["labels"]["team"], "one", "{metadata}");
            assert_eq!(metadata["annotations"]["owner"], "two", "{metadata}");
            // What the chart needs stays.
            if metadata["annotations"]["helm.sh/hook"] == "test" {
                assert_eq!(metadata["annotations"][policy], "before-hook-creation");
            }
        }
    }
}

#[test]
fn what_is_added_stays_beside_what_the_chart_needs() {
    let objects = objects(&example("quickstart"), &everything());
    let pod = &object(&objects, "Deployment")["spec"]["template"]["spec"];
    let names = |list: &Value| list.as_array().unwrap().iter().map(|it| it["name"].clone()).collect::<Vec<_>>();
    assert_eq!(names(&pod["initContainers"]), ["before"]);
    assert_eq!(names(&pod["containers"]), ["bridge", "beside"], "the first one is what `kubectl exec` means");
    let job = &object(&objects, "Job")["spec"]["template"]["spec"];
    assert_eq!(names(&job["containers"]), ["doctor"], "a container beside it would never end");
    let endpoint = &object(&objects, "PodMonitor")["spec"]["podMetricsEndpoints"][0];
    assert_eq!(endpoint["relabelings"][0]["targetLabel"], "job");
    assert_eq!(endpoint["relabelings"][1]["targetLabel"], "x");
    for alert in object(&objects, "PrometheusRule")["spec"]["groups"][0]["rules"].as_array().unwrap() {
        assert_eq!(alert["labels"]["team"], "one");
        assert!(["critical", "warning"].contains(&alert["labels"]["severity"].as_str().unwrap()));
        assert_eq!(alert["annotations"]["link"], "two");
        assert!(alert["annotations"]["runbook_url"].is_string() && alert["annotations"]["summary"].is_string());
    }
    for pod in pods(&objects) {
        assert_eq!(pod["containers"][0]["terminationMessagePolicy"], "FallbackToLogsOnError");
    }
    // As `everything` has it of the other monitor.
    let service = ["scrapeTimeout", "relabelings", "metricRelabelings"];
    let sets: Vec<_> = everything().iter().map(|set| set.replace("podMonitor", "serviceMonitor")).collect();
    let objects = self::objects(&example("quickstart"), &sets.iter().map(String::as_str).collect::<Vec<_>>());
    let of_service = &object(&objects, "ServiceMonitor")["spec"]["endpoints"][0];
    assert!(service.iter().all(|key| of_service[key] == endpoint[key]), "{of_service}");
}

/// A registry that mirrors others is given once for all charts.
#[test]
fn the_image_is_where_global_says() {
    let image = |sets: &[&str]| {
        let objects = objects(&example("quickstart"), sets);
        object(&objects, "Deployment")["spec"]["template"]["spec"].clone()
    };
    let mirror = r#"global={"imageRegistry":"mirror:5000","imagePullSecrets":["one",{"name":"two"}],"other":1}"#;
    for (repository, expected) in [
        ("registry.example.com/team/bridge", "mirror:5000/team/bridge:0.1.0"),
        ("localhost/bridge", "mirror:5000/bridge:0.1.0"),
        ("team/bridge", "mirror:5000/team/bridge:0.1.0"),
        ("bridge", "mirror:5000/bridge:0.1.0"),
    ] {
        let pod = image(&[mirror, &format!("image.repository={}", json!(repository))]);
        assert_eq!(pod["containers"][0]["image"], expected);
    }
    let pod = image(&[mirror, r#"imagePullSecrets=[{"name":"own"}]"#]);
    assert_eq!(pod["imagePullSecrets"], json!([{"name": "own"}, {"name": "one"}, {"name": "two"}]));
}

#[test]
fn another_chart_may_have_it_among_its_dependencies() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("charts")).unwrap();
    let copied = Command::new("cp").arg("-r").arg(chart()).arg(folder.path().join("charts")).status().unwrap();
    assert!(copied.success());
    let name = "asana-event-bridge";
    let dependency = json!({"name": name, "version": "*", "condition": "asana-event-bridge.enabled"});
    let parent = json!({"apiVersion": "v2", "name": "parent", "version": "1.0.0", "dependencies": [dependency]});
    std::fs::write(folder.path().join("Chart.yaml"), parent.to_string()).unwrap();
    let mut values: Value = serde_saphyr::from_str(&read("helm/examples/quickstart.yaml")).unwrap();
    for enabled in [true, false] {
        values["enabled"] = json!(enabled);
        let values = json!({ name: values, "global": {"storageClass": "x"} }).to_string();
        let output = tool("helm", &["template", "bridge", folder.path().to_str().unwrap(), "-f", "-"], &values);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(text(&output.stdout).contains("kind: Deployment"), enabled);
    }
}

/// Only where it is asked for, and never in a release: an upgrade would run it again.
#[test]
fn a_command_is_a_job_beside_the_release() {
    let command = r#"job=["checkpoint","migrate","--shards=64"]"#;
    let sets = [command, "networkPolicy.enabled=true"];
    let documents = rendered(&example("quickstart"), &sets);
    let checked = tool("manifests", &[], &documents);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    let objects = objects(&example("quickstart"), &sets);
    let job = &object(&objects, "Job")["spec"]["template"];
    let bridge = &object(&objects, "Deployment")["spec"]["template"];
    for same in ["volumes", "serviceAccountName", "securityContext"] {
        assert_eq!(job["spec"][same], bridge["spec"][same]);
    }
    for same in ["image", "volumeMounts", "env", "securityContext"] {
        assert_eq!(job["spec"]["containers"][0][same], bridge["spec"]["containers"][0][same]);
    }
    let policies = objects.iter().filter(|it| it["kind"] == "NetworkPolicy");
    let mut its = policies.filter(|it| it["spec"]["podSelector"]["matchLabels"] == job["metadata"]["labels"]);
    assert_eq!(its.next().unwrap()["spec"]["egress"], object(&objects, "NetworkPolicy")["spec"]["egress"]);

    let (chart, values) = (chart(), example("quickstart"));
    let mut upgrade = vec!["template", "bridge", chart.to_str().unwrap(), "-f", values.to_str().unwrap()];
    upgrade.extend(["--is-upgrade", "--set-json", command]);
    let said = text(&tool("helm", &upgrade, "").stderr);
    assert!(said.contains("not part of a release"), "{said}");
}

/// Before an install there is no Secret of Strimzi's, for which the doctor would wait in vain.
#[test]
fn the_doctor_doesnt_wait_for_what_the_release_makes() {
    let hooks = |values: &str| -> BTreeSet<String> {
        let objects = objects(&example(values), &["doctor.enabled=true", "networkPolicy.enabled=true"]);
        let annotations = objects.iter().map(|object| &object["metadata"]["annotations"]["helm.sh/hook"]);
        annotations.filter_map(|hook| Some(hook.as_str().filter(|hook| *hook != "test")?.to_owned())).collect()
    };
    assert_eq!(hooks("quickstart"), BTreeSet::from(["pre-install,pre-upgrade".to_owned()]));
    assert_eq!(hooks("strimzi"), BTreeSet::from(["pre-upgrade".to_owned()]));
}

/// Strimzi makes what the bridge would make.
#[test]
fn topics_of_strimzi_are_those_of_the_program() {
    let objects = objects(&example("strimzi"), &[]);
    let source = read("src/sink/kafka/topics.rs");
    let topics: Vec<_> = objects.iter().filter(|object| object["kind"] == "KafkaTopic").collect();
    assert_eq!(topics.len(), 3);
    for topic in topics {
        for (key, value) in topic["spec"]["config"].as_object().unwrap() {
            let value = value.as_str().expect("strings");
            if key == "min.insync.replicas" {
                continue; // Out of the configuration.
            }
            assert!(source.contains(&format!("(\"{key}\", ")), "{key}");
            assert!(source.contains(&format!("\"{value}\"")), "{key}: {value}");
        }
    }
}

/// Compares the file with what it should hold, or writes it under `UPDATE=1`.
fn check(path: &Path, fresh: &str) {
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, fresh).expect("write the generated file");
        return;
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == fresh, "{} is out of date: run `make generate`", path.display());
}

/// The part of the schema that is about `config` is the program's own, without what has no place in a pod.
#[test]
fn the_schema_knows_the_programs_configuration() {
    let path = chart().join("values.schema.json");
    let mut schema: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let mut config = asana_event_bridge::config::schema().clone();
    let mut definitions = config["$defs"].take();
    let root = config.as_object_mut().unwrap();
    // What is missing is told by the chart, in a sentence, and only where something is installed.
    root.retain(|key, _| !["$schema", "$defs", "title", "required"].contains(&key.as_str()));
    let remove = |definitions: &mut Value, name: &str, keys: &[&str]| {
        let properties = definitions[name]["properties"].as_object_mut().unwrap_or_else(|| panic!("no {name}"));
        for key in keys {
            properties.remove(*key).unwrap_or_else(|| panic!("{name} has no {key}"));
        }
    };
    remove(&mut definitions, "SecretConfig", &["env"]); // Secrets are files.
    definitions["SecretConfig"]["required"] = json!(["file"]);
    remove(&mut definitions, "SinkConfig", &["console", "file"]); // A pod has no disk that outlives it.
    remove(&mut definitions, "AdminConfig", &["listen"]); // The chart's.
    remove(&mut definitions, "WebhooksConfig", &["listen", "peers"]); // The chart's, too.
    for unused in ["ConsoleConfig", "ConsoleOutput", "FileConfig"] {
        definitions.as_object_mut().unwrap().remove(unused).unwrap_or_else(|| panic!("no {unused}"));
    }
    schema["properties"]["config"] = config;
    schema["$defs"] = definitions;
    check(&path, &format!("{}\n", serde_json::to_string_pretty(&schema).unwrap()));
}

/// A value of values.yaml, with the comment above it.
struct Documented {
    path: Vec<String>,
    comment: String,
}

fn documented() -> Vec<Documented> {
    let (mut found, mut comment, mut path) = (Vec::<Documented>::new(), Vec::new(), Vec::<(usize, String)>::new());
    for line in read("helm/asana-event-bridge/values.yaml").lines() {
        let bare = line.trim_start();
        let indent = line.len() - bare.len();
        if let Some(text) = bare.strip_prefix('#') {
            comment.push(text.trim().to_owned());
            continue;
        }
        let comment = std::mem::take(&mut comment).join(" ");
        let Some((key, _)) = bare.split_once(':').filter(|_| !bare.starts_with('-')) else { continue };
        path.retain(|(before, _)| *before < indent);
        path.push((indent, key.to_owned()));
        let names: Vec<_> = path.iter().map(|(_, name)| name.clone()).collect();
        let covered = found.iter().any(|it| names.starts_with(&it.path));
        if !comment.is_empty() {
            found.push(Documented { path: names, comment });
        } else if !covered && !bare.ends_with(':') {
            panic!("{} has no comment", names.join("."));
        }
    }
    found
}

#[test]
fn the_readme_has_every_value() {
    let values: Value = serde_saphyr::from_str(&read("helm/asana-event-bridge/values.yaml")).unwrap();
    let mut table = String::from("| value | default | meaning |\n| --- | --- | --- |\n");
    for Documented { path, comment } in documented() {
        let default = path.iter().fold(&values, |value, key| &value[key]);
        let comment = comment.replace('|', "\\|");
        writeln!(table, "| `{}` | `{default}` | {comment} |", path.join(".")).unwrap();
    }
    let path = chart().join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let mark = "<!-- Generated from values.yaml: make generate -->\n\n";
    let before = readme.split_once(mark).expect("the mark").0;
    check(&path, &format!("{before}{mark}{table}"));
}

/// The alerts as rendered, and the dashboard, of the production example.
fn monitoring() -> (Value, Value) {
    let objects = objects(&example("production"), &[]);
    let rules = object(&objects, "PrometheusRule")["spec"].clone();
    let mut boards = objects.iter().filter_map(|object| object["data"]["asana-event-bridge.json"].as_str());
    (rules, serde_json::from_str(boards.next_back().expect("a dashboard")).expect("JSON"))
}

fn alerts(rules: &Value) -> &Vec<Value> {
    rules["groups"][0]["rules"].as_array().expect("rules")
}

#[test]
fn every_alert_fires_when_it_must_and_not_before() {
    let (mut rules, _) = monitoring();
    let folder = tempfile::tempdir().expect("a folder");
    let promtool = |arguments: &[&str]| {
        let output = Command::new(TOOLS.join("promtool")).args(arguments).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    };
    std::fs::write(folder.path().join("alerts.yaml"), rules.to_string()).unwrap();
    promtool(&["check", "rules", "alerts.yaml"]);
    // The texts are for people: promtool would want each of them again.
    for rule in rules["groups"][0]["rules"].as_array_mut().unwrap() {
        rule.as_object_mut().unwrap().remove("annotations");
    }
    std::fs::write(folder.path().join("alerts.yaml"), rules.to_string()).unwrap();
    let tests = read("helm/alerts.test.yaml");
    std::fs::write(folder.path().join("test.yaml"), &tests).unwrap();
    promtool(&["test", "rules", "test.yaml"]);

    let tests: Value = serde_saphyr::from_str(&tests).unwrap();
    let cases: Vec<_> = tests["tests"].as_array().unwrap().iter().map(|test| &test["alert_rule_test"][0]).collect();
    for rule in alerts(&rules) {
        let fires = |case: &&&Value| case["alertname"] == rule["alert"] && !case["exp_alerts"].is_null();
        let silent = |case: &&&Value| case["alertname"] == rule["alert"] && case["exp_alerts"].is_null();
        assert!(cases.iter().any(|case| fires(&case)), "{} is never seen firing", rule["alert"]);
        assert!(cases.iter().any(|case| silent(&case)), "{} is never seen silent", rule["alert"]);
    }
}

#[test]
fn the_threshold_of_staleness_follows_the_polling_interval() {
    let threshold = |set: &str| {
        let objects = objects(&example("production"), &[set]);
        let rules = object(&objects, "PrometheusRule")["spec"].clone();
        let mut rules = alerts(&rules).iter().filter(|rule| rule["alert"] == "AsanaEventBridgeStreamStale");
        let expr = rules.next().unwrap()["expr"].as_str().unwrap().to_owned();
        expr.rsplit_once("> ").unwrap().1.to_owned()
    };
    for (interval, seconds) in
        [("300ms", "900"), ("2min", "900"), ("400sec", "1200"), ("1h 30m", "16200"), ("12h", "129600")]
    {
        assert_eq!(threshold(&format!("config.polling.maxInterval=\"{interval}\"")), seconds, "{interval}");
    }
    assert_eq!(threshold("prometheusRule.staleSeconds=7"), "7");
}

#[test]
fn runbooks_have_urls_or_none() {
    let with = |url: &str| template(&example("production"), &[&format!("prometheusRule.runbookUrl=\"{url}\"")]);
    assert!(!with("docs/operations/alerts.md#").status.success(), "nobody could click on it");
    assert!(!text(&with("").stdout).contains("runbook_url"));
}

#[test]
fn every_alert_has_a_runbook() {
    let page = read("docs/operations/alerts.md");
    let headings: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("## Asana")).collect();
    let (rules, _) = monitoring();
    let names: Vec<_> = alerts(&rules).iter().map(|rule| rule["alert"].as_str().unwrap()).collect();
    assert_eq!(headings.iter().map(|rest| format!("Asana{rest}")).collect::<Vec<_>>(), names);
    for rule in alerts(&rules) {
        let anchor = rule["alert"].as_str().unwrap().to_lowercase();
        assert!(rule["annotations"]["runbook_url"].as_str().unwrap().ends_with(&format!("alerts.md#{anchor}")));
        assert!(rule["annotations"]["runbook_url"].as_str().unwrap().starts_with("https://"), "a URL");
    }
}

/// The names of metrics in a query.
fn metrics(query: &str) -> impl Iterator<Item = &str> {
    let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("asana_event_bridge_") || word.starts_with("process_"))
}

#[test]
fn alerts_and_dashboard_ask_for_metrics_that_there_are() {
    let reference = std::fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let known: BTreeSet<String> = reference
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .flat_map(|(name, rest)| {
            let suffixes: &[&str] = if rest.starts_with("histogram") { &["_bucket", "_sum", "_count"] } else { &[""] };
            suffixes.iter().map(move |suffix| format!("{name}{suffix}"))
        })
        .collect();
    let (rules, board) = monitoring();
    let of_alerts = alerts(&rules).iter().map(|rule| rule["expr"].as_str().unwrap());
    let panels = board["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row");
    let of_panels = panels.flat_map(|panel| {
        let targets = panel["targets"].as_array().unwrap_or_else(|| panic!("{} asks nothing", panel["title"]));
        targets.iter().map(|target| target["expr"].as_str().unwrap())
    });
    let variables = board["templating"]["list"].as_array().unwrap();
    let of_variables = variables.iter().filter_map(|variable| variable["definition"].as_str());
    for query in of_alerts.chain(of_panels).chain(of_variables) {
        assert!(metrics(query).next().is_some(), "{query}");
        for metric in metrics(query) {
            assert!(known.contains(metric), "`{metric}` isn't there: {query}");
        }
    }
}

/// Prometheus parses each of the dashboard's queries.
#[test]
fn the_dashboards_queries_are_queries() {
    let (_, board) = monitoring();
    let targets = board["panels"].as_array().unwrap().iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let rule = |(at, target): (usize, &Value)| {
        // What Grafana fills in.
        let query = target["expr"].as_str().unwrap().replace("$__rate_interval", "5m");
        json!({"record": format!("panel:{at}"), "expr": query})
    };
    let rules: Vec<_> = targets.enumerate().map(rule).collect();
    assert!(rules.len() > 20, "{}", rules.len());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), json!({"groups": [{"name": "panels", "rules": rules}]}).to_string()).unwrap();
    let output = tool("promtool", &["check", "rules", file.path().to_str().unwrap()], "");
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}
