//! A channel of one's own: one file and one entry in the registry, as docs/adding-a-channel.md shows it.

mod pager;

use std::{collections::BTreeMap, sync::Arc, sync::Mutex, time::Duration};

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::put,
};
use homing::{
    config::Config,
    operator::{ledger, trace},
    wiring::{self, Kit, Scope},
};
use homing_core::{clock::SystemClock, queue::NewItem, record::Fate};
use homing_pipeline::{
    context::{Brake, Cellar, Context, Status},
    keep,
    notebook::Notebook,
};
use tokio_util::sync::CancellationToken;

type Pages = Arc<Mutex<BTreeMap<String, String>>>;

struct Quiet;

impl Status for Quiet {
    fn ready(&self, _: &str) {}
    fn not_ready(&self, _: &str, _: &str) {}
}

#[test]
fn the_page_shows_the_very_file() {
    let page = include_str!("../../docs/adding-a-channel.md");
    assert!(page.contains(include_str!("adding/pager.rs").trim_end()), "docs/adding-a-channel.md is not up to date");
}

#[test]
fn an_event_goes_out_by_a_channel_that_was_added() {
    rustls::crypto::ring::default_provider().install_default().ok();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let pages = Pages::default();
        let gateway = Router::new().route("/pages/{number}", put(page)).with_state(Arc::clone(&pages));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move { axum::serve(listener, gateway).await });

        homing_channels::registry::add(&pager::ENTRY).unwrap();
        homing_channels::registry::add(&pager::ENTRY).unwrap_err();

        let folder = tempfile::tempdir().unwrap();
        let config = configuration(folder.path(), &format!("http://{address}"));
        let stores = homing_stores::build(&config.stores()).unwrap();
        let stop = CancellationToken::new();
        let cx = Context {
            queue: wiring::queue(&config).unwrap(),
            clock: Arc::new(SystemClock::default()),
            steps: Arc::new(homing_core::steps::Undisturbed),
            status: Arc::new(Quiet),
            stop: stop.clone(),
            grace: Duration::from_secs(5),
            renew: Duration::from_secs(1),
            brake: Arc::new(Brake::new(0.9)),
            cellar: Cellar { folder: None, bound: 1_000 },
            notebook: Notebook { folder: None },
        };
        let queue = Arc::clone(&cx.queue);
        let kit = Kit::still(cx);
        let scope = Scope::default();
        let channels = wiring::channels(&config, &scope, &kit.cx.clock, None).unwrap();
        let mut workers = wiring::distributors(&config, &stores, &scope, &kit).unwrap();
        workers.extend(wiring::senders(&config, &stores, &scope, &channels, &kit).unwrap());
        let mut tasks = tokio::task::JoinSet::new();
        for mut worker in workers {
            let cx = kit.cx.clone();
            tasks.spawn(async move { keep(&cx, &mut *worker).await });
        }

        let event = |id: &str, user: &str| {
            let body =
                format!(r#"{{"id":"{id}","type":"DEFAULT","to":{{"user":"{user}"}},"title":"Ward","body":"7"}}"#);
            NewItem { id: None, body: body.into() }
        };
        let items = [event("e-1", "1"), event("e-2", "2"), event("e-3", "3")];
        queue.append(&homing_core::queue::QueueName::new("in"), &items, 0, 0).await.unwrap();
        let ends = |fate: Option<&Fate>| matches!(fate, Some(Fate::Delivered { .. } | Fate::BadToken { .. }));
        let mut fates = BTreeMap::new();
        for _ in 0..1_000 {
            for id in ["e-1", "e-2", "e-3"] {
                let found = trace::read(&config, &*queue, id).await.unwrap().records;
                fates.insert(id, found.last().map(|record| record.fate.clone()));
            }
            if fates.values().all(|fate| ends(fate.as_ref())) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let delivered = Some(Fate::Delivered { provider_id: None });
        assert_eq!(fates["e-1"], delivered);
        assert_eq!(fates["e-2"], delivered);
        assert!(matches!(fates["e-3"], Some(Fate::BadToken { .. })), "{:?}", fates["e-3"]);
        let shown = pages.lock().unwrap().clone();
        assert_eq!(shown, [("5551".to_owned(), "Ward 7".to_owned()), ("5552".to_owned(), "Ward 7".to_owned())].into());
        stop.cancel();
        while tasks.join_next().await.is_some() {}
        assert!(ledger::read(&config, &*queue).await.unwrap().balanced);
        serving.abort();
    });
}

async fn page(State(pages): State<Pages>, Path(number): Path<String>, text: String) -> StatusCode {
    if number == "9999" {
        return StatusCode::NOT_FOUND;
    }
    pages.lock().unwrap().insert(number, text);
    StatusCode::NO_CONTENT
}

/// A queue and a directory in SQLite files, and one lane.
fn configuration(folder: &std::path::Path, gateway: &str) -> Config {
    let directory = folder.join("directory.db");
    let made = rusqlite::Connection::open(&directory).unwrap();
    let rows = "CREATE TABLE pagers (user_id TEXT, token TEXT, platform TEXT, app TEXT);
        INSERT INTO pagers VALUES ('1','5551','android','ward'), ('2','5552','android','ward'), ('3','9999','android','ward');";
    made.execute_batch(rows).unwrap();
    let text = format!(
        "[queue]\nbackend = 'sqlite'\npath = '{}'\n[stores.db]\nkind = 'sqlite'\nurl = 'sqlite://{}'\n\
         [lookup.tokens]\nstore = 'db'\ntable = 'pagers'\nid = 'user_id'\n\
         columns = {{ token = 'token', platform = 'platform', app = 'app' }}\n\
         [lane.ward]\nentry.name = 'in'\ndelivery.pager.name = 'pager_queue'\n\
         [channel.pager]\nendpoint = {{ base_url = '{gateway}' }}\n",
        folder.join("queue.db").display(),
        directory.display(),
    );
    let file = folder.join("homing.toml");
    std::fs::write(&file, text).unwrap();
    Config::load(&[file]).unwrap()
}
