//! The names by which browsers may open the status page.
//!
//! A page of a foreign site can give its own name the address of this port (DNS rebinding). A browser then lets the foreign page read
//! what this port answers, as it came from the page's own site. The browser names that site in `Host`, so the page is only served by
//! names that are known. A foreign page can't take the name `localhost` or an address.

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use std::sync::Arc;
use url::Host;

const REFUSAL: &str = "This name isn't allowed for the status page. Add it to the setting `admin.allowedHosts`, or use an address or \
                       localhost.\n";

/// The allowed names, as URLs have them.
#[derive(Clone, Debug)]
pub(super) struct AllowedHosts(Arc<[String]>);

impl AllowedHosts {
    pub(super) fn new(names: &[String]) -> Self {
        Self(names.into())
    }

    fn allows(&self, host: &str) -> bool {
        let Some(authority) = host.parse::<Authority>().ok() else { return false };
        match Host::parse(authority.host()) {
            Ok(Host::Domain(name)) => name == "localhost" || self.0.contains(&name),
            Ok(Host::Ipv4(_) | Host::Ipv6(_)) => true,
            Err(_) => false,
        }
    }
}

/// Lets a request pass if it names an allowed host.
pub(super) async fn check(State(hosts): State<AllowedHosts>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    if host.is_some_and(|host| hosts.allows(host)) {
        next.run(request).await
    } else {
        (StatusCode::FORBIDDEN, REFUSAL).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_localhost_and_listed_names_are_allowed() {
        let hosts = AllowedHosts::new(&["bridge.example.com".to_owned()]);
        for fine in
            ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "10.1.2.3", "[::1]:8080", "Bridge.example.com:443"]
        {
            assert!(hosts.allows(fine), "{fine}");
        }
        for foreign in
            ["", "example.com", "bridge.example.com.evil.org", "evil.org:8080", "localhost.evil.org", "a b", "[::1"]
        {
            assert!(!hosts.allows(foreign), "{foreign}");
        }
    }
}
