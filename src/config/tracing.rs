//! The settings of traces, from the variables of OpenTelemetry's specification. So the variables that a platform sets for
//! all of its programs work for this program, too.

use super::environment::Environment;
use bridge_core::record::trace::Sampling;

/// In the order of the specification: the variable for traces overrides the variable for all signals.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
/// The only protocol that the bridge supports.
const PROTOCOL: &str = "http/protobuf";

/// Which traces are sent, and a warning if none are sent although variables ask for some. Traces are off if no endpoint is set:
/// the specification's default, a collector on this host, doesn't exist in most places.
pub(super) fn sampling(environment: &Environment) -> (Sampling, Option<String>) {
    let set = |name: &str| environment.get(name).map(str::trim).filter(|value| !value.is_empty());
    let first = |names: [&'static str; 2]| names.into_iter().find_map(|name| Some((name, set(name)?)));
    let Some((endpoint, url)) = first(ENDPOINTS) else { return (Sampling::NONE, None) };
    let is_off = set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if is_off || set("OTEL_TRACES_EXPORTER").is_some_and(|exporter| exporter != "otlp") {
        return (Sampling::NONE, None);
    }
    let refused = |why: String| (Sampling::NONE, Some(format!("trace export disabled: {why}")));
    if !cfg!(feature = "otlp") {
        return refused(format!("{endpoint} is set, but the program is built without the feature `otlp`"));
    }
    if !url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
        return refused(format!("{endpoint} is no URL that begins with http:// or https://"));
    }
    if let Some((name, protocol)) = first(PROTOCOLS).filter(|(_, protocol)| *protocol != PROTOCOL) {
        return refused(format!("{name} is {protocol:?}, and the bridge speaks only {PROTOCOL}"));
    }
    let argument = set("OTEL_TRACES_SAMPLER_ARG");
    // All of the bridge's traces begin with it, so what follows a parent's decision comes down to the rest of the name.
    let sampler = set("OTEL_TRACES_SAMPLER").unwrap_or("parentbased_always_on");
    match sampler.strip_prefix("parentbased_").unwrap_or(sampler) {
        "always_on" => (Sampling::ALL, None),
        "always_off" => (Sampling::NONE, None),
        "traceidratio" => match argument.unwrap_or("1").parse().ok().and_then(Sampling::ratio) {
            Some(sampling) => (sampling, None),
            None => refused("OTEL_TRACES_SAMPLER_ARG isn't between 0 and 1".to_owned()),
        },
        _ => refused(format!("OTEL_TRACES_SAMPLER {sampler:?} isn't among those that the bridge knows")),
    }
}

#[cfg(all(test, feature = "otlp"))]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> (Sampling, Option<String>) {
        sampling(&Environment::of(variables.iter().copied()))
    }

    const ON: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");

    #[test]
    fn an_endpoint_turns_traces_on() {
        assert_eq!(of(&[]), (Sampling::NONE, None));
        assert_eq!(of(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]), (Sampling::NONE, None));
        assert_eq!(of(&[ON]), (Sampling::ALL, None));
        assert_eq!(of(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://collector/v1/traces")]), (Sampling::ALL, None));
    }

    #[test]
    fn what_turns_all_of_it_off_does() {
        assert_eq!(of(&[ON, ("OTEL_SDK_DISABLED", "True")]), (Sampling::NONE, None));
        assert_eq!(of(&[ON, ("OTEL_TRACES_EXPORTER", "none")]), (Sampling::NONE, None));
        assert_eq!(of(&[ON, ("OTEL_TRACES_SAMPLER", "always_off")]), (Sampling::NONE, None));
    }

    #[test]
    fn a_part_can_be_had() {
        let quarter = (Sampling::ratio(0.25).unwrap(), None);
        for sampler in ["traceidratio", "parentbased_traceidratio"] {
            assert_eq!(of(&[ON, ("OTEL_TRACES_SAMPLER", sampler), ("OTEL_TRACES_SAMPLER_ARG", "0.25")]), quarter);
        }
    }

    #[test]
    fn what_cannot_be_is_said() {
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4318"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ] {
            let (sampling, warning) = of(&[ON, (name, value)]);
            assert_eq!(sampling, Sampling::NONE);
            assert!(warning.unwrap().contains(name));
        }
        let (_, warning) = of(&[ON, ("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "2")]);
        assert!(warning.unwrap().contains("OTEL_TRACES_SAMPLER_ARG"));
    }
}
