//! File and line for the errors of checks that look at several sections: they begin with the key, in one of the forms
//! `lane.a.tokens: ..`, `[registry] store: ..`, `route[0]: ..`, `agent: agent.lane: ..`.

use homing_runtime::config::{ConfigError, Origins};

/// The error, with where its key was written in front. What names no known key stays as it is.
pub(super) fn place(origins: &Origins, error: anyhow::Error) -> anyhow::Error {
    if error.chain().any(|cause| cause.is::<ConfigError>()) {
        return error;
    }
    match find(origins, &format!("{error:#}")) {
        Some(place) => error.context(place),
        None => error,
    }
}

/// The longest known path that the text begins with.
fn find(origins: &Origins, text: &str) -> Option<String> {
    let mut best: Option<(usize, String)> = None;
    let mut outer: Vec<String> = Vec::new();
    // `agent: agent.lane: ..` has two heads, `intake: keys: ..` too; a third is the story.
    for head in text.split(": ").take(2) {
        let Some(keys) = keys(head) else { break };
        for path in [keys.clone(), outer.iter().chain(&keys).cloned().collect()] {
            for n in (1..=path.len()).rev() {
                let front: Vec<&str> = path.iter().take(n).map(String::as_str).collect();
                let Some(place) = origins.place(&front) else { continue };
                if best.as_ref().is_none_or(|(known, _)| n > *known) {
                    best = Some((n, place));
                }
                break;
            }
        }
        outer = keys;
    }
    best.map(|(_, place)| place)
}

/// `[a.b] c` and `a.b.c` are a, b, c; `a[0]` is a, [0]. A text that is no path is nothing.
fn keys(head: &str) -> Option<Vec<String>> {
    let plain = match head.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((section, key)) => format!("{section}.{key}"),
        None => head.replace('[', ".["),
    };
    let bare = |key: &str| !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "_-[]".contains(c));
    plain.split('.').map(|key| bare(key).then(|| key.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::super::Config;

    #[test]
    fn an_error_that_names_a_key_gets_its_file_and_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("homing.toml");
        let text = "[lane.a]\nentry.name = 'q'\ntokens = 't'\ndelivery.xinge.name = 'x'\n[[route]]\nchannel = 'xinge'\n\
                    [stores.s]\nkind = 'redis'\nurl = 'redis://h'\n[registry]\nstore = 's'\n[agent]\nlane = 'b'\n";
        std::fs::write(&file, text).unwrap();
        let config = Config::load(std::slice::from_ref(&file)).unwrap();
        let check = |error: &str, line: Option<u32>| {
            let line = line.map(|n| format!("{} line {n}: ", file.display())).unwrap_or_default();
            assert_eq!(format!("{:#}", config.place(anyhow::anyhow!("{error}"))), format!("{line}{error}"));
        };
        check("lane.a.tokens: there is no [lookup.t]", Some(3));
        check("lane.a.rules: the rule `quiet` needs more", Some(1));
        check("route[0]: there is no channel xinge", Some(5));
        check("[registry] store: there is no [stores.s]", Some(11));
        check("[stores.s] url: is odd", Some(9));
        check("registry: registry: its changes cannot be told", Some(10));
        check("agent: agent.lane: there is no lane b", Some(13));
        check("the configuration has no [lane.NAME]: there is nothing to do", None);
        check("nothing to do: no shard is configured for it", None);
    }
}
