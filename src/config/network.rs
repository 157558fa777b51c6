//! Where secrets may be sent, and through which proxies.

use super::check::{Check, unreadable};
use super::problem::Place;
use hyper::Uri;
use std::path::Path;
use url::{Host, Url};

/// The variables that name proxies. Of two names of the same variable the first one counts, as for the HTTP library.
const PROXIES: [[&str; 2]; 3] =
    [["HTTPS_PROXY", "https_proxy"], ["HTTP_PROXY", "http_proxy"], ["ALL_PROXY", "all_proxy"]];

impl Check<'_> {
    /// A URL to which secrets are sent. Without TLS only on this machine, and to the hosts of `insecureHosts`.
    pub(super) fn secret_url(&mut self, text: &str, place: &Place) -> Option<Url> {
        let url = self.url(text, place)?;
        let host = url.host()?;
        if is_safe_for_secrets(&url) || self.insecure_hosts.contains(&host.to_string()) {
            return Some(url);
        }
        let problem = format!(
            "would send secrets without encryption: use https://, or list the host if you trust its network: \
             `insecureHosts: [\"{host}\"]`"
        );
        self.problem(place, problem);
        None
    }

    /// The names and addresses of hosts, in the form that URLs have them.
    pub(super) fn hosts(&mut self, hosts: &[String], place: &Place) -> Vec<String> {
        let mut checked = Vec::with_capacity(hosts.len());
        for (index, host) in hosts.iter().enumerate() {
            let Ok(host) = Host::parse(host) else {
                let problem = "is no host: write a name or an address, without scheme, port and path";
                self.problem(&place.item(index), problem);
                continue;
            };
            checked.push(host.to_string());
        }
        checked
    }

    /// A malformed variable would be ignored, and requests would go out without the proxy.
    pub(super) fn proxy_variables(&mut self) {
        for names in PROXIES {
            let set = names.into_iter().find_map(|name| Some((name, self.environment.get(name)?)));
            if let Some((name, _)) = set.filter(|(_, value)| !value.is_empty() && !is_proxy(value)) {
                let problem = "is no address of a proxy: write `http://HOST:PORT` or `http://USER:PASSWORD@HOST:PORT`, \
                               with special characters percent-encoded, or unset the variable";
                self.problems.add_variable(name, problem);
            }
        }
    }

    /// A file with certificates.
    pub(super) fn certificates(&mut self, file: Option<&Path>, place: &Place) {
        let Some(path) = file else { return };
        let problem = match std::fs::read(path).map(|pem| reqwest::Certificate::from_pem_bundle(&pem)) {
            Ok(Ok(certificates)) if !certificates.is_empty() => return,
            Ok(_) => "has no certificate in PEM form (`-----BEGIN CERTIFICATE-----`)".to_owned(),
            Err(error) => format!("the file can't be read: {}", unreadable(&error)),
        };
        self.problem(place, problem);
    }
}

/// Whether secrets may be sent to this address: over TLS, or within this machine.
#[must_use]
pub fn is_safe_for_secrets(url: &Url) -> bool {
    url.scheme() == "https"
        || url.host().is_some_and(|host| match host {
            Host::Domain(name) => name == "localhost",
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
        })
}

/// Whether the HTTP library takes it for a proxy: the same parser, and the schemes that it is built with.
fn is_proxy(text: &str) -> bool {
    let Ok(uri) = text.parse::<Uri>() else { return false };
    let Some(authority) = uri.authority() else { return false };
    let is_http = uri.scheme_str().is_none_or(|scheme| matches!(scheme, "http" | "https"));
    let has_valid_port = authority.as_str().ends_with(authority.host()) || authority.port_u16().is_some();
    is_http && has_valid_port && !authority.host().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_what_the_library_can_use() {
        for fine in ["http://p:3128", "https://u:p%40ss@p.example.com", "p.example.com:3128", "http://[::1]:8/", "p"] {
            assert!(is_proxy(fine), "{fine}");
        }
        for wrong in
            ["", "http://", "socks5://p:1080", "http://p:99999", "http://p port", "ftp://p", "/p", "http://:80"]
        {
            assert!(!is_proxy(wrong), "{wrong}");
        }
    }
}
