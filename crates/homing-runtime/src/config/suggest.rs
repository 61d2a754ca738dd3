//! "Did you mean ...?"

/// The known name that `typed` is a slip of, if one is near enough: at most two edits, and at most one for every two
/// characters (of three letters, two are another word).
pub(super) fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (typed.chars().count() / 2).min(2);
    let near = known.into_iter().map(|name| (distance(typed, name), name)).filter(|(distance, _)| *distance <= allowed);
    near.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// Levenshtein's: insertions, deletions and replacements of one character.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(&b) {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = *cell;
            left = replaced.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
        row[0] = i + 1;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_textbook() {
        for (a, b, expected) in
            [("", "", 0), ("", "ab", 2), ("kitten", "sitting", 3), ("shrads", "shards", 2), ("ü", "u", 1)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn only_a_slip_is_corrected() {
        let check = |typed, known: &[&'static str], expected| {
            assert_eq!(nearest(typed, known.iter().copied()), expected, "{typed}");
        };
        check("shrads", &["batch", "shards"], Some("shards"));
        check("shard", &["sharp", "shards"], Some("sharp"));
        check("prot", &["port"], Some("port"));
        check("ttl", &["url"], None);
        check("window", &["shards"], None);
        check("shards", &[], None);
    }
}
