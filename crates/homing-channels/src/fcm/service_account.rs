//! The key file of a service account, as Google's console hands it out. What is wrong with it is said in words, and never
//! with a value from it: half of it is a secret.

use serde_json::Value;
use url::Url;

use crate::common::{jose::Signer, key_file::KeyFile};

/// Where tokens come from when the file does not say. (Google, "Using OAuth 2.0 for server to server applications".)
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";

/// A service account. Its Debug shows nothing of the key.
#[derive(Debug)]
pub(crate) struct ServiceAccount {
    /// `project_id`.
    pub(crate) project: Option<String>,
    /// `client_email`: who we are.
    pub(crate) email: String,
    /// `private_key_id`, for the assertion's `kid`.
    pub(crate) key_id: Option<String>,
    /// `private_key`.
    pub(crate) signer: Signer,
    /// `token_uri` as it stands there: for whom an assertion is made.
    pub(crate) audience: String,
    /// The same: where it goes, unless `auth_url` says another place.
    pub(crate) token_uri: Url,
}

impl ServiceAccount {
    /// Reads the file's text.
    ///
    /// # Errors
    /// In words, without anything secret.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let file = KeyFile::read(text)?;
        if file.0.contains_key("project_info") {
            return Err("is the app's google-services.json: the key of a service account is needed".to_owned());
        }
        match file.0.get("type").and_then(Value::as_str) {
            Some("service_account") | None => {}
            Some(_) => return Err("has another `type` than service_account".to_owned()),
        }
        let signer = Signer::rs256(&file.text("private_key")?).map_err(|problem| format!("`private_key` {problem}"))?;
        let audience = file.text_or("token_uri", TOKEN_URI)?;
        let token_uri = Url::parse(&audience)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or("`token_uri` is no address that begins with https://")?;
        Ok(Self {
            project: file.0.get("project_id").and_then(Value::as_str).map(str::to_owned),
            email: file.text("client_email")?,
            key_id: file.0.get("private_key_id").and_then(Value::as_str).map(str::to_owned),
            signer,
            audience,
            token_uri,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let problem = ServiceAccount::read(text).expect_err("it was not refused");
        assert!(problem.contains(expected), "{problem}");
        assert!(!problem.contains("hush"), "{problem}");
    }

    #[test]
    fn what_is_wrong_with_a_key_file_is_named() {
        check("", "is not JSON (line 1, column 0)");
        check("-----BEGIN PRIVATE KEY----- hush", "is not JSON");
        check("[\"hush\"]", "is not a JSON object");
        check(r#"{"project_info":{"project_id":"hush"}}"#, "google-services.json");
        check(r#"{"type":"authorized_user","refresh_token":"hush"}"#, "`type`");
        check(r#"{"type":"service_account"}"#, "lacks `private_key`");
        check(r#"{"private_key":["hush"]}"#, "`private_key` is not a text");
        check(r#"{"private_key":"-----BEGIN ENCRYPTED PRIVATE KEY-----\nhush"}"#, "`private_key` has a password");
        check(r#"{"private_key":"hush"}"#, "`private_key` is no private key in PEM");
    }
}
