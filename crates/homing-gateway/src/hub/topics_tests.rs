#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::topic::Room;

fn topic(number: u8) -> Topic {
    if number.is_multiple_of(2) {
        Topic::Stream(Stream::User(number.to_string().into()))
    } else {
        Topic::Room("/".into(), Room::Number(number.into()))
    }
}

#[derive(Default)]
struct Sessions(BTreeMap<u32, Vec<Membership>>);

impl Memberships for Sessions {
    fn of(&mut self, slot: u32) -> Option<&mut Vec<Membership>> {
        self.0.get_mut(&slot)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn members_are_those_who_joined_and_did_not_leave(
        steps in proptest::collection::vec((0..12u32, 0..6u8, any::<bool>()), 1..300)
    ) {
        let mut topics = Topics::default();
        let mut sessions = Sessions::default();
        let mut model: BTreeMap<u8, BTreeSet<u32>> = BTreeMap::new();
        for (slot, number, join) in steps {
            let name = topic(number);
            let members = model.entry(number).or_default();
            let own = sessions.0.entry(slot).or_default();
            if join {
                let first = topics.join(slot, own, name.clone());
                prop_assert_eq!(first, (!members.contains(&slot)).then_some(members.is_empty()));
                members.insert(slot);
            } else {
                let place = topics.find(own, &name);
                prop_assert_eq!(place.is_some(), members.contains(&slot));
                if let Some(place) = place {
                    let membership = own.swap_remove(place);
                    prop_assert_eq!(topics.name(membership), Some(&name));
                    members.remove(&slot);
                    let last = topics.leave(membership, &mut sessions);
                    prop_assert_eq!(last, members.is_empty().then_some(name));
                }
            }
            for (number, members) in &model {
                let found = topics.members(&topic(*number));
                prop_assert_eq!(found.len(), members.len());
                prop_assert_eq!(&found.iter().copied().collect::<BTreeSet<_>>(), members);
                if let Topic::Stream(stream) = topic(*number) {
                    prop_assert_eq!(topics.line(&stream).is_some(), !members.is_empty());
                }
            }
            prop_assert_eq!(topics.len(), model.values().filter(|members| !members.is_empty()).count());
        }
    }
}
