//! The process environment as a value, so that everything else is a function of its arguments.

use std::collections::BTreeMap;
use std::fmt;

/// The environment variables and host name that the configuration may read.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    host: Option<String>,
}

impl Environment {
    /// The environment of this process. Variables that are not UTF-8 are left out.
    #[must_use]
    pub fn of_process() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let host = hostname::get().ok().and_then(|name| name.into_string().ok());
        Self { variables, host }
    }

    /// An environment with these variables.
    pub fn of<K: Into<String>, V: Into<String>>(variables: impl IntoIterator<Item = (K, V)>) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { variables, host: None }
    }

    /// The same environment on a host of this name.
    #[must_use]
    pub fn on_host(self, host: impl Into<String>) -> Self {
        Self { host: Some(host.into()), ..self }
    }

    /// The variable's value, if it is set.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    pub(super) fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// Variables whose names begin with `prefix`, with the rest of their names.
    pub(super) fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.variables.iter().filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value.as_str())))
    }
}

/// Shows names only, because values may be secrets.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}
