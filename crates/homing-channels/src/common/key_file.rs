//! The key file of a service account, a JSON object. What is wrong with it is said in words, and never with a value from
//! it: half of it is a secret.

use serde_json::{Map, Value};

/// Its fields.
pub(crate) struct KeyFile(pub(crate) Map<String, Value>);

impl KeyFile {
    /// Reads the file's text.
    ///
    /// # Errors
    /// In words: where it is no JSON, or no object.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| {
            format!(
                "is not JSON (line {}, column {}): it is the key file as it was downloaded",
                error.line(),
                error.column()
            )
        })?;
        let Value::Object(file) = value else { return Err("is not a JSON object".to_owned()) };
        Ok(Self(file))
    }

    /// A field that must be there.
    ///
    /// # Errors
    /// In words: it is missing, or no text.
    pub(crate) fn text(&self, name: &str) -> Result<String, String> {
        match self.0.get(name) {
            Some(Value::String(text)) if !text.trim().is_empty() => Ok(text.clone()),
            Some(_) => Err(format!("`{name}` is not a text")),
            None => Err(format!("lacks `{name}`: it is the key file as it was downloaded")),
        }
    }

    /// A field, or what stands for it where it is missing.
    ///
    /// # Errors
    /// In words: it is no text.
    pub(crate) fn text_or(&self, name: &str, usual: &str) -> Result<String, String> {
        if self.0.contains_key(name) { self.text(name) } else { Ok(usual.to_owned()) }
    }
}
