//! A key that a map names twice: the last value wins and stands where the key stood first, as in PHP.

use std::collections::{HashMap, HashSet};

use crate::{Key, Value};

/// Up to here comparing each with each is cheaper than hashing.
const FEW: usize = 16;

/// The entries without repeated keys, and whether there were any.
pub(crate) fn last_wins(entries: Vec<(Key, Value)>) -> (Vec<(Key, Value)>, bool) {
    if !any_repeated(&entries) {
        return (entries, false);
    }
    let mut places = HashMap::new();
    let mut kept: Vec<(Key, Value)> = Vec::new();
    for (key, value) in entries {
        match places.get(&key).and_then(|&place: &usize| kept.get_mut(place)) {
            Some(earlier) => earlier.1 = value,
            None => {
                places.insert(key.clone(), kept.len());
                kept.push((key, value));
            }
        }
    }
    (kept, true)
}

fn any_repeated(entries: &[(Key, Value)]) -> bool {
    if entries.len() <= FEW {
        let mut rest = entries;
        while let [(key, _), after @ ..] = rest {
            if after.iter().any(|(other, _)| other == key) {
                return true;
            }
            rest = after;
        }
        return false;
    }
    // Hashing with the standard hasher, so that no writer of keys can make this quadratic.
    let mut seen = HashSet::with_capacity(entries.len());
    !entries.iter().all(|(key, _)| seen.insert(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_takes_the_first_place() {
        for filler in [0, FEW as i64] {
            let filled = |entries: &[(&str, i64)]| -> Vec<(Key, Value)> {
                let entries = entries.iter().map(|(key, value)| (Key::from(*key), Value::Int(*value)));
                entries.chain((0..filler).map(|key| (Key::Int(key), Value::Null))).collect()
            };
            let unique = filled(&[("a", 1), ("b", 2)]);
            assert_eq!(last_wins(unique.clone()), (unique, false));
            let twice = filled(&[("a", 1), ("b", 2), ("a", 3), ("a", 4)]);
            assert_eq!(last_wins(twice), (filled(&[("a", 4), ("b", 2)]), true));
        }
    }
}
