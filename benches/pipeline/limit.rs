//! The limit of the way out: the same requests from a bare client, and from the channel without a queue. Runs as a process
//! of its own, so that it can be pinned like a sender.

use std::{
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use homing_channels::xinge::{Options, Xinge};
use homing_core::{
    channel::{Channel, Outcome},
    clock::SystemClock,
    notification::{Notification, Platform, Target},
};
use reqwest::{Client, redirect};
use serde_json::json;

/// Requests under way at once.
pub(crate) const CONCURRENCY: usize = 64;

/// Asks a process of our own; answers requests per second.
pub(crate) fn measure(kind: &str, core: &str, sink: &str, requests: usize, body: &Path) -> anyhow::Result<f64> {
    let myself = std::env::current_exe()?;
    let out = Command::new("taskset")
        .args(["-c", core])
        .arg(myself)
        .args(["limit", kind, sink, &requests.to_string()])
        .arg(body)
        .output()?;
    if !out.status.success() {
        bail!("limit {kind}: {}", String::from_utf8_lossy(&out.stderr));
    }
    String::from_utf8(out.stdout)?.trim().parse().context("limit")
}

/// The process: `limit KIND SINK REQUESTS BODY`.
pub(crate) async fn run(args: &[String]) -> anyhow::Result<()> {
    let [kind, sink, requests, body] = args else { bail!("limit KIND SINK REQUESTS BODY") };
    let requests: usize = requests.parse()?;
    let maker: Arc<dyn Make> = match kind.as_str() {
        "bare" => Arc::new(Bare::new(sink, &[("single_device", std::fs::read(body)?)])?),
        "pages" => {
            let list = std::fs::read(Path::new(body).with_extension("list"))?;
            Arc::new(Bare::new(sink, &[("create_multipush", std::fs::read(body)?), ("device_list_multiple", list)])?)
        }
        "channel" => Arc::new(Whole::new(sink)?),
        other => bail!("no limit is called {other}"),
    };
    // Connections are opened and everything is warm.
    all(&maker, requests / 10).await?;
    let began = Instant::now();
    all(&maker, requests).await?;
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = requests as f64 / began.elapsed().as_secs_f64();
    println!("{rate}");
    Ok(())
}

async fn all(maker: &Arc<dyn Make>, requests: usize) -> anyhow::Result<()> {
    let left = Arc::new(AtomicUsize::new(requests));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..CONCURRENCY {
        let (maker, left) = (Arc::clone(maker), Arc::clone(&left));
        tasks.spawn(async move {
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
                maker.make().await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

type Made<'a> = std::pin::Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send + 'a>>;

trait Make: Send + Sync {
    fn make(&self) -> Made<'_>;
}

/// A client with the channel's settings, and bodies that are ready, made one after the other.
struct Bare {
    client: Client,
    calls: Vec<(reqwest::Url, bytes::Bytes)>,
}

impl Bare {
    fn new(sink: &str, calls: &[(&str, Vec<u8>)]) -> anyhow::Result<Self> {
        let client = Client::builder()
            .http1_only()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(10))
            .pool_idle_timeout(Duration::from_secs(15))
            .build()?;
        let call =
            |(path, body): &(&str, Vec<u8>)| Ok((format!("{sink}/v2/push/{path}").parse()?, body.clone().into()));
        Ok(Self { client, calls: calls.iter().map(call).collect::<anyhow::Result<_>>()? })
    }
}

impl Make for Bare {
    fn make(&self) -> Made<'_> {
        Box::pin(async {
            for (url, body) in &self.calls {
                let request = self
                    .client
                    .post(url.clone())
                    .header("content-type", "application/x-www-form-urlencoded")
                    .body(body.clone());
                let mut response = request.send().await?;
                while response.chunk().await?.is_some() {}
            }
            Ok(())
        })
    }
}

/// The channel itself: message, signature, request, reply.
struct Whole {
    channel: Xinge,
    notification: Notification,
}

impl Whole {
    fn new(sink: &str) -> anyhow::Result<Self> {
        let account = json!({
            "flavour": "v2", "platform": "android", "app": "higo", "access_id": 2_100_000_001, "secret": "made-up",
            "base_url": sink, "sign_host": "openapi.xg.qq.com",
        });
        let account = serde_json::from_value(account)?;
        let channel = Xinge::new(vec![account], &Options::default(), Arc::new(SystemClock::default()))?;
        let custom = json!({
            "order_id": "202611210000000001", "goods": "羊绒大衣 2026 秋冬新款", "shop": "shop-1", "amount": 1.5,
            "url": "https://m.example.com/order/202611210000000001?from=push&v=2",
            "image": "https://img.example.com/goods/00000001.jpg",
            "remark": "预计三天内送达，请保持手机畅通，如有问题请联系客服",
        });
        let notification = Notification {
            id: "b-1".to_owned(),
            kind: 7,
            app: "higo".to_owned(),
            platform: Platform::Android,
            title: "已发货".to_owned(),
            body: "您购买的商品已发货".to_owned(),
            custom: custom.as_object().cloned().unwrap_or_default(),
            created_at: 0,
            expires_at: i64::MAX,
            at_most_once: false,
            targets: vec![Target::new("100001", format!("{:0>64x}", 100_001))],
            ..Notification::default()
        };
        Ok(Self { channel, notification })
    }
}

impl Make for Whole {
    fn make(&self) -> Made<'_> {
        Box::pin(async {
            let answers = self.channel.send(&self.notification, &self.notification.targets).await;
            match answers.first() {
                Some(answer) if matches!(answer.outcome, Outcome::Delivered { .. }) => Ok(()),
                other => bail!("{other:?}"),
            }
        })
    }
}
