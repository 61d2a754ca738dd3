//! A lane as the intake sees it: where its events go, and whom its distributors can find.

use homing_core::{
    event::{Audience, Invalid},
    queue::QueueName,
};

/// One kind of traffic.
#[derive(Clone, Debug, Default)]
pub struct Lane {
    /// Its name.
    pub name: String,
    /// The entry lists in the order of their numbers.
    pub entry: Vec<QueueName>,
    /// The delivery lists of all channels.
    pub delivery: Vec<QueueName>,
    /// Bound of an entry list in items; 0 = none.
    pub high_water: u64,
    /// Language of the texts of a recipient who names none.
    pub locale: String,
    /// What its distributors can look up: `owners`, `members`, `topic`, `everyone`.
    pub finds: Vec<String>,
}

impl Lane {
    /// The entry list for a recipient or conversation: by CRC-32 of its id, as every producer chooses it.
    pub fn of(&self, key: &str) -> Option<&QueueName> {
        let count = u32::try_from(self.entry.len()).ok().filter(|n| *n > 0)?;
        self.entry.get((crc32fast::hash(key.as_bytes()) % count) as usize)
    }

    /// Refuses an audience that its distributors could not find.
    pub(crate) fn can_find(&self, to: &Audience) -> Result<(), Invalid> {
        let (field, needed) = match to {
            Audience::GroupOwner(_) => ("to.group", "owners"),
            to => match to.enumerated() {
                Some((kind, _)) => ("to", kind),
                None => return Ok(()),
            },
        };
        if self.finds.iter().any(|own| own == needed) {
            return Ok(());
        }
        let what = format!("lane {} cannot find {}: it has no `{needed}`", self.name, to.describe());
        Err(Invalid::new(field, what))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn the_list_is_chosen_by_the_crc_of_the_key() {
        let lane = Lane { entry: (1..=7).map(|n| QueueName::new(format!("q{n}"))).collect(), ..Lane::default() };
        // crc32("42") is 841265288, as PHP says too; modulo 7 that is 3.
        assert_eq!(lane.of("42").unwrap().as_str(), "q4");
        assert_eq!(Lane::default().of("42"), None);
    }

    #[test]
    fn an_audience_that_nobody_could_find_is_refused() {
        let lane = Lane { name: "system".into(), finds: vec!["members".into()], ..Lane::default() };
        assert!(lane.can_find(&Audience::Users(vec!["1".into()])).is_ok());
        assert!(lane.can_find(&Audience::GroupMembers("9".into())).is_ok());
        let error = lane.can_find(&Audience::GroupOwner("9".into())).unwrap_err().to_string();
        assert_eq!(error, "to.group: lane system cannot find the owner of group 9: it has no `owners`");
        let error = lane.can_find(&Audience::Everyone).unwrap_err().to_string();
        assert_eq!(error, "to: lane system cannot find everyone: it has no `everyone`");
    }
}
