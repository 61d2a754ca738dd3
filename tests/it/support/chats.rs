//! Chats as they stand in MongoDB, and what should become of each.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};

use super::{Company, Fate, GROUP_CHATS, PRIVATE_CHATS, World};

/// The chats of a source: message id, who should be told, who wrote it.
#[derive(Debug, Default)]
pub(crate) struct Chats(BTreeMap<String, (u64, u64)>);

impl Chats {
    /// All that are stored for the source `group` or `private`.
    pub(crate) async fn stored(world: &World, source: &str) -> Self {
        let private = source == "private";
        let client = mongodb::Client::with_uri_str(&world.mongo_url).await.unwrap();
        let database = client.database(&world.mongo_database);
        let chats = database.collection::<Document>(if private { PRIVATE_CHATS } else { GROUP_CHATS });
        let found: Vec<Document> = chats.find(doc! {}).await.unwrap().try_collect().await.unwrap();
        let number = |d: &Document, field: &str| d.get_str(field).unwrap().parse::<u64>().unwrap();
        let read = |d: &Document| {
            let id = format!("{source}:{}", d.get_object_id("_id").unwrap().to_hex());
            let author = number(d.get_document("user").unwrap(), "user_id");
            let to = if private { number(d, "to_user_id") } else { Company::owner(number(d, "group_id")) };
            (id, (to, author))
        };
        let read: BTreeMap<String, (u64, u64)> = found.iter().map(read).collect();
        assert_eq!(read.len(), found.len(), "every document has an id of its own");
        Self(read)
    }

    /// Those that were not there before.
    pub(crate) fn since(self, before: &Self) -> Self {
        Self(self.0.into_iter().filter(|(id, _)| !before.0.contains_key(id)).collect())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    fn fate((to, author): (u64, u64)) -> Fate {
        if to == author { Fate::Author } else { Company::fate(to) }
    }

    /// What must arrive.
    pub(crate) fn expected(&self) -> BTreeSet<(String, String)> {
        let told = self.0.iter().filter(|(_, who)| Self::fate(**who) == Fate::Told);
        told.map(|(id, (to, _))| (id.clone(), Company::token(*to))).collect()
    }

    /// How many meet each fate.
    pub(crate) fn fates(&self) -> BTreeMap<Fate, u64> {
        Company::count(self.0.values().map(|who| Self::fate(*who)))
    }
}

/// Waits until the scanner of a source has noted where it begins.
pub(crate) async fn wait_for_cursor(world: &World, source: &str) {
    let mut redis = world.redis().await;
    for _ in 0..1_000 {
        let known: bool = redis::cmd("HEXISTS")
            .arg(["{homing:scanner:", source, "}:state"].concat())
            .arg("put:cursor")
            .query_async(&mut redis)
            .await
            .unwrap();
        if known {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the scanner {source} did not note where it begins");
}
