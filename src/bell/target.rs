//! The address of each stream's webhook: `PUBLIC_URL/NAME/TAG`, where the name is the stream and the tag proves that who
//! has the key made it. Nobody else can guess one, and after a restart the bridge knows its own again.

use crate::config::Secret;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bridge_core::ids::StreamId;
use ring::hmac;
use url::Url;

/// Makes addresses and knows them again.
pub(super) struct Targets {
    base: String,
    key: hmac::Key,
}

impl Targets {
    pub(super) fn new(public_url: &Url, key: &Secret) -> Self {
        let base = public_url.as_str().trim_end_matches('/').to_owned();
        Self { base, key: hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes()) }
    }

    /// Where Asana is to send what happens on a stream. Not for logs.
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

    /// The same by the end of its path: what stands before may have kept the beginning or not.
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
        let ours = targets("https://bell.example.com/asana/", "one key");
        let url = ours.url(&stream);
        assert!(url.starts_with("https://bell.example.com/asana/"), "{url}");
        assert_eq!(ours.stream_of_url(&url), Some(stream.clone()));
        let path = url.parse::<Url>().unwrap().path().to_owned();
        for path in [&path, path.strip_prefix("/asana").unwrap()] {
            assert_eq!(ours.stream_of_path(path), Some(stream.clone()), "{path}");
        }
        for other in [targets("https://bell.example.com/asana", "another"), targets("https://example.com", "one key")] {
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
