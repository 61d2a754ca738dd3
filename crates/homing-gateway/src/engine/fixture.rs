//! What the official protocol suites expect of a server: `--protocol-test-fixture`. It is a hook and a few settings on top
//! of the ordinary code.
//!
//! | path | behaviour |
//! |---|---|
//! | `/socket.io/` | namespaces `/` and `/custom`; on connect the event `auth` with the client's payload (`{}` if none); in `/`, `message` comes back as `message-back`, `message-with-ack` is acknowledged with its arguments |
//! | `/engine.io/` | every message comes back |

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use homing_core::clock::Clock;

use super::Site;
use crate::{
    identity::{Authenticate, Credentials, Identity, Verdict},
    socketio::{Event, Events, Say, Settings},
};

/// The sites of the fixture, in place of the configured ones.
pub fn sites(clock: Arc<dyn Clock>) -> Result<Vec<Arc<Site>>, String> {
    let settings = Settings {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(200),
        max_payload: 1_000_000,
        connect_timeout: Duration::from_secs(1),
        namespaces: vec!["/".to_owned(), "/custom".to_owned()],
        inbox: false,
        user_room: false,
        ..Settings::default()
    };
    let echo = Settings { paths: vec!["/engine.io/".to_owned()], ..settings.clone() };
    Ok(vec![Site::socketio(settings, Arc::new(Anyone), clock, Some(Arc::new(Suite)))?, Site::echo(echo)?])
}

/// Lets everybody in.
struct Anyone;

impl Authenticate for Anyone {
    fn check(&self, _: &Credentials) -> Option<Verdict> {
        Some(Verdict::Known(Identity::default()))
    }

    fn look_up<'a>(&'a self, _: &'a Credentials) -> BoxFuture<'a, Verdict> {
        Box::pin(async { Verdict::Known(Identity::default()) })
    }
}

/// What the suite's server does.
struct Suite;

impl Events for Suite {
    fn connected(&self, _: &str, auth: Option<&str>, say: &mut Say) {
        say.emit("auth", auth.unwrap_or("{}"), &[]);
    }

    fn event(&self, event: &Event<'_>, say: &mut Say) {
        match (event.namespace, event.name) {
            ("/", "\"message\"") => say.emit("message-back", event.args, event.binary),
            ("/", "\"message-with-ack\"") => say.ack(event.args, event.binary),
            _ => {}
        }
    }
}
