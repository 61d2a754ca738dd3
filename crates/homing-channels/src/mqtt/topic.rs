//! Which topics may be published. A broker ends the connection on a topic that it does not allow, and with it everything
//! that is under way there, so what it would refuse is refused here.

/// Longest topic in bytes. MQTT allows 65,535.
const LONGEST: usize = 1_024;
/// Most levels; mosquitto ends the connection from 200 on.
const LEVELS: usize = 64;

/// The topic of a token below the prefix.
///
/// # Errors
/// Says what the topic may not have.
pub(super) fn topic(prefix: &str, token: &str) -> Result<String, String> {
    let topic = if prefix.is_empty() { token.to_owned() } else { format!("{prefix}/{token}") };
    check(&topic)?;
    // An id that holds a slash would be somebody else's topic.
    if let Some(("user" | "group", id)) = token.split_once('/')
        && id.contains('/')
    {
        return Err("an id with a slash in it".to_owned());
    }
    Ok(topic)
}

/// Checks a whole topic (MQTT 3.1.1, 4.7.1 and 4.7.3; control characters and non-characters as mosquitto 2.0 does).
///
/// # Errors
/// Says what it may not have.
pub(super) fn check(topic: &str) -> Result<(), String> {
    if topic.len() > LONGEST {
        return Err(format!("{} bytes, the most is {LONGEST}", topic.len()));
    }
    if topic.starts_with('$') {
        return Err("a $ in front, which is the broker's own".to_owned());
    }
    if let Some(wild) = topic.chars().find(|c| matches!(c, '+' | '#')) {
        return Err(format!("a {wild} in it, which only a subscriber may write"));
    }
    if let Some(c) = topic.chars().find(|c| c.is_control() || is_no_character(*c)) {
        return Err(format!("the character U+{:04X} in it", u32::from(c)));
    }
    if topic.split('/').any(str::is_empty) {
        return Err("an empty level".to_owned());
    }
    if topic.split('/').count() > LEVELS {
        return Err(format!("more than {LEVELS} levels"));
    }
    Ok(())
}

/// Code points that Unicode gives to nobody.
fn is_no_character(c: char) -> bool {
    let point = u32::from(c);
    (0xfdd0..=0xfdef).contains(&point) || point & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn a_token_stands_below_the_prefix() {
        assert_eq!(topic("im", "user/42").unwrap(), "im/user/42");
        assert_eq!(topic("a/b", "group/张").unwrap(), "a/b/group/张");
        assert_eq!(topic("", "user/42").unwrap(), "user/42");
        assert_eq!(topic("im", "shop/1/orders").unwrap(), "im/shop/1/orders");
    }

    #[test]
    fn what_a_broker_would_refuse_is_refused() {
        for token in ["", "user/", "/user", "user//1", "user/+", "user/#", "user/a\0", "user/a\n", "user/\u{fffe}"] {
            assert!(topic("im", token).is_err(), "{token:?}");
        }
        assert_eq!(topic("im", "user/4/2").unwrap_err(), "an id with a slash in it");
        assert_eq!(topic("", "$SYS/x").unwrap_err(), "a $ in front, which is the broker's own");
        assert!(topic("im", &format!("user/{}", "x".repeat(1_016))).is_ok());
        assert_eq!(topic("im", &format!("user/{}", "x".repeat(1_017))).unwrap_err(), "1025 bytes, the most is 1024");
        assert_eq!(topic("", &["a"; 65].join("/")).unwrap_err(), "more than 64 levels");
    }
}
