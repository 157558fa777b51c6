//! The older text format of Prometheus, for scrapers that don't know `OpenMetrics`.

use axum::http::{HeaderMap, header};
use std::fmt::Write as _;

/// The content type that Prometheus defines for its text format.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether a request accepts text and no `OpenMetrics`.
pub(super) fn is_asked_for(headers: &HeaderMap) -> bool {
    let accept = || headers.get_all(header::ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    accept().any(|accept| accept.contains("text/plain")) && !accept().any(|accept| accept.contains("openmetrics-text"))
}

/// The same metrics. In this format a metric's name has the suffix of its samples, and there are no units.
pub(super) fn of_open_metrics(exposition: &str) -> String {
    let mut text = String::with_capacity(exposition.len());
    let mut help = None;
    for line in exposition.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(_), words) => help = words,
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", kind),
                    "info" => ("_info", "gauge"),
                    _ => ("", kind),
                };
                let help = help.take().unwrap_or_default();
                // Writing to a `String` can't fail.
                writeln!(text, "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}").ok();
            }
            (Some("#"), ..) => {}
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_suffixes_of_their_samples() {
        let open = "# HELP a Number.\n# TYPE a counter\na_total{x=\"y z\"} 1\n# HELP b Version.\n# TYPE b info\nb_info{v=\"1\"} 1\n\
                    # HELP c_seconds Time.\n# TYPE c_seconds gauge\n# UNIT c_seconds seconds\nc_seconds 2.0\n# EOF\n";
        let classic = "# HELP a_total Number.\n# TYPE a_total counter\na_total{x=\"y z\"} 1\n# HELP b_info Version.\n\
                       # TYPE b_info gauge\nb_info{v=\"1\"} 1\n# HELP c_seconds Time.\n# TYPE c_seconds gauge\nc_seconds 2.0\n";
        assert_eq!(of_open_metrics(open), classic);
    }

    #[test]
    fn open_metrics_is_preferred() {
        let of = |accept: &str| is_asked_for(&HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]));
        assert!(of("text/plain;version=0.0.4") && of("text/plain, */*;q=0.1"));
        assert!(!of("*/*") && !of("application/openmetrics-text;version=1.0.0,text/plain;q=0.3"));
        assert!(!is_asked_for(&HeaderMap::new()));
    }
}
