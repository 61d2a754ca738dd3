//! The routes of the service, and the server.

use std::{collections::HashMap, io, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{ConnectInfo, Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    response::Response,
    routing::{any, get},
};
use homing_core::clock::Clock;
use jiff::{Timestamp, fmt::rfc2822::DateTimePrinter};
use tokio::net::TcpListener;

use super::{
    check::{Apps, Call, Push, Refusal, check},
    config::SimulatorConfig,
    conn::{Connections, Cut},
    control,
    form::Form,
    state::{Ending, Memory},
};

/// Longer bodies are refused: a message of 4096 bytes takes 12 KiB in percent-encoding.
const BODY_MAX: usize = 256 * 1024;

const ACCEPTED: &str = r#"{"ret_code":0,"err_msg":"","result":""}"#;

/// What the handlers share.
pub(super) struct Simulator {
    pub(super) memory: Memory,
    apps: Apps,
    clock: Arc<dyn Clock>,
}

/// Serves until `shutdown` completes; requests under way are finished.
pub async fn serve(
    listener: TcpListener,
    config: SimulatorConfig,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    config.faults.validate().map_err(|problem| io::Error::new(io::ErrorKind::InvalidInput, problem))?;
    let memory = Memory::new(&config);
    let apps: HashMap<_, _> = config.apps.into_iter().map(|app| (app.access_id, app)).collect();
    let simulator = Arc::new(Simulator { memory, apps, clock: config.clock });
    let app = Router::new()
        .route("/v2/push/single_device", any(push))
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
    let mut plan = simulator.memory.plan();
    let server_ms = simulator.clock.now().saturating_add(plan.skew_s.saturating_mul(1000));
    if plan.drop_before {
        connection.now();
        return Response::default();
    }
    let mut response = if let Some(status) = plan.http_status {
        plain(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), plan.retry_after)
    } else {
        let checked = simulator.judge(request, server_ms.div_euclid(1000)).await;
        match simulator.memory.settle(checked, &mut plan, simulator.clock.now()) {
            Ending::Cut => {
                connection.now();
                Response::default()
            }
            Ending::Reply(result) => reply(result),
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
    reply(Err(Refusal(-1, format!("no such call: {}", request.uri().path()))))
}

// === impl Simulator ===

impl Simulator {
    /// Reads and checks a request. GET takes its parameters from the query, POST from a form.
    async fn judge(&self, request: Request, now: i64) -> Result<Push, Refusal> {
        let (head, body) = request.into_parts();
        let body = match head.method {
            Method::GET => None,
            Method::POST => {
                is_form(head.headers.get(header::CONTENT_TYPE))?;
                Some(to_bytes(body, BODY_MAX).await.map_err(|error| Refusal(-1, error.to_string()))?)
            }
            _ => return Err(Refusal(-1, format!("method {} is neither GET nor POST", head.method))),
        };
        let text = match &body {
            None => head.uri.query().unwrap_or_default(),
            Some(body) => std::str::from_utf8(body).map_err(|_| Refusal(-1, "the body is not UTF-8".to_owned()))?,
        };
        let Some(host) = head.headers.get(header::HOST).and_then(|host| host.to_str().ok()) else {
            return Err(Refusal(-1, "the Host header is missing".to_owned()));
        };
        let form = Form::parse(text).map_err(|problem| Refusal(-1, problem.to_owned()))?;
        let call = Call { method: head.method.as_str(), host, path: head.uri.path(), form: &form, now };
        check(&call, &self.apps)
    }
}

fn is_form(content_type: Option<&HeaderValue>) -> Result<(), Refusal> {
    let text = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = text.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Ok(());
    }
    Err(Refusal(-1, format!("Content-Type `{text}` is not application/x-www-form-urlencoded")))
}

fn reply(result: Result<(), Refusal>) -> Response {
    let body = match result {
        Ok(()) => Body::from(ACCEPTED),
        Err(Refusal(code, text)) => {
            Body::from(serde_json::json!({"ret_code": code, "err_msg": text, "result": ""}).to_string())
        }
    };
    let mut response = Response::new(body);
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
