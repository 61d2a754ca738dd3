//! Posts that come at the same time share an append: while one is under way, what comes for the same list waits, and goes
//! together with the next. A list's appends are made one after another by a task that ends when nothing waits.
//!
//! A post's items for one list are in one append, so of them all that are new are accepted or none.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use homing_core::{
    clock::Clock,
    queue::{Error, NewItem, Queue, QueueName},
};
use tokio::{sync::oneshot, time::sleep};

/// Most items of one append, unless a single post has more.
const ITEMS: usize = 500;
/// Most bytes of one append, unless a single post has more.
const BYTES: usize = 2 << 20;
/// Most bytes that wait per list.
const WAITING: usize = 16 << 20;
/// Between the two tries of an append that got no answer.
const PAUSE: Duration = Duration::from_millis(50);

/// Why a post was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// The list is at its bound.
    Full(QueueName),
    /// Too much waits already.
    Busy(QueueName),
    /// No answer: it may have been accepted all the same.
    Unavailable(String),
}

/// Collects what waits.
pub(crate) struct Gather {
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    lists: Mutex<HashMap<QueueName, List>>,
}

#[derive(Default)]
struct List {
    waiting: VecDeque<Post>,
    bytes: usize,
    at_work: bool,
}

struct Post {
    items: Vec<NewItem>,
    bytes: usize,
    high_water: u64,
    answer: oneshot::Sender<Result<Vec<bool>, Denied>>,
}

impl Gather {
    pub(crate) fn new(queue: Arc<dyn Queue>, clock: Arc<dyn Clock>) -> Self {
        Self { queue, clock, lists: Mutex::default() }
    }

    fn lists(&self) -> std::sync::MutexGuard<'_, HashMap<QueueName, List>> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends `items`; answers for each whether it is new. Dropped, it goes on all the same.
    pub(crate) async fn append(
        self: &Arc<Self>,
        queue: &QueueName,
        items: Vec<NewItem>,
        high_water: u64,
    ) -> Result<Vec<bool>, Denied> {
        let (answer, answered) = oneshot::channel();
        let bytes = items.iter().map(|item| item.body.len()).sum();
        {
            let mut lists = self.lists();
            let list = lists.entry(queue.clone()).or_default();
            if !list.waiting.is_empty() && list.bytes + bytes > WAITING {
                return Err(Denied::Busy(queue.clone()));
            }
            list.bytes += bytes;
            list.waiting.push_back(Post { items, bytes, high_water, answer });
            if !list.at_work {
                list.at_work = true;
                tokio::spawn(Arc::clone(self).work(queue.clone()));
            }
        }
        let lost = || Err(Denied::Unavailable("the append was cut off".to_owned()));
        answered.await.unwrap_or_else(|_| lost())
    }

    async fn work(self: Arc<Self>, queue: QueueName) {
        // Whatever ends this task, the next post starts another.
        let _seat = Seat { gather: &self, queue: &queue };
        loop {
            let posts = self.take(&queue);
            if posts.is_empty() {
                return;
            }
            self.settle(&queue, posts).await;
        }
    }

    /// What goes with the next append; nothing when the work is done.
    fn take(&self, queue: &QueueName) -> Vec<Post> {
        let mut lists = self.lists();
        let Some(list) = lists.get_mut(queue) else { return Vec::new() };
        let (mut posts, mut items, mut bytes) = (Vec::new(), 0, 0);
        while let Some(next) = list.waiting.front() {
            items += next.items.len();
            bytes += next.bytes;
            if !posts.is_empty() && (items > ITEMS || bytes > BYTES) {
                break;
            }
            let Some(post) = list.waiting.pop_front() else { break };
            list.bytes -= post.bytes;
            posts.push(post);
        }
        if posts.is_empty() {
            list.at_work = false;
        }
        posts
    }

    async fn settle(&self, queue: &QueueName, mut posts: Vec<Post>) {
        let high_water = posts.first().map_or(0, |p| p.high_water);
        let sizes: Vec<usize> = posts.iter().map(|p| p.items.len()).collect();
        let items: Vec<NewItem> = posts.iter_mut().flat_map(|p| std::mem::take(&mut p.items)).collect();
        match self.push(queue, &items, high_water).await {
            Ok(news) => {
                let mut news = news.into_iter();
                for (post, size) in posts.into_iter().zip(sizes) {
                    tell(post, Ok(news.by_ref().take(size).collect()));
                }
            }
            // There may be room for some, and what was accepted before needs none.
            Err(Denied::Full(_)) if posts.len() > 1 => {
                let mut items = items.as_slice();
                for (post, size) in posts.into_iter().zip(sizes) {
                    let (own, rest) = items.split_at(size.min(items.len()));
                    items = rest;
                    let answer = self.push(queue, own, high_water).await;
                    tell(post, answer);
                }
            }
            Err(denied) => posts.into_iter().for_each(|post| tell(post, Err(denied.clone()))),
        }
    }

    /// One append. All items have ids, so one that got no answer may be made again.
    async fn push(&self, queue: &QueueName, items: &[NewItem], high_water: u64) -> Result<Vec<bool>, Denied> {
        let first = self.queue.append(queue, items, high_water, self.clock.now()).await;
        let answer = match first {
            Err(Error::Unavailable(_)) => {
                sleep(PAUSE).await;
                self.queue.append(queue, items, high_water, self.clock.now()).await
            }
            answer => answer,
        };
        answer.map_err(|error| match error {
            Error::Full(queue) => Denied::Full(queue),
            error => Denied::Unavailable(error.to_string()),
        })
    }
}

fn tell(post: Post, answer: Result<Vec<bool>, Denied>) {
    // Who does not wait any more need not be told.
    let _gone = post.answer.send(answer);
}

struct Seat<'a> {
    gather: &'a Gather,
    queue: &'a QueueName,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(list) = self.gather.lists().get_mut(self.queue)
        {
            list.at_work = false;
        }
    }
}

#[cfg(test)]
#[path = "gather_tests.rs"]
mod tests;
