//! The routes of the service, and the server.

use std::{io, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{ConnectInfo, Request, State},
    http::{HeaderValue, Method, StatusCode, header, request::Parts},
    response::Response,
    routing::{any, get},
};
use homing_core::clock::Clock;
use jiff::{Timestamp, fmt::rfc2822::DateTimePrinter};
use tokio::net::TcpListener;

use super::super::conn::{Connections, Cut};
use super::{
    app,
    apps::Apps,
    config::{Flavour, SimulatorConfig},
    control,
    fields::Fault,
    form::Form,
    order::{Order, Refusal, Reply},
    proof::authenticate,
    state::{Ending, Memory, Time},
    v2,
};

/// Longer bodies are refused: a message of 4096 bytes takes 12 KiB in percent-encoding, a page of 1,000 devices 73 KiB.
const BODY_MAX: usize = 256 * 1024;

const ACCEPTED: &str = r#"{"ret_code":0,"err_msg":"","result":""}"#;

/// What the handlers share.
pub(super) struct Simulator {
    pub(super) memory: Memory,
    pub(super) apps: Apps,
    clock: Arc<dyn Clock>,
}

/// Serves until `shutdown` completes; requests under way are finished.
pub async fn serve(
    listener: TcpListener,
    config: SimulatorConfig,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    config.faults.validate().map_err(|problem| io::Error::new(io::ErrorKind::InvalidInput, problem))?;
    let (apps, clock) = (Apps::new(config.apps.clone()), Arc::clone(&config.clock));
    let simulator = Arc::new(Simulator { memory: Memory::new(config), apps, clock });
    let app = Router::new()
        .route("/v2/push/single_device", any(push))
        .route("/v2/push/create_multipush", any(push))
        .route("/v2/push/device_list_multiple", any(push))
        .route("/v3/push/app", any(push))
        .route("/v2/application/get_app_device_num", any(push))
        .route("/v3/device/tag", any(push))
        .route("/v3/device/account/query", any(push))
        .route("/healthz", get(async || "ok"))
        .nest("/_sim", control::routes())
        .fallback(unknown)
        .with_state(simulator);
    let service = app.into_make_service_with_connect_info::<Cut>();
    axum::serve(Connections(listener), service).with_graceful_shutdown(shutdown).await
}

async fn push(
    State(simulator): State<Arc<Simulator>>,
    ConnectInfo(connection): ConnectInfo<Cut>,
    request: Request,
) -> Response {
    let mut plan = simulator.memory.plan(request.uri().path());
    let server_ms = simulator.clock.now().saturating_add(plan.skew_s.saturating_mul(1000));
    if plan.drop_before {
        connection.now();
        return Response::default();
    }
    let mut response = if let Some(status) = plan.http_status {
        plain(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), plan.retry_after)
    } else {
        let server = server_ms.div_euclid(1000);
        let checked = simulator.judge(request, server).await;
        match simulator.memory.settle(checked, &mut plan, Time { received: simulator.clock.now(), server }) {
            Ending::Cut => {
                connection.now();
                Response::default()
            }
            Ending::Reply(answer) => reply(&answer),
        }
    };
    if !plan.wait.is_zero() {
        tokio::time::sleep(plan.wait).await;
    }
    if let Some(date) = date(server_ms) {
        response.headers_mut().insert(header::DATE, date);
    }
    response
}

/// The original knew some twenty calls more; here they are refused by name.
async fn unknown(request: Request) -> Response {
    let path = request.uri().path();
    let text = format!("no such call: {path}");
    reply(&if path.starts_with("/v3/") { Fault::Bad.of(Flavour::V3, text) } else { refuse_v2(text) }.into())
}

fn refuse_v2(text: impl Into<String>) -> Refusal {
    Refusal::new(Flavour::V2, -1, text)
}

// === impl Simulator ===

impl Simulator {
    /// Reads and checks a request.
    async fn judge(&self, request: Request, now: i64) -> Result<Order, Refusal> {
        let (head, body) = request.into_parts();
        if head.uri.path().starts_with("/v2/") {
            self.judge_v2(&head, body, now).await
        } else {
            self.judge_app(&head, body, now).await
        }
    }

    /// GET takes its parameters from the query, POST from a form.
    async fn judge_v2(&self, head: &Parts, body: Body, now: i64) -> Result<Order, Refusal> {
        let body = match head.method {
            Method::GET => None,
            Method::POST => {
                is_type(head, "application/x-www-form-urlencoded").map_err(refuse_v2)?;
                Some(to_bytes(body, BODY_MAX).await.map_err(|error| refuse_v2(error.to_string()))?)
            }
            _ => return Err(refuse_v2(format!("method {} is neither GET nor POST", head.method))),
        };
        let text = match &body {
            None => head.uri.query().unwrap_or_default(),
            Some(body) => std::str::from_utf8(body).map_err(|_| refuse_v2("the body is not UTF-8"))?,
        };
        let Some(host) = head.headers.get(header::HOST).and_then(|host| host.to_str().ok()) else {
            return Err(refuse_v2("the Host header is missing"));
        };
        let form = Form::parse(text).map_err(refuse_v2)?;
        let call = v2::Call { method: head.method.as_str(), host, path: head.uri.path(), form: &form, now };
        v2::check(&call, &self.apps)
    }

    async fn judge_app(&self, head: &Parts, body: Body, now: i64) -> Result<Order, Refusal> {
        let body = to_bytes(body, BODY_MAX).await;
        let body = body.map_err(|error| Fault::Unreadable.of(Flavour::V3, error.to_string()))?;
        let app = authenticate(&head.headers, &body, now, &self.apps)?;
        if head.method != Method::POST {
            return Err(Fault::Bad.of(app.flavour, format!("method {} is not POST", head.method)));
        }
        is_type(head, "application/json").map_err(|text| Fault::Bad.of(app.flavour, text))?;
        match head.uri.path() {
            "/v3/device/tag" => app::tag(app, &body),
            "/v3/device/account/query" => app::query(app, &body),
            _ => app::push(app, &body, now),
        }
    }
}

fn is_type(head: &Parts, expected: &str) -> Result<(), String> {
    let text = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = text.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case(expected) { Ok(()) } else { Err(format!("Content-Type `{text}` is not {expected}")) }
}

fn reply(reply: &Reply) -> Response {
    let plain = reply.flavour == Flavour::V2 && reply.code == 0 && reply.push_id.is_none() && reply.result.is_none();
    let mut response = Response::new(if plain { Body::from(ACCEPTED) } else { Body::from(reply.json()) });
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn plain(status: StatusCode, retry_after: Option<u64>) -> Response {
    let mut response = Response::new(Body::from("a fault was asked for\n"));
    *response.status_mut() = status;
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn date(ms: i64) -> Option<HeaderValue> {
    let timestamp = Timestamp::from_millisecond(ms).ok()?;
    let text = DateTimePrinter::new().timestamp_to_rfc9110_string(&timestamp).ok()?;
    HeaderValue::from_str(&text).ok()
}
