//! The key file of a service account, as Huawei's API Console hands it out. What is wrong with it is said in words, and
//! never with a value from it.
//!
//! ```text
//! {"project_id","key_id","private_key":"-----BEGIN PRIVATE KEY-----..","sub_account","token_uri",..}
//! ```

use serde_json::Value;

use crate::common::{jose::Signer, key_file::KeyFile};

/// For whom a JWT is made where the file does not say. (Huawei, "Generating a JWT based on a service account".)
const AUDIENCE: &str = "https://oauth-login.cloud.huawei.com/oauth2/v3/token";

/// A service account. Its Debug shows nothing of the key.
#[derive(Debug)]
pub(crate) struct ServiceAccount {
    /// `project_id`.
    pub(crate) project: Option<String>,
    /// `key_id`.
    pub(crate) key_id: String,
    /// `sub_account`: who we are.
    pub(crate) sub_account: String,
    /// `token_uri`: for whom a JWT is made.
    pub(crate) audience: String,
    /// `private_key`.
    pub(crate) signer: Signer,
}

impl ServiceAccount {
    /// Reads the file's text.
    ///
    /// # Errors
    /// In words, without anything secret.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let file = KeyFile::read(text)?;
        if file.0.contains_key("agcgw") || file.0.contains_key("client") {
            return Err("is the app's agconnect-services.json: the key of a service account is needed".to_owned());
        }
        let signer = Signer::ps256(&file.text("private_key")?).map_err(|problem| format!("`private_key` {problem}"))?;
        let project = match file.0.get("project_id") {
            Some(Value::Number(number)) => Some(number.to_string()),
            Some(Value::String(text)) => Some(text.clone()),
            _ => None,
        };
        let audience = file.text_or("token_uri", AUDIENCE)?;
        let (key_id, sub_account) = (file.text("key_id")?, file.text("sub_account")?);
        Ok(Self { project, key_id, sub_account, audience, signer })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let problem = ServiceAccount::read(text).expect_err("it was not refused");
        assert!(problem.contains(expected) && !problem.contains("hush"), "{problem}");
    }

    #[test]
    fn what_is_wrong_with_a_key_file_is_named() {
        check("hush", "is not JSON (line 1, column 1)");
        check("7", "is not a JSON object");
        check(r#"{"agcgw":{"url":"hush"}}"#, "agconnect-services.json");
        check(r#"{"project_id":"hush"}"#, "lacks `private_key`");
        check(r#"{"private_key":""}"#, "`private_key` is not a text");
        check(r#"{"private_key":"hush"}"#, "`private_key` is no private key in PEM");
    }
}
