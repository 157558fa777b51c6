//! The webhooks whose deliveries this replica can verify: those that it created, because only the creator of a webhook
//! learns its secret.

use crate::config::Secret;
use bridge_core::ids::{Gid, StreamId};
use ring::hmac;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The webhooks, at most one for each stream.
#[derive(Default)]
pub(super) struct Hooks(Mutex<BTreeMap<StreamId, Hook>>);

struct Hook {
    gid: Gid,
    secret: hmac::Key,
}

impl Hooks {
    pub(super) fn insert(&self, stream: StreamId, gid: Gid, secret: &Secret) {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
        self.lock().insert(stream, Hook { gid, secret });
    }

    /// Keeps the webhooks of the streams for which `stays` is true, and drops the others.
    pub(super) fn retain(&self, mut stays: impl FnMut(&StreamId) -> bool) {
        self.lock().retain(|stream, _| stays(stream));
    }

    pub(super) fn gid(&self, stream: &StreamId) -> Option<Gid> {
        self.lock().get(stream).map(|hook| hook.gid.clone())
    }

    pub(super) fn streams(&self) -> Vec<StreamId> {
        self.lock().keys().cloned().collect()
    }

    /// Whether the signature of the body is by the stream's webhook: HMAC-SHA256 in hexadecimal, compared in constant time.
    pub(super) fn verify(&self, stream: &StreamId, body: &[u8], signature: &[u8]) -> bool {
        let Some(signature) = bytes(signature) else { return false };
        self.lock().get(stream).is_some_and(|hook| hmac::verify(&hook.secret, body, &signature).is_ok())
    }

    /// A task that panicked while it held the lock left nothing half done.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<StreamId, Hook>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes of hexadecimal digits; `None` if they are malformed.
fn bytes(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    digits.chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    #[test]
    fn only_the_right_signature_of_the_right_stream_is_good() {
        let (hooks, stream) = (Hooks::default(), StreamId::new("main", "1"));
        let (body, good) =
            (b"what do ya want for nothing?", b"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert!(!hooks.verify(&stream, body, good), "its secret isn't known");
        hooks.insert(stream.clone(), "7".into(), &Secret::new("Jefe"));
        assert!(hooks.verify(&stream, body, good));
        assert!(hooks.verify(&stream, body, &good.to_ascii_uppercase()));
        assert!(!hooks.verify(&stream, b"what do you want", good));
        assert!(!hooks.verify(&StreamId::new("main", "2"), body, good));
        for bad in [
            &b""[..],
            b"5b",
            &good[..63],
            &good[..62],
            b"zz",
            b"4bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ] {
            assert!(!hooks.verify(&stream, body, bad), "{bad:?}");
        }
        hooks.retain(|_| false);
        assert!(!hooks.verify(&stream, body, good));
    }
}
