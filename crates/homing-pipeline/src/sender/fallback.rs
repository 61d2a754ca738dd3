//! Other ways to a device: a target goes on to the delivery list of the next channel that it has a token for.
//!
//! It does where its token is dead here, or where this channel refuses the app's credentials; a message that may have
//! been accepted never does. Each step uses up an alternate, so it comes to an end. The lists' bounds do not count: what
//! goes on is in a list already, and two senders that wait for room in each other's list would wait for ever.

use std::collections::BTreeMap;

use homing_core::{notification::Target, queue::QueueName};

use crate::lane::Shards;

/// The lane's delivery lists by channel; that of the sender's own may be among them.
pub type Ways = BTreeMap<String, Shards>;

/// The next way to a target: the channel, and the target as it stands there. Channels without a list in this lane are
/// passed over.
pub(super) fn onward<'a>(target: &'a Target, own: &str, ways: &Ways) -> Option<(&'a str, Target)> {
    let usable = |channel: &str| channel != own && ways.contains_key(channel);
    let at = target.alternates.iter().position(|alternate| usable(&alternate.channel))?;
    let alternate = target.alternates.get(at)?;
    let next = Target {
        user: target.user.clone(),
        token: alternate.token.clone(),
        alternates: target.alternates.get(at + 1..).unwrap_or_default().to_vec(),
        clean: target.clean,
    };
    Some((&alternate.channel, next))
}

/// Targets on their way to other lists.
#[derive(Debug, Default)]
pub(super) struct Onward(pub(super) Vec<Bundle>);

/// Those for one list.
#[derive(Debug)]
pub(super) struct Bundle {
    pub(super) channel: String,
    pub(super) list: QueueName,
    pub(super) targets: Vec<Target>,
}

impl Onward {
    /// Adds a target, for the shard that its user has there, too.
    pub(super) fn add(&mut self, channel: &str, target: Target, ways: &Ways) {
        let Some(lists) = ways.get(channel) else { return };
        let list = lists.of(if target.user.is_empty() { &target.token } else { &target.user });
        match self.0.iter_mut().find(|bundle| bundle.list == list) {
            Some(bundle) => bundle.targets.push(target),
            None => self.0.push(Bundle { channel: channel.to_owned(), list, targets: vec![target] }),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use homing_core::notification::Alternate;

    use super::*;

    fn target(alternates: &[(&str, &str)]) -> Target {
        let alternate =
            |(channel, token): &(&str, &str)| Alternate { channel: (*channel).into(), token: (*token).into() };
        Target { alternates: alternates.iter().map(alternate).collect(), ..Target::new("u", "dead") }
    }

    #[test]
    fn the_next_channel_with_a_list_is_taken_and_alternates_shrink() {
        let ways: Ways =
            ["xinge", "fcm", "mqtt"].map(|name| (name.to_owned(), Shards::new(name, 1, 1).unwrap())).into();
        let start = target(&[("gone", "g"), ("xinge", "x"), ("fcm", "f"), ("xinge", "y"), ("mqtt", "m")]);
        let (channel, second) = onward(&start, "xinge", &ways).unwrap();
        assert_eq!((channel, second.token.as_str(), second.user.as_str()), ("fcm", "f", "u"));
        let (channel, third) = onward(&second, "fcm", &ways).unwrap();
        assert_eq!((channel, third.token.as_str(), third.alternates.len()), ("xinge", "y", 1));
        let (channel, last) = onward(&third, "xinge", &ways).unwrap();
        assert_eq!((channel, last.token.as_str()), ("mqtt", "m"));
        assert_eq!(onward(&last, "mqtt", &ways), None);
        assert_eq!(onward(&target(&[("gone", "g")]), "xinge", &ways), None);
    }
}
