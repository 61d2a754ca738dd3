//! A chat in a large group: the time from its insert into MongoDB to the arrival of the last device at the provider, with
//! the three real daemons, beside what a bare client needs for the same pages.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use clap::Parser;
use mongodb::bson::{Document, doc};

use crate::{bed::Bed, company::GROUP, limit, sink::Call};

/// Measures how long it takes to tell a large group.
#[derive(Parser)]
#[command(name = "fanout")]
pub(crate) struct Arguments {
    /// Members of the group; three in ten may be told.
    #[arg(default_value_t = 100_000)]
    members: usize,
    /// Chats, one after the other.
    #[arg(long, default_value_t = 3)]
    chats: usize,
}

/// Answers whether everybody was told.
pub(crate) async fn run(args: &Arguments) -> anyhow::Result<bool> {
    let cores = std::thread::available_parallelism()?.get();
    let all = format!("0-{}", cores - 1);
    let dir = tempfile::tempdir()?;
    let mongo = std::env::var("HOMING_TEST_MONGO_URL").context("HOMING_TEST_MONGO_URL: run scripts/bench")?;
    let bed = Bed::make(dir.path(), 0, all.clone(), args.members, 4, true).await?;
    let database = mongodb::Client::with_uri_str(&mongo).await?.database(&bed.company.database);
    let chats = database.collection::<Document>("chats");
    let told: HashSet<usize> = bed.company.told().collect();
    let chat = |seq: i64| {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
        doc! {
            "seq": seq, "group_id": GROUP, "createAt": now.to_string(), "type": 1,
            "data": { "text": "大家好" }, "user": { "user_id": "1" },
        }
    };
    // The scanner begins behind this one.
    chats.insert_one(chat(0)).await?;
    let mut queues = bed.queues(1).await?;
    let mut daemons = Vec::new();
    for name in ["scanner", "distributor", "sender"] {
        daemons.push(bed.daemon_on(&all, name, &queues)?);
    }
    let patience = Instant::now();
    while !queues.scans().await? {
        if patience.elapsed() > Duration::from_secs(10) {
            bail!("the scanner does not begin");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;

    let (mut took, mut pages, mut lost) = (Vec::new(), Vec::new(), 0);
    for seq in 1..=args.chats {
        bed.sink.take();
        bed.sink.take_pages();
        let began = Instant::now();
        chats.insert_one(chat(i64::try_from(seq)?)).await?;
        bed.arrived(told.len(), &mut daemons.iter_mut().collect::<Vec<_>>()).await?;
        let arrived = bed.sink.take();
        let last = arrived.iter().map(|a| a.1).max().context("nothing arrived")?;
        let got: HashSet<usize> = arrived.iter().map(|a| a.0).collect();
        lost += told.symmetric_difference(&got).count() + (arrived.len() - got.len());
        took.push(last.duration_since(began));
        pages = bed.sink.take_pages();
        queues.worked_off().await?;
    }
    let file = dir.path().join("page.create");
    std::fs::write(&file, bed.sink.sample(Call::Create))?;
    std::fs::write(file.with_extension("list"), bed.sink.sample(Call::List))?;
    const ROUNDS: usize = 5;
    let (sink, count) = (bed.sink_url(), pages.len());
    let rate =
        tokio::task::spawn_blocking(move || limit::measure("pages", &all, &sink, count * ROUNDS, &file)).await??;

    println!(
        "a chat in a group of {} members of whom {} may be told, in {} pages of at most {} devices; {cores} cores, shared \
         by daemons and servers",
        args.members,
        told.len(),
        pages.len(),
        pages.iter().max().unwrap_or(&0),
    );
    let seconds = took.iter().map(|t| format!("{:.2}", t.as_secs_f64())).collect::<Vec<_>>().join(", ");
    println!(
        "from the insert into MongoDB to the last device's arrival: {seconds} s; missing, repeated or uninvited {lost}"
    );
    #[expect(clippy::cast_precision_loss, reason = "counts of pages")]
    let bare = pages.len() as f64 / rate;
    println!(
        "limit, {} at once: a bare client makes the same {} pairs of calls in {bare:.3} s",
        limit::CONCURRENCY,
        pages.len()
    );
    database.drop().await?;
    for daemon in daemons {
        daemon.stop().await?;
    }
    Ok(lost == 0)
}
