//! The gateway's configuration for the bench. What is not named is as it comes.

use super::{Bed, server::Kind};

/// As TOML.
pub(crate) fn config(bed: &Bed, kind: Kind, port: u16, number: usize) -> String {
    let (secret, hub, redis) = (&bed.secret, bed.hub, format!("redis://127.0.0.1:{}/0", bed.redis_port));
    let more = match kind {
        Kind::HomingEmit => {
            format!(
                "[gateway.socketio]\ninbox = false\n[[gateway.emitters]]\nkind = \"python-redis\"\nurl = \"{redis}\"\n"
            )
        }
        _ => String::new(),
    };
    format!(
        "[redis]\nurl = \"{redis}\"\n[log]\nfilter = \"warn\"\n[gateway]\nlisten = [\"127.0.0.1:{port}\"]\n\
         name = \"bench-{number}\"\n[gateway.hub]\nthreads = 1\n{hub}[gateway.rpc]\nopen_on_loopback = true\n\
         [[gateway.auth.keys]]\nalgorithm = \"HS256\"\nsecret = \"{secret}\"\n{more}"
    )
}
