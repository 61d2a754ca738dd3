#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{io, net::SocketAddr};

use homing_core::clock::SystemClock;

use super::*;

struct Home;

impl Names for Home {
    fn look_up(&self, _: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        Box::pin(std::future::ready(Ok(vec![SocketAddr::from(([127, 0, 0, 1], 0))])))
    }
}

fn channel(hook: &str) -> Result<Webhook> {
    rustls::crypto::ring::default_provider().install_default().ok();
    let tools = Tools::new(Arc::new(SystemClock::default()));
    let section: Table = toml::from_str(&format!("[hook.crm]\n{hook}")).unwrap();
    Webhook::new(section::read("webhook", &section)?, &tools, Arc::new(Home))
}

#[tokio::test]
async fn a_hook_whose_name_leads_home_is_not_called_unless_it_is_private() {
    let notification = Notification { app: "higo".to_owned(), ..Notification::default() };
    let targets = [Target::new("1", "crm")];
    let hook = channel("url = 'https://crm.example.com:1/x'\nsecret = '0123456789abcdef'").unwrap();
    let answer = hook.send(&notification, &targets).await.pop().unwrap();
    assert_eq!(answer.outcome, Outcome::Config);
    assert!(answer.detail.contains("has no public address"), "{answer:?}");
}

#[test]
fn settings_that_cannot_work_are_named() {
    let secret = "secret = '0123456789abcdef'";
    for (hook, words) in [
        (format!("url = 'nonsense'\n{secret}"), "channel.webhook.hook.crm.url: is no address"),
        (format!("url = 'http://crm.example.com/'\n{secret}"), "crm.url: is refused: its scheme is not https"),
        (format!("url = 'https://10.0.0.7/'\n{secret}"), "crm.url: is refused: its address is not public"),
        (format!("url = 'https://10.0.0.7:8443/'\n{secret}"), "its address is not public; `private = true`"),
        (format!("url = 'https://crm/'\n{secret}"), "crm.url: is refused: its host is a name of the own network"),
        (format!("url = 'https://u:p@crm.example.com/'\n{secret}"), "`headers` is the place for credentials"),
        (format!("url = 'ftp://10.0.0.7/'\nprivate = true\n{secret}"), "is neither http nor https"),
        ("url = 'https://crm.example.com'\nsecret = 'short'".to_owned(), "crm.secret: has 5 bytes, less than 16"),
        (format!("url = 'https://c.example/'\nurl2 = 1\n{secret}"), "channel.webhook.hook.crm.url2: unknown field"),
        (format!("url = 'https://c.example/'\n{secret}\nheaders = {{ host = 'x' }}"), "headers.host: is set by"),
        (format!("url = 'https://c.example/'\n{secret}\nheaders = {{ 'a b' = 'x' }}"), "headers.a b: "),
        (format!("url = 'https://c.example/'\n{secret}\nheaders = {{ a = \"x\\n\" }}"), "headers.a: has characters"),
        ("url = 'https://c.example/'".to_owned(), "missing field `secret`"),
    ] {
        let error = channel(&hook).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(words), "{hook}: {error}");
    }
    channel(&format!("url = 'https://crm.example.com:8443/x'\n{secret}")).unwrap();
    channel(&format!("url = 'http://10.0.0.7:8080/x'\nprivate = true\n{secret}")).unwrap();
}
