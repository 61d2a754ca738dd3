//! Lengths, keys and custom fields, as all vendors need them.

use homing_core::{
    clock::Millis,
    notification::{Action, Notification},
};
use serde_json::{Map, Value, json};

use super::settings::Account;

/// A device's token is at most so long; without a comma, as tokens travel in lists.
const TOKEN_MAX: usize = 512;

/// Can this be a token at all? One that cannot would spoil the list that it travels in.
pub(super) fn fits(token: &str) -> bool {
    (1..=TOKEN_MAX).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

/// At most `most` characters, the last of which is an ellipsis where something was cut off. `weight` is what a character
/// counts.
pub(super) fn cut(text: &str, most: usize, weight: fn(char) -> usize) -> String {
    let text = text.trim();
    if text.chars().map(weight).sum::<usize>() <= most {
        return text.to_owned();
    }
    let mut room = most.saturating_sub(weight('…'));
    let mut short: String = text
        .chars()
        .take_while(|char| {
            let fits = weight(*char) <= room;
            room = room.saturating_sub(weight(*char));
            fits
        })
        .collect();
    short.truncate(short.trim_end().len());
    short.push('…');
    short
}

/// Every character counts one.
pub(super) fn one(_: char) -> usize {
    1
}

/// A character beyond ASCII counts two.
pub(super) fn two(char: char) -> usize {
    if char.is_ascii() { 1 } else { 2 }
}

/// Title and text, cut to what the vendor shows. A vendor's notification has both: without a title the account's stands
/// there.
///
/// # Errors
/// There is no text.
pub(super) fn texts(
    account: &Account,
    notification: &Notification,
    most: (usize, usize),
    weight: fn(char) -> usize,
) -> Result<(String, String), String> {
    let (title, body) = (notification.title.trim(), notification.body.trim());
    if body.is_empty() {
        return Err("the message has no text, and is not silent".to_owned());
    }
    let title = if title.is_empty() { account.title() } else { title };
    Ok((cut(title, most.0, weight), cut(body, most.1, weight)))
}

/// The custom fields, with `push_type` and `id`, which win over fields of these names.
pub(super) fn fields(notification: &Notification) -> Map<String, Value> {
    let mut fields = notification.custom.clone();
    fields.insert("push_type".to_owned(), json!(notification.kind));
    fields.insert("id".to_owned(), json!(notification.id));
    fields
}

/// The same as one JSON text of at most `most` characters.
///
/// # Errors
/// It is longer.
pub(super) fn packed(notification: &Notification, most: usize) -> Result<String, String> {
    let text = Value::Object(fields(notification)).to_string();
    let length = text.chars().count();
    if length > most {
        return Err(format!("the custom fields are {length} characters of JSON, more than {most}"));
    }
    Ok(text)
}

/// What is left of its time to live in seconds, within what the vendor takes.
pub(super) fn seconds_left(notification: &Notification, now: Millis, least: Millis, most: Millis) -> Millis {
    (notification.expires_at.saturating_sub(now) / 1000).clamp(least, most)
}

/// What a tap does.
pub(super) enum Tap<'a> {
    /// Opens the app.
    App,
    /// Opens this activity.
    Activity(&'a str),
    /// Opens this address.
    Url(&'a str),
    /// Starts this intent.
    Intent(&'a str),
}

/// What a tap on the notification does.
pub(super) fn tap(notification: &Notification) -> Tap<'_> {
    match &notification.action {
        Some(Action::Activity(class)) if !class.is_empty() => Tap::Activity(class),
        Some(Action::Url(url)) => Tap::Url(url),
        Some(Action::Intent(intent)) => Tap::Intent(intent),
        _ => Tap::App,
    }
}

/// An activity as an intent's address.
pub(super) fn intent(package: &str, class: &str) -> String {
    format!("intent:#Intent;component={package}/{class};end")
}

/// FNV-1a (64 bits) of the id in 12 characters: a name that is the same in every process.
pub(super) fn short_name(id: &str) -> String {
    let hash = id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{:012x}", hash & 0xffff_ffff_ffff)
}

/// The provider's words, fit for a log: short, on one line, and without what looks like a token or a key.
pub(super) fn masked(words: &str, hide: &[&str]) -> String {
    let mut words: String = words.chars().take(300).map(|char| if char.is_control() { ' ' } else { char }).collect();
    for hidden in hide.iter().filter(|hidden| !hidden.is_empty()) {
        if words.contains(hidden) {
            words = words.replace(hidden, "..");
        }
    }
    let mut shown = String::new();
    let mut run = String::new();
    for char in words.chars().chain([' ']) {
        if char.is_ascii_alphanumeric() || "_-=+/%".contains(char) {
            run.push(char);
            continue;
        }
        shown.push_str(if run.len() >= 20 { ".." } else { &run });
        run.clear();
        shown.push(char);
    }
    shown.truncate(shown.trim_end().len());
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut(" 订单 ", 2, one), "订单");
        assert_eq!(cut("您的订单", 3, one), "您的…");
        assert_eq!(cut("您的订单", 6, two), "您的…");
        assert_eq!(cut("您的订单", 7, two), "您的…");
        assert_eq!(cut("a b c", 3, one), "a…", "no blank before the ellipsis");
        assert_eq!(cut("😀😀😀", 2, one), "😀…");
        assert_eq!(cut("abc", 0, one), "…");
        assert_eq!(cut("", 0, one), "");
    }

    #[test]
    fn tokens_that_would_spoil_a_list_do_not_fit() {
        assert!(fits("CN_906bf7b0d76a5c0001668ddc410ab903") && fits("a+b/c=="));
        for token in ["", "a,b", "a b", "中", "a\n", &"x".repeat(513)] {
            assert!(!fits(token), "{token}");
        }
    }

    #[test]
    fn words_are_shown_without_what_looks_like_a_token() {
        let token = "0123456789abcdef0123";
        assert_eq!(masked(&format!("regId {token} is bad"), &[]), "regId .. is bad");
        assert_eq!(masked("key s3cret\nis wrong", &["s3cret", ""]), "key .. is wrong");
        assert_eq!(masked("regId不合法", &[]), "regId不合法");
        assert_eq!(masked(&"x ".repeat(500), &[]).chars().count(), 299);
    }

    #[test]
    fn a_short_name_is_the_same_for_ever() {
        assert_eq!(short_name(""), "9ce484222325");
        assert_eq!(short_name("m-1").len(), 12);
        assert_ne!(short_name("m-1"), short_name("m-2"));
    }
}
