//! Looks at credentials, and rehearsals: what both flavours say about them.

use homing_core::channel::{Answer, Credential, Health, Outcome};
use serde_json::json;

use super::{codes::Class, reply::outcome};

/// An account that nobody has.
const NOBODY: &str = "homing-credential-check";

/// The body of an account query. (Xinge v3 REST documentation, "account API"; TPNS documentation, "account query".)
pub(crate) fn query_body(platform: Option<&str>) -> Vec<u8> {
    let mut body = json!({ "operator_type": 1, "account_list": [{ "account": NOBODY, "account_type": 0 }] });
    if let Some(platform) = platform {
        body["platform"] = platform.into();
    }
    body.to_string().into_bytes()
}

/// What a code says of the credentials that the call came with.
pub(crate) fn health_of(class: Class, text: &str) -> Health {
    match class {
        Class::Ok | Class::Token | Class::NoTarget | Class::Partial | Class::Quota => Health::Good,
        Class::Clock | Class::Rate => Health::Doubtful,
        Class::Auth | Class::AuthOrClock | Class::Cert => Health::Refused,
        Class::AuthOrRetry if outcome(class, text) == Outcome::Config => Health::Refused,
        // A service that does not know the call says "bad" as well.
        Class::AuthOrRetry | Class::Retry | Class::Bad | Class::Big | Class::Unknown => Health::Unknown,
    }
}

/// There was no reply, or none that could be read.
pub(crate) fn unheard(answer: Answer) -> (Health, String) {
    let health = match answer.outcome {
        Outcome::RateLimited { .. } => Health::Doubtful,
        Outcome::Config => Health::Refused,
        _ => Health::Unknown,
    };
    (health, answer.detail)
}

/// `label` names the account: `higo/ios/dev`.
pub(crate) fn credential(label: &str, health: Health, detail: String) -> Credential {
    Credential { account: format!("account {label}"), health, detail, expires_at: None }
}

/// What a rehearsal shows: the service has no call that validates.
pub(crate) fn rehearsed(length: usize) -> String {
    format!("built and signed, {length} bytes; Xinge cannot validate without sending")
}
