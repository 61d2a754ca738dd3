//! A provider's own words, made fit for a record.

/// Longer texts are cut.
const LONGEST: usize = 200;

/// `text` on one line, cut, and without the `secrets` (access tokens, device tokens), which providers like to repeat.
pub(crate) fn words(text: &str, secrets: &[&str]) -> String {
    let mut text = text.to_owned();
    // Shorter ones would tear holes into ordinary words.
    for secret in secrets.iter().filter(|secret| secret.len() >= 8) {
        text = text.replace(secret, "..");
    }
    let line = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = line.collect::<Vec<_>>().join(" ");
    if line.chars().count() <= LONGEST {
        return line;
    }
    line.chars().take(LONGEST).chain("..".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_one_short_line_without_secrets() {
        assert_eq!(words("a\n b\tsecret-1! ", &["secret-1", "a"]), "a b ..!");
        assert_eq!(words(&"店".repeat(900), &[]).chars().count(), LONGEST + 2);
    }
}
