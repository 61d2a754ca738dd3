//! What explain may show: texts up to a bound, and of a token its end only.

/// The most characters of a raw answer.
const MAX: usize = 2_000;

/// What is shown of a token.
const END: usize = 4;

/// A run of letters and digits as long as this is taken for a token.
const TOKEN: usize = 20;

/// The value of a column with these names: a token is cut to its end.
pub(crate) fn value(names: &[&str], text: &str) -> String {
    let named = names.iter().any(|name| name.to_ascii_lowercase().contains("token"));
    if named
        || (text.chars().count() >= TOKEN
            && text.chars().all(of_a_token)
            && text.contains(|c: char| c.is_ascii_digit()))
    {
        return end(text);
    }
    self::text(text)
}

/// A raw answer of any form: what follows a name with `token` in it, and what looks like one, is cut to its end.
pub(crate) fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len().min(4 * MAX));
    let mut rest = raw;
    // What follows a key that speaks of a token: one `;` may stand between (`s:5:"token";s:8:"..."`).
    let (mut named, mut parted) = (false, false);
    let mut length = 0;
    while let Some(first) = rest.chars().next() {
        let run = rest.find(|c| !of_a_token(c)).unwrap_or(rest.len());
        if run == 0 {
            match first {
                ',' | '}' | ']' | '\n' => named = false,
                ';' if parted => named = false,
                ';' => parted = true,
                _ => {}
            }
            out.push(first);
            length += 1;
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        } else {
            let (word, after) = rest.split_at(run);
            rest = after;
            let secret = named && word.len() > END;
            let piece = if secret || is_token(word) { end(word) } else { word.to_owned() };
            length += piece.chars().count();
            out.push_str(&piece);
            if secret {
                named = false;
            } else if word.to_ascii_lowercase().contains("token") {
                (named, parted) = (true, false);
            }
        }
        if length > MAX {
            break;
        }
    }
    bounded(&out)
}

/// At most so many characters as are shown.
pub(crate) fn bounded(text: &str) -> String {
    match text.char_indices().nth(MAX) {
        None => text.to_owned(),
        Some(_) => text.chars().take(MAX - 1).chain(['…']).collect(),
    }
}

/// The end of a token.
fn end(token: &str) -> String {
    let chars: Vec<char> = token.chars().collect();
    let shown = if chars.len() > 2 * END { END } else { 0 };
    let tail: String = chars.iter().skip(chars.len() - shown).collect();
    format!("…{tail}")
}

fn is_token(word: &str) -> bool {
    word.len() >= TOKEN && word.bytes().any(|b| b.is_ascii_digit()) && word.bytes().any(|b| b.is_ascii_alphabetic())
}

fn of_a_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+' | '/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &str, expected: &str) {
        assert_eq!(text(raw), expected);
    }

    #[test]
    fn a_token_shows_its_end_only() {
        let token = "0f744707bebcf74f9b7c25d48e3358945f6aa01d";
        check(token, "…a01d");
        check(&format!("42 {token} ios"), "42 …a01d ios");
        check(r#"{"token":"secret-one","platform":"ios"}"#, r#"{"token":"…-one","platform":"ios"}"#);
        check(r#"{"token":null,"platform":"android"}"#, r#"{"token":null,"platform":"android"}"#);
        check(
            r#"a:2:{s:5:"token";s:10:"abcdefghij";s:3:"via";s:7:"android";}"#,
            r#"a:2:{s:5:"token";s:10:"…ghij";s:3:"via";s:7:"android";}"#,
        );
        check("xinge_token=abcdefghijkl via=ios", "xinge_token=…ijkl via=ios");
        check("2026-11-21 08:09:10", "2026-11-21 08:09:10");
        check("push_status=1 nick=Ünal", "push_status=1 nick=Ünal");
        assert_eq!(value(&["token"], "abcdefghijkl"), "…ijkl");
        assert_eq!(value(&["", "xinge_token"], "short"), "…");
        assert_eq!(value(&["value"], token), "…a01d");
        assert_eq!(value(&["value"], "1"), "1");
    }

    #[test]
    fn a_long_answer_is_cut() {
        assert_eq!(text(&"é ".repeat(5_000)).chars().count(), 2_000);
        assert!(text(&"a b ".repeat(5_000)).ends_with('…'));
    }
}
