//! "Notify this browser" in a real Chromium. A push service that everybody's browser has is not to be reached from a test,
//! so `subscribe` answers with a subscription of `homing simulate web-push`, and what its browser decrypted is handed to the
//! service worker by the DevTools. All else is real: permission, worker, encryption, notification, receipts.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use homing_core::receipt::Prover;
use serde_json::{Value, json};

use super::{
    Demo, HOMING,
    chromium::{Chromium, Target},
    folder, homing, resident,
};
use crate::support::{Process, free_port, until};

/// A push service with browsers that decrypt.
struct PushService {
    base: String,
    http: reqwest::Client,
    _process: Process,
}

impl PushService {
    async fn start(dir: &Path) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let address = format!("127.0.0.1:{}", free_port());
        let process = Process::start(dir, "push", HOMING, ["simulate", "web-push", "--listen", &address], &[]);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let base = format!("http://{address}");
        until("the push service", async || http.get(format!("{base}/_sim/stats")).send().await.is_ok()).await;
        Self { base, http, _process: process }
    }

    /// A subscription that takes messages of this key alone.
    async fn subscribe(&self, key: &Value) -> Value {
        let wish = json!({"applicationServerKey": key}).to_string();
        let answer = self.http.post(format!("{}/_sim/subscribe", self.base)).body(wish).send().await.unwrap();
        answer.json().await.unwrap()
    }

    /// What the browser of a subscription decrypted, newest first.
    async fn decrypted(&self, subscription: &Value) -> Vec<Value> {
        let id = subscription["endpoint"].as_str().unwrap().rsplit('/').next().unwrap();
        let answer = self.http.get(format!("{}/_sim/phones/{id}", self.base)).send().await.unwrap();
        let shown: Value = answer.json().await.unwrap();
        shown["deliveries"].as_array().unwrap().iter().map(|one| one["push"]["payload"].clone()).collect()
    }
}

/// Waits until the list of steps has this text; answers it whole.
async fn stepped(page: Target<'_>, words: &str) -> String {
    let began = Instant::now();
    loop {
        let steps = page.text("#steps").await;
        if steps.contains(words) {
            return steps;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "no step {words:?} within 60 s:\n{steps}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_notified_and_its_receipts_are_shown() {
    let dir = folder();
    let data = dir.path().join("data");
    let service = PushService::start(dir.path()).await;
    let demo = Demo::start_with(dir.path(), Some(&data), &["--push-origin", &service.base]).await;
    let before = resident(demo.process.pid());
    let chromium = Chromium::start(dir.path());
    println!("{}", chromium.call(None, "Browser.getVersion", json!({})).await["product"]);
    let target = chromium.call(None, "Target.createTarget", json!({"url": "about:blank"})).await;
    let session = chromium.attach(&target["targetId"]).await;
    let page = chromium.target(&session);
    page.call("Page.enable", json!({})).await;
    page.call("Page.navigate", json!({"url": format!("{}/", demo.base)})).await;

    fills(page).await;
    assert_eq!(chromium.errors(), Vec::<Value>::new(), "the consoles are silent");

    honest(&chromium, page, &demo.base).await;

    // From here on the browser has a push service.
    let setup = demo.get("/demo/setup").await.unwrap();
    let subscription = service.subscribe(&setup["vapid"]).await;
    let replace = format!(
        "PushManager.prototype.subscribe = async function (options) {{ window.asked = options; return {subscription}; }}; 0"
    );
    page.evaluate(&replace).await;
    page.call("ServiceWorker.enable", json!({})).await;
    let began = Instant::now();
    page.evaluate("document.querySelector('#notify').click()").await;
    let steps = stepped(page, "Waiting for the receipt.").await;
    println!("from the button to accepted: {:?}", began.elapsed());
    assert!(steps.contains("This browser is a device of user 101.") && steps.contains("127.0.0.1:"), "{steps}");
    let asked = "[window.asked.userVisibleOnly, btoa(String.fromCharCode(...window.asked.applicationServerKey))]";
    let asked = page.evaluate(asked).await;
    let key = asked[1].as_str().unwrap().replace('+', "-").replace('/', "_").replace('=', "");
    assert_eq!((&asked[0], &json!(key)), (&json!(true), &setup["vapid"]));

    let message = service.decrypted(&subscription).await.remove(0);
    let id = message["id"].as_str().unwrap().to_owned();
    assert_eq!((&message["title"], &message["body"]), (&json!("Homing"), &json!("This browser is told.")));
    assert_eq!(message["data"]["homing"]["id"], id);
    assert!(steps.contains(&id), "{steps}");
    let began = Instant::now();
    deliver(&chromium, page, &demo.base, &message).await;
    stepped(page, "Shown by 101/browser-").await;
    println!("from the push to the receipt on the page: {:?}", began.elapsed());
    let list = "navigator.serviceWorker.getRegistration().then((r) => r.getNotifications())\
                .then((all) => all.map((n) => [n.title, n.body, n.tag, n.data.id]))";
    let expected = json!([["Homing", "This browser is told.", message["tag"], id]]);
    assert_eq!(page.evaluate(list).await, expected, "a real notification");
    let books = async |shown: i64, clicked: Value| {
        let ledger = demo.get("/v1/ledger").await.unwrap();
        assert_eq!((&ledger["balanced"], &ledger["receipts"]["shown"]), (&json!(true), &json!(shown)), "{ledger:#}");
        assert_eq!(ledger["receipts"]["clicked"], clicked);
    };
    books(1, Value::Null).await;

    // A person's click, as far as a script can make one: `waitUntil` is for real ones only.
    let worker = worker(&chromium).await;
    let click = "registration.getNotifications().then(([notification]) => {\
                   const click = new NotificationEvent('notificationclick', { notification });\
                   const done = new Promise((resolve) => { click.waitUntil = resolve; });\
                   self.dispatchEvent(click); return done.then(() => true); })";
    assert_eq!(chromium.target(&worker).evaluate(click).await, true);
    stepped(page, "Clicked on 101/browser-").await;
    assert_eq!(page.evaluate(list).await, json!([]), "a click takes it away");
    books(1, json!(1)).await;
    let requests = chromium.events("Network.requestWillBeSent");
    let proof = requests.iter().find_map(|r| r["request"]["postData"].as_str().filter(|body| body.contains("clicked")));
    let proof: Value = serde_json::from_str(proof.unwrap()).unwrap();
    assert_eq!(proof["proof"], message["data"]["homing"]["proof"], "{proof}");
    let prover = Prover::new(&std::fs::read(data.join("receipts.key")).unwrap()).unwrap();
    assert!(prover.is_proof(&id, proof["proof"].as_str().unwrap()), "{proof}");
    assert_eq!((&proof["user"], &proof["id"]), (&json!("101"), &json!(id)));

    // The same on the page, by HTTP, and by the operator's tool.
    until("the table", async || page.text("#trace").await.contains("clicked")).await;
    let ledger = page.text("#ledger").await;
    assert!(ledger.contains("clicked 1, shown 1") || ledger.contains("shown 1, clicked 1"), "{ledger}");
    let said: Vec<Value> = demo.records(&id).await.into_iter().filter(|r| r["stage"] == "client").collect();
    assert_eq!(said.iter().map(|r| r["how"].as_str().unwrap()).collect::<Vec<_>>(), ["shown", "clicked"], "{said:?}");
    assert!(said.iter().all(|r| r["target"].as_str().unwrap().starts_with("101/browser-")), "{said:?}");
    let (code, text) = homing(&data, &["trace", &id]);
    assert!(code == 0 && text.contains("client shown") && text.contains("client clicked"), "{text}");
    let (code, text) = homing(&data, &["ledger"]);
    assert!(code == 0 && text.contains("receipts (beside the sums) clicked 1, shown 1"), "{text}");

    // Everyone is told, and so is the browser. A user's phones are those of the simulator.
    let everyone = json!({"id": "to-all", "type": 7, "to": {"all": true}, "title": "All", "body": "of you"});
    demo.post("system", &everyone).await;
    until("the browser, too", async || service.decrypted(&subscription).await.iter().any(|m| m["id"] == "to-all"))
        .await;
    assert_eq!(demo.phone("101").await, Vec::<Value>::new());

    // The permission was taken back: the push service says so, and the page in its words.
    service.http.delete(subscription["endpoint"].as_str().unwrap()).send().await.unwrap();
    page.evaluate("document.querySelector('#notify').click()").await;
    stepped(page, "bad_token").await;

    assert_eq!(chromium.errors(), Vec::<Value>::new(), "the consoles are still silent");
    let after = resident(demo.process.pid());
    println!("the demo has {before} MiB resident before the browser, {after} MiB after");
    assert!(after < 400);
    chromium.close().await;
    demo.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_of_an_earlier_run_is_still_told() {
    let dir = folder();
    let data = dir.path().join("data");
    let service = PushService::start(dir.path()).await;
    let more = ["--push-origin", service.base.as_str()];
    let demo = Demo::start_with(dir.path(), Some(&data), &more).await;
    let setup = demo.get("/demo/setup").await.unwrap();
    let subscription = service.subscribe(&setup["vapid"]).await;
    let ask = async |body: String| {
        let answer = demo.http.post(format!("{}/demo/browser", demo.base)).body(body).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, said) = ask(json!({"subscription": subscription, "user": "42"}).to_string()).await;
    assert!(status == 200 && said.starts_with(r#"{"user":"42","device":"browser-"#), "{said}");
    for (body, expected, words) in [
        ("{}".to_owned(), 400, "subscription"),
        (json!({"subscription": subscription, "user": "nobody"}).to_string(), 400, "no such user"),
        ("x".repeat(20_000), 413, "limit"),
    ] {
        let (status, said) = ask(body).await;
        assert!(status == expected && said.contains(words), "{status} {said}");
    }
    demo.ends().await;

    let demo = Demo::start_with(dir.path(), Some(&data), &more).await;
    assert_eq!(demo.get("/demo/setup").await.unwrap()["vapid"], setup["vapid"]);
    // User 42 has an iPhone and this browser.
    demo.post("system", &json!({"id": "both", "type": 7, "to": {"user": "42"}})).await;
    until("the browser is told", async || service.decrypted(&subscription).await.iter().any(|m| m["id"] == "both"))
        .await;
    until("and the phone", async || demo.shows("42", "both").await == 1).await;
    until("both are delivered, and the user's pages are told", async || {
        demo.records("both").await.iter().filter(|record| record["fate"] == "delivered").count() == 3
    })
    .await;
    demo.ends().await;
}

/// The parts that were there before.
async fn fills(page: Target<'_>) {
    until("phones", async || page.evaluate("document.querySelectorAll('.phone .push').length > 1").await == true).await;
    page.evaluate("document.querySelector('#send button').click()").await;
    // An earlier event's trace may still be shown for a moment.
    let told = async || {
        let trace = page.text("#trace").await;
        trace.contains("delivered") && trace.contains("live way: dnd")
    };
    until("the trace", told).await;
    until("the queues", async || page.evaluate("document.querySelectorAll('#queues tr').length").await == 14).await;
    until("the ledger", async || page.text("#balanced").await == "balanced: yes").await;
    let lines = "document.querySelectorAll('#ledger tr').length";
    until("its lines", async || page.evaluate(lines).await.as_u64().is_some_and(|n| n > 9)).await;
    until("the note", async || page.text(".phone small").await.contains("Now:")).await;
    assert_eq!(page.evaluate("document.querySelector('#trouble').hidden").await, true);
}

/// What can go wrong is told in words.
async fn honest(chromium: &Chromium, page: Target<'_>, origin: &str) {
    let permit = async |setting: &str| {
        let permission = json!({"permission": {"name": "notifications"}, "setting": setting, "origin": origin});
        chromium.call(None, "Browser.setPermission", permission).await;
    };
    permit("denied").await;
    page.evaluate("document.querySelector('#notify').click()").await;
    stepped(page, "No permission: notifications of this page are refused.").await;
    // Allowed, and nobody carries it: there is no connection to the browser's own push service.
    let permissions = json!({"permissions": ["notifications"], "origin": origin});
    chromium.call(None, "Browser.grantPermissions", permissions).await;
    // What a build says that has no vendor's keys.
    let own = "window.own = PushManager.prototype.subscribe; PushManager.prototype.subscribe = async () => {\
                 throw new DOMException('Registration failed - push service not available', 'AbortError'); }; 0";
    page.evaluate(own).await;
    page.evaluate("document.querySelector('#notify').click()").await;
    stepped(page, "It says: Registration failed - push service not available").await;
    page.evaluate("PushManager.prototype.subscribe = window.own; 0").await;
    let began = Instant::now();
    page.evaluate("document.querySelector('#notify').click()").await;
    let steps = stepped(page, "it does not answer within 15 s").await;
    println!("without a push service, after {:?}: {}", began.elapsed(), steps.lines().last().unwrap_or_default());
    assert!(steps.contains("The service worker runs."), "{steps}");
}

/// Hands a message to the service worker as the browser's push service would.
async fn deliver(chromium: &Chromium, page: Target<'_>, origin: &str, message: &Value) {
    let registration = || {
        let updates = chromium.events("ServiceWorker.workerRegistrationUpdated");
        let mut all = updates.iter().flat_map(|update| update["registrations"].as_array().unwrap());
        all.find(|one| one["scopeURL"].as_str().unwrap().starts_with(origin)).map(|one| one["registrationId"].clone())
    };
    until("the registration", async || registration().is_some()).await;
    let push = json!({"origin": origin, "registrationId": registration(), "data": message.to_string()});
    page.call("ServiceWorker.deliverPushMessage", push).await;
}

/// Attaches to the service worker.
async fn worker(chromium: &Chromium) -> String {
    let targets = chromium.call(None, "Target.getTargets", json!({})).await;
    let all = targets["targetInfos"].as_array().unwrap();
    let worker = all.iter().find(|target| target["type"] == "service_worker").unwrap_or_else(|| panic!("{targets:#}"));
    chromium.attach(&worker["targetId"]).await
}
