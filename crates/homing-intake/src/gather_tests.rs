#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::{BTreeMap, HashSet},
    sync::atomic::AtomicBool,
};

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use homing_core::{
    clock::{Millis, SystemClock},
    queue::{Mark, Memory, Receipt, Result as QueueResult, Shard, Snapshot},
    record::Record,
};
use std::sync::atomic::Ordering::Relaxed;

use super::*;

/// A list in memory that counts its calls, with a bound, and that can be away or panic.
#[derive(Default)]
struct Fake {
    list: Mutex<Vec<String>>,
    sizes: Mutex<Vec<usize>>,
    fails: Mutex<u32>,
    panics: AtomicBool,
}

impl Queue for Fake {
    fn acquire<'a>(&'a self, _: &'a QueueName) -> BoxFuture<'a, QueueResult<Box<dyn Shard>>> {
        unreachable!()
    }

    fn append<'a>(
        &'a self,
        queue: &'a QueueName,
        items: &'a [NewItem],
        high_water: u64,
        _: Millis,
    ) -> BoxFuture<'a, QueueResult<Vec<bool>>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            assert!(!self.panics.swap(false, Relaxed), "as asked");
            self.sizes.lock().unwrap().push(items.len());
            let away = {
                let mut fails = self.fails.lock().unwrap();
                let away = *fails > 0;
                *fails = fails.saturating_sub(1);
                away
            };
            if away {
                return Err(Error::Unavailable("away".into()));
            }
            let mut list = self.list.lock().unwrap();
            let mut known: HashSet<String> = list.iter().cloned().collect();
            let ids: Vec<&String> = items.iter().map(|i| i.id.as_ref().unwrap()).collect();
            let news: Vec<bool> = ids.iter().map(|id| known.insert((*id).clone())).collect();
            let fresh = news.iter().filter(|new| **new).count();
            if fresh > 0 && high_water > 0 && (list.len() + fresh) as u64 > high_water {
                return Err(Error::Full(queue.clone()));
            }
            list.extend(ids.iter().zip(&news).filter(|(_, new)| **new).map(|(id, _)| (*id).clone()));
            Ok(news)
        })
    }

    fn cancel<'a>(&'a self, _: &'a QueueName, _: &'a str, _: Millis, _: Millis) -> BoxFuture<'a, QueueResult<()>> {
        unreachable!()
    }

    fn inspect<'a>(&'a self, _: &'a QueueName) -> BoxFuture<'a, QueueResult<Snapshot>> {
        unreachable!()
    }

    fn sample<'a>(&'a self, _: &'a QueueName, _: usize) -> BoxFuture<'a, QueueResult<Vec<Bytes>>> {
        unreachable!()
    }

    fn marks<'a>(&'a self, _: &'a QueueName, _: &'a [&'a str]) -> BoxFuture<'a, QueueResult<Vec<Mark>>> {
        unreachable!()
    }

    fn memory(&self) -> BoxFuture<'_, QueueResult<Memory>> {
        unreachable!()
    }

    fn notices(&self) -> BoxFuture<'_, QueueResult<BTreeMap<String, String>>> {
        unreachable!()
    }

    fn post<'a>(&'a self, _: &'a str, _: Option<&'a str>) -> BoxFuture<'a, QueueResult<()>> {
        unreachable!()
    }

    fn noticed(&self) -> BoxFuture<'_, ()> {
        unreachable!()
    }

    fn tally<'a>(&'a self, _: &'a QueueName, _: &'a [Receipt], _: Millis) -> BoxFuture<'a, QueueResult<Vec<bool>>> {
        unreachable!()
    }

    fn trace<'a>(&'a self, _: &'a QueueName, _: &'a str) -> BoxFuture<'a, QueueResult<Vec<Record>>> {
        unreachable!()
    }
}

fn gather(fake: &Arc<Fake>) -> Arc<Gather> {
    Arc::new(Gather::new(Arc::clone(fake) as Arc<dyn Queue>, Arc::new(SystemClock::default())))
}

fn item(id: impl std::fmt::Display, size: usize) -> NewItem {
    NewItem { id: Some(id.to_string()), body: Bytes::from(vec![b'x'; size]) }
}

fn q() -> QueueName {
    QueueName::new("q")
}

#[tokio::test]
async fn posts_at_the_same_time_share_appends() {
    let fake = Arc::new(Fake::default());
    let (gather, q) = (gather(&fake), q());
    let posts = (0..2_000).map(|i| gather.append(&q, vec![item(i, 100)], 0));
    assert!(join_all(posts).await.into_iter().all(|answer| answer == Ok(vec![true])));
    assert_eq!(fake.list.lock().unwrap().len(), 2_000);
    let sizes = fake.sizes.lock().unwrap().clone();
    assert!(sizes.len() <= 6 && sizes.iter().all(|size| *size <= ITEMS), "{sizes:?}");
    assert!(!gather.lists()[&q].at_work, "nobody is left at work");
}

#[tokio::test]
async fn each_post_hears_of_its_own_items() {
    let fake = Arc::new(Fake::default());
    let (gather, q) = (gather(&fake), q());
    let two = |a, b| vec![item(a, 1), item(b, 1)];
    let posts = [two(1, 2), two(2, 3), two(3, 3), two(4, 1)];
    let answers = join_all(posts.into_iter().map(|items| gather.append(&q, items, 0))).await;
    let expected = [[true, true], [false, true], [false, false], [true, false]].map(|news| Ok(news.to_vec()));
    assert_eq!(answers, expected);
}

#[tokio::test]
async fn a_full_list_takes_what_fits_and_knows_what_it_has() {
    let fake = Arc::new(Fake::default());
    let (gather, q) = (gather(&fake), q());
    gather.append(&q, vec![item(0, 1)], 3).await.unwrap();
    let posts = (0..5).map(|i| gather.append(&q, vec![item(i, 1)], 3));
    let answers = join_all(posts).await;
    let full = Err(Denied::Full(q.clone()));
    assert_eq!(answers, [Ok(vec![false]), Ok(vec![true]), Ok(vec![true]), full.clone(), full]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_asked_for_once_more() {
    let fake = Arc::new(Fake::default());
    let (gather, q) = (gather(&fake), q());
    *fake.fails.lock().unwrap() = 1;
    assert_eq!(gather.append(&q, vec![item(1, 1)], 0).await, Ok(vec![true]));
    *fake.fails.lock().unwrap() = 2;
    let denied = gather.append(&q, vec![item(2, 1)], 0).await.unwrap_err();
    assert!(matches!(denied, Denied::Unavailable(_)), "{denied:?}");
    assert_eq!(fake.list.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_waits_is_bounded() {
    let fake = Arc::new(Fake::default());
    let (gather, q) = (gather(&fake), q());
    let posts = (0..40).map(|i| gather.append(&q, vec![item(i, 1 << 20)], 0));
    let answers = join_all(posts).await;
    let busy = answers.iter().filter(|a| **a == Err(Denied::Busy(q.clone()))).count();
    assert_eq!(busy, 40 - WAITING / (1 << 20));
    assert_eq!(fake.list.lock().unwrap().len(), 40 - busy);
    assert!(fake.sizes.lock().unwrap().iter().all(|size| *size <= 2));
}

#[tokio::test]
async fn a_list_works_on_after_a_panic() {
    let fake = Arc::new(Fake::default());
    let (gather, q) = (gather(&fake), q());
    fake.panics.store(true, Relaxed);
    let cut = gather.append(&q, vec![item(1, 1)], 0).await;
    assert_eq!(cut, Err(Denied::Unavailable("the append was cut off".into())));
    assert_eq!(gather.append(&q, vec![item(1, 1)], 0).await, Ok(vec![true]));
}
