//! How the bridge authenticates to a server. Secrets are read at each login, so that a rotated secret is used by the
//! next login, whether the server or the file changed first.

use crate::config::{NatsLogin, SecretSource};
use async_nats::{Auth, AuthError, ConnectOptions};
use nkeys::KeyPair;
use std::future::ready;
use std::io;
use std::path::Path;

/// The credentials of `login` for a server that sent this nonce.
///
/// # Errors
/// In one line, the setting that can't be used and why, without its value.
pub(super) fn auth(login: &NatsLogin, nonce: &[u8]) -> Result<Auth, String> {
    let secret = |name: &str, source: &SecretSource| {
        source.read().map(|secret| secret.expose().to_owned()).map_err(|error| unusable(name, &error))
    };
    let mut auth = Auth::new();
    match login {
        NatsLogin::Nobody => {}
        NatsLogin::CredentialsFile(path) => {
            let name = format!("credentialsFile {}", path.display());
            let (jwt, seed) = credentials(path).map_err(|error| unusable(&name, &error))?;
            auth.signature = Some(sign(&seed, nonce).map_err(|error| unusable(&name, &error))?.1);
            auth.jwt = Some(jwt);
        }
        NatsLogin::NkeySeed(source) => {
            let signed = sign(&secret("nkeySeed", source)?, nonce);
            let (public_key, signature) = signed.map_err(|error| unusable("nkeySeed", &error))?;
            (auth.nkey, auth.signature) = (Some(public_key), Some(signature));
        }
        NatsLogin::Token(source) => auth.token = Some(secret("token", source)?),
        NatsLogin::User { user, password } => {
            (auth.username, auth.password) = (Some(user.clone()), Some(secret("password", password)?));
        }
    }
    Ok(auth)
}

/// The options of a client that calls [`auth`] at each login.
pub(super) fn options(login: &NatsLogin) -> ConnectOptions {
    if *login == NatsLogin::Nobody {
        // Credentials in the addresses stay in use.
        return ConnectOptions::new();
    }
    let login = login.clone();
    ConnectOptions::with_auth_callback(move |nonce| ready(auth(&login, &nonce).map_err(AuthError::new)))
}

fn unusable(name: &str, error: &dyn std::error::Error) -> String {
    format!("sink.nats.{name} can't be used: {error}")
}

/// The public key, and the nonce as signed by the seed.
fn sign(seed: &str, nonce: &[u8]) -> Result<(String, Vec<u8>), nkeys::error::Error> {
    let pair = KeyPair::from_seed(seed)?;
    Ok((pair.public_key(), pair.sign(nonce)?))
}

/// JWT and seed in a file as `nsc` writes it: each on a line of its own between a begin line and an end line.
fn credentials(path: &Path) -> io::Result<(String, String)> {
    let text = std::fs::read_to_string(path)?;
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let is_fence = |line: &str, word| line.starts_with("---") && line.ends_with("---") && line.contains(word);
    let mut fenced = lines.windows(3).filter_map(|window| match window {
        [before, line, after] if is_fence(before, "BEGIN") && is_fence(after, "END") => Some((*line).to_owned()),
        _ => None,
    });
    let found = fenced.next().zip(fenced.next());
    found.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it doesn't hold a JWT and a seed"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn text(secret: &str) -> SecretSource {
        SecretSource::Text(Secret::new(secret))
    }

    fn why(login: &NatsLogin) -> String {
        auth(login, b"nonce").err().unwrap()
    }

    #[test]
    fn a_secret_is_read_at_each_login() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let login = NatsLogin::User { user: "u".to_owned(), password: SecretSource::File(path.clone()) };
        assert!(why(&login).starts_with("sink.nats.password can't be used: "), "{}", why(&login));
        for password in ["one", "two"] {
            std::fs::write(&path, password).unwrap();
            assert_eq!(auth(&login, b"").unwrap().password.as_deref(), Some(password));
        }
    }

    #[test]
    fn a_seed_signs_what_the_server_said() {
        let pair = KeyPair::new_user();
        let auth = auth(&NatsLogin::NkeySeed(text(&pair.seed().unwrap())), b"nonce").unwrap();
        assert_eq!(auth.nkey, Some(pair.public_key()));
        pair.verify(b"nonce", &auth.signature.unwrap()).unwrap();
        let error = why(&NatsLogin::NkeySeed(text("hush-seed")));
        assert!(error.starts_with("sink.nats.nkeySeed") && !error.contains("hush"), "{error}");
    }

    #[test]
    fn a_credentials_file_holds_a_jwt_and_a_seed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("user.creds");
        let login = NatsLogin::CredentialsFile(path.clone());
        let pair = KeyPair::new_user();
        let seed = pair.seed().unwrap();
        let text = format!(
            "-----BEGIN NATS USER JWT-----\neyJ0.eyJq.c2ln\n------END NATS USER JWT------\r\n\r\n\
             ************************* IMPORTANT *************************\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        std::fs::write(&path, text).unwrap();
        let auth = auth(&login, b"nonce").unwrap();
        assert_eq!(auth.jwt.as_deref(), Some("eyJ0.eyJq.c2ln"));
        pair.verify(b"nonce", &auth.signature.unwrap()).unwrap();
        std::fs::write(&path, "------\n").unwrap();
        assert!(why(&login).contains("user.creds can't be used: it doesn't hold a JWT and a seed"), "{}", why(&login));
    }
}
