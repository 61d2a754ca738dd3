//! Xiaomi's server: `POST /v3/message/regid`. (dev.mi.com, pId 1163 and 1560.)

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
    routing::post,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::line::{after, field, object, with_faults};
use crate::simulator::stand::{Device, Stand};

/// The apps that the server knows.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// See [`App`].
    pub apps: Vec<App>,
}

/// A registered app.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// Its package.
    pub package: String,
    /// Its AppSecret.
    pub secret: String,
    /// Its notification channels.
    pub channels: Vec<String>,
}

struct Server {
    config: Config,
    stand: Arc<Stand>,
}

/// The server's routes, `/_sim` among them.
pub fn router(config: Config, stand: Arc<Stand>) -> Router {
    let server = Arc::new(Server { config, stand: Arc::clone(&stand) });
    with_faults(Router::new().route("/v3/message/regid", post(send)).with_state(server), &stand)
}

async fn send(State(server): State<Arc<Server>>, headers: HeaderMap, body: Bytes) -> Response {
    let answer = server.take(&headers, &body);
    server.stand.answered(answer.0.clone());
    answer.1
}

impl Server {
    fn refuse(&self, code: &str, reason: &str, wait: Option<u64>) -> (String, Response) {
        let number = code.parse::<i64>().map_or_else(|_| json!(code), |number| json!(number));
        let body = json!({ "result": "error", "code": number, "description": "发送消息失败", "reason": reason, "trace_id": "T" });
        (code.to_owned(), after(body, wait))
    }

    fn take(&self, headers: &HeaderMap, body: &[u8]) -> (String, Response) {
        let key = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let Some(app) = self.config.apps.iter().find(|app| key == format!("key={}", app.secret)) else {
            return self.refuse("21301", "认证失败", None);
        };
        if headers
            .get("content-type")
            .is_none_or(|kind| !kind.as_bytes().starts_with(b"application/x-www-form-urlencoded"))
        {
            return self.refuse("10008", "content type", None);
        }
        if field(body, "restricted_package_name") != app.package {
            return self.refuse("22022", "无效的应用程序package name", None);
        }
        if !app.channels.contains(&field(body, "extra.channel_id")) {
            return self.refuse("10031", "channel_id", None);
        }
        if let Err(name) = checked(body) {
            return self.refuse("10017", name, None);
        }
        let list = field(body, "registration_id");
        let ids: Vec<&str> = list.split(',').map(str::trim).filter(|id| !id.is_empty()).collect();
        if ids.is_empty() || ids.len() > 1000 {
            return self.refuse("10017", "registration_id", None);
        }
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for id in ids {
            match self.stand.device(id) {
                Device::Good if id != "homing-credential-check" => good.push(id),
                Device::Good | Device::Dead(_) | Device::Foreign => bad.push(id),
                Device::Code(code) if code == "bad_regids" => bad.push(id),
                Device::Code(code) => return self.refuse(&code, "as the script says", None),
                Device::Throttled(wait) => return self.refuse("10027", "应用API调用太频繁", wait),
            }
        }
        if good.is_empty() {
            return self.refuse("20301", "No valid targets!", None);
        }
        let push = Arc::new(object(body));
        let sent: Value = serde_json::from_str(&field(body, "payload")).unwrap_or_default();
        for id in good {
            self.stand.accept(id, sent["id"].as_str(), Arc::clone(&push));
        }
        let mut data = json!({ "id": format!("scm-{}", self.stand.stats()["deliveries"]) });
        if !bad.is_empty() {
            data["bad_regids"] = bad.join(",").into();
        }
        let body = json!({ "result": "ok", "code": 0, "data": data, "description": "成功", "info": "Received", "trace_id": "T" });
        ("0".to_owned(), axum::Json(body).into_response())
    }
}

/// Required fields and limits; the name of the first that is wrong.
fn checked(body: &[u8]) -> Result<(), &'static str> {
    let text = |name: &str| field(body, name);
    let long = |name: &str| text(name).chars().count();
    if long("payload") >= 4096 {
        return Err("payload");
    }
    if text("time_to_live").parse::<u64>().is_ok_and(|ms| ms > 1_209_600_000) {
        return Err("time_to_live");
    }
    if !text("notify_id").is_empty() && text("notify_id").parse::<i32>().is_err() {
        return Err("notify_id");
    }
    let name = text("extra.jobkey");
    if name.len() > 12
        || name.starts_with('_')
        || !name.chars().all(|char| char.is_ascii_alphanumeric() || "-_".contains(char))
    {
        return Err("extra.jobkey");
    }
    match text("pass_through").as_str() {
        "1" if text("payload").trim().is_empty() => Err("payload"),
        "1" => Ok(()),
        "0" if text("title").trim().is_empty() || long("title") >= 50 => Err("title"),
        "0" if text("description").trim().is_empty() || long("description") >= 128 => Err("description"),
        "0" if text("extra.notify_effect") == "2" && text("extra.intent_uri").is_empty() => Err("extra.intent_uri"),
        "0" if text("extra.notify_effect") == "3" && text("extra.web_uri").is_empty() => Err("extra.web_uri"),
        "0" => Ok(()),
        _ => Err("pass_through"),
    }
}
