//! The address of each stream's webhook: `PUBLIC_URL/NAME/TAG`. NAME is the stream. TAG proves that the address was
//! created with the key. Without the key, an address can't be guessed, and after a restart the bridge recognizes its
//! own webhooks.

use crate::config::Secret;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bridge_core::ids::StreamId;
use ring::hmac;
use url::Url;

/// Creates addresses and recognizes them.
pub(super) struct Targets {
    base: String,
    key: hmac::Key,
}

impl Targets {
    pub(super) fn new(public_url: &Url, key: &Secret) -> Self {
        let base = public_url.as_str().trim_end_matches('/').to_owned();
        Self { base, key: hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes()) }
    }

    /// The address to which Asana sends the stream's deliveries. Not for logs.
    pub(super) fn url(&self, stream: &StreamId) -> String {
        let name = stream.to_string();
        let tag = hmac::sign(&self.key, name.as_bytes());
        let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        format!("{}/{}/{}", self.base, text(name.as_bytes()), text(tag.as_ref()))
    }

    /// The stream of an address, if it is one of ours.
    pub(super) fn stream_of_url(&self, url: &str) -> Option<StreamId> {
        self.stream_of_path(url.strip_prefix(&self.base)?)
    }

    /// The same for the end of a path, because a reverse proxy may have removed the beginning.
    pub(super) fn stream_of_path(&self, path: &str) -> Option<StreamId> {
        let mut parts = path.rsplit('/');
        let (tag, name) = (parts.next()?, parts.next()?);
        let [name, tag] = [name, tag].map(|text| BASE64_URL_SAFE_NO_PAD.decode(text).ok());
        let name = name?;
        hmac::verify(&self.key, &name, &tag?).ok()?;
        StreamId::parse(std::str::from_utf8(&name).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(base: &str, key: &str) -> Targets {
        Targets::new(&base.parse().unwrap(), &Secret::new(key))
    }

    #[test]
    fn an_address_is_known_again_by_who_has_the_key() {
        let stream = StreamId::new("main", "1200");
        let ours = targets("https://webhooks.example.com/asana/", "one key");
        let url = ours.url(&stream);
        assert!(url.starts_with("https://webhooks.example.com/asana/"), "{url}");
        assert_eq!(ours.stream_of_url(&url), Some(stream.clone()));
        let path = url.parse::<Url>().unwrap().path().to_owned();
        for path in [&path, path.strip_prefix("/asana").unwrap()] {
            assert_eq!(ours.stream_of_path(path), Some(stream.clone()), "{path}");
        }
        for other in
            [targets("https://webhooks.example.com/asana", "another"), targets("https://example.com", "one key")]
        {
            assert_eq!(other.stream_of_url(&url), None);
        }
    }

    #[test]
    fn nothing_else_is_an_address() {
        let ours = targets("http://localhost", "one key");
        let url = ours.url(&StreamId::new("main", "1200"));
        let other = ours.url(&StreamId::new("main", "1201"));
        let tag = |url: &str| url.rsplit('/').next().unwrap().to_owned();
        let forged = url.replace(&tag(&url), &tag(&other));
        for path in ["", "/", "//", "/x", &forged, &url.replace(&tag(&url), ""), &format!("{url}A"), &format!("{url}/")]
        {
            assert_eq!(ours.stream_of_path(path), None, "{path}");
        }
    }
}
