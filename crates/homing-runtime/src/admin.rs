//! The operator's port: health, readiness, metrics, version.
//!
//! | path | answer |
//! |---|---|
//! | `/healthz`, `/health` | 200 `ok`; 503 and a JSON list once a supervised task died |
//! | `/readyz`, `/ready` | 200 `ok`; 503 and a JSON list of `{"part", "reason"}` |
//! | `/metrics` | Prometheus text |
//! | `/version` | `{"name", "version"}` |

use std::net::{Ipv4Addr, SocketAddr};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;
use tokio::net::TcpListener;

use crate::{Error, Health, Metrics, NotReady, Result};

/// Section `[admin]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Where to listen; port 0 takes a free one, which the log and the readiness file name.
    pub listen: SocketAddr,
    /// Allows an address that other machines can reach. The endpoints ask for no password.
    pub allow_public: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), allow_public: false }
    }
}

impl Settings {
    /// Refuses an address that is public by accident.
    pub fn check(&self) -> Result<()> {
        if self.allow_public || self.listen.ip().to_canonical().is_loopback() {
            return Ok(());
        }
        Err(Error::AdminPublic { listen: self.listen })
    }
}

/// The port, taken.
pub(crate) struct Admin {
    listener: TcpListener,
    pub(crate) address: SocketAddr,
}

impl Admin {
    pub(crate) async fn bind(settings: &Settings) -> Result<Self> {
        settings.check()?;
        let fail = |source| Error::AdminListen { listen: settings.listen, source };
        let listener = TcpListener::bind(settings.listen).await.map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        Ok(Self { listener, address })
    }

    /// Serves for ever; to be dropped at the end, so that a stopping daemon still answers.
    pub(crate) async fn serve(self, name: String, health: Health, metrics: Metrics) {
        let version = Json(serde_json::json!({"name": name, "version": env!("CARGO_PKG_VERSION")}));
        let router = Router::new()
            .route("/healthz", get(live))
            .route("/health", get(live))
            .route("/readyz", get(ready))
            .route("/ready", get(ready))
            .with_state(health)
            .route("/version", get(async || version))
            .route("/metrics", get(scrape).with_state(metrics));
        // Its documentation says that it never ends.
        if let Err(error) = axum::serve(self.listener, router).await {
            tracing::error!(%error, "The admin port is closed.");
        }
    }
}

async fn live(State(health): State<Health>) -> Response {
    answer(health.dead())
}

async fn ready(State(health): State<Health>) -> Response {
    answer(health.not_ready())
}

fn answer(trouble: Vec<NotReady>) -> Response {
    if trouble.is_empty() {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Json(trouble)).into_response()
    }
}

async fn scrape(State(metrics): State<Metrics>) -> Response {
    // Counting 30,000 descriptors takes a while.
    match tokio::task::spawn_blocking(move || metrics.render()).await {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_allowed_are_public() {
        let check = |listen: &str, allow_public, expected: Option<&str>| {
            let settings = Settings { listen: listen.parse().unwrap(), allow_public };
            assert_eq!(settings.check().err().map(|e| e.to_string()).as_deref(), expected, "{listen}");
        };
        check("127.0.0.1:0", false, None);
        check("127.9.9.9:9100", false, None);
        check("[::1]:9100", false, None);
        check("[::ffff:127.0.0.1]:9100", false, None);
        check("0.0.0.0:9100", true, None);
        check(
            "0.0.0.0:9100",
            false,
            Some(
                "admin.listen = \"0.0.0.0:9100\" can be reached from other machines; use 127.0.0.1, or set admin.allow_public = true",
            ),
        );
        check(
            "10.1.2.3:9100",
            false,
            Some(
                "admin.listen = \"10.1.2.3:9100\" can be reached from other machines; use 127.0.0.1, or set admin.allow_public = true",
            ),
        );
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_named() {
        let first = Admin::bind(&Settings::default()).await.unwrap();
        let settings = Settings { listen: first.address, allow_public: false };
        let error = crate::with_causes(&Admin::bind(&settings).await.err().unwrap());
        assert_eq!(
            error,
            format!("cannot listen on admin.listen = \"{}\": Address already in use (os error 98)", first.address)
        );
    }
}
