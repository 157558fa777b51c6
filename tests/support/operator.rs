//! A NATS operator with an account, and users who log in with credentials files.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

/// The keys of everybody above the users.
pub(crate) struct Operator {
    key: KeyPair,
    system: KeyPair,
    pub(crate) account: KeyPair,
}

impl Operator {
    pub(crate) fn new() -> Self {
        let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account());
        Self { key: operator, system: KeyPair::new_account(), account }
    }

    /// The settings of a server that knows the account, which has JetStream without limits.
    pub(crate) fn settings(&self) -> Vec<String> {
        let Self { key: operator, system, account } = self;
        let all = [
            "subs",
            "data",
            "payload",
            "imports",
            "exports",
            "conn",
            "mem_storage",
            "disk_storage",
            "streams",
            "consumer",
        ];
        let unlimited: Value = all.map(|limit| (limit.to_owned(), json!(-1))).into_iter().collect();
        let of_system = json!({ "type": "account", "limits": { "conn": -1 } });
        let of_account = json!({ "type": "account", "limits": unlimited });
        let accounts = json!({
            system.public_key(): jwt(operator, system, None, &of_system),
            account.public_key(): jwt(operator, account, None, &of_account),
        });
        vec![
            format!("operator={}", jwt(operator, operator, None, &json!({ "type": "operator" }))),
            format!("system_account={}", system.public_key()),
            "resolver=MEMORY".to_owned(),
            format!("resolver_preload={accounts}"),
        ]
    }

    /// A credentials file, as `nsc` writes it. `permissions`: `pub` and `sub`; `expires`: seconds since 1970.
    pub(crate) fn credentials(&self, user: &KeyPair, permissions: &Value, expires: Option<u64>) -> String {
        let mut claims = json!({ "type": "user", "subs": -1, "data": -1, "payload": -1 });
        claims.as_object_mut().expect("an object").extend(permissions.as_object().expect("an object").clone());
        format!(
            "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            jwt(&self.account, user, expires, &claims),
            user.seed().expect("a seed")
        )
    }
}

/// What `issuer` says of `subject`, as `nsc` writes it.
fn jwt(issuer: &KeyPair, subject: &KeyPair, expires: Option<u64>, claims: &Value) -> String {
    let mut claims = claims.clone();
    claims["version"] = json!(2);
    let mut payload = json!({
        "iss": issuer.public_key(), "sub": subject.public_key(), "name": "test", "iat": 1_500_000_000, "nats": claims,
    });
    if let Some(expires) = expires {
        payload["exp"] = json!(expires);
    }
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let header = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let text = format!("{}.{}", encode(header.to_string().as_bytes()), encode(payload.to_string().as_bytes()));
    let signature = issuer.sign(text.as_bytes()).expect("a signature");
    format!("{text}.{}", encode(&signature))
}
