//! Errors as a person reads them.

use std::error::Error;

/// The error and what caused it, in one line. What it has said of its causes already isn't said again.
pub fn one_line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    for cause in std::iter::successors(error.source(), |&cause| cause.source()) {
        let cause = cause.to_string();
        if !line.contains(&cause) {
            line.push_str(": ");
            line.push_str(&cause);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{words}")]
    struct Said {
        words: &'static str,
        source: Option<Box<Self>>,
    }

    #[test]
    fn each_cause_is_said_once() {
        let said = |words, source: Option<Said>| Said { words, source: source.map(Box::new) };
        let refused = || said("refused", None);
        assert_eq!(one_line(&said("can't connect", Some(refused()))), "can't connect: refused");
        let between = said("can't connect: refused", Some(refused()));
        assert_eq!(one_line(&said("no bus", Some(between))), "no bus: can't connect: refused");
        assert_eq!(
            one_line(&said("no bus: can't connect: refused; do something", Some(refused()))),
            "no bus: can't connect: refused; do something"
        );
    }
}
