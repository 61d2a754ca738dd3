//! Who comes in by WebSocket.

use std::sync::Arc;

use metrics::counter;

use super::{Engine, Site, meter, sid};
use crate::{
    session::{Admission, Request},
    socketio::Transport,
};

/// Decides about a request for a WebSocket: a new session, or an offer to one that polls. `None` = none of these sites is
/// at this path.
pub fn doorman(sites: &[Arc<Site>], request: &Request) -> Option<Admission> {
    let site = sites.iter().find(|site| site.serves(&request.path))?;
    Some(admit(site, request).unwrap_or_else(|(status, why)| {
        counter!(meter::REFUSED, "why" => why).increment(1);
        Admission::Refuse { status, why: why.to_owned() }
    }))
}

fn admit(site: &Arc<Site>, request: &Request) -> Result<Admission, (u16, &'static str)> {
    if !site.welcomes(request) {
        return Err((403, "Forbidden"));
    }
    if request.parameter("transport") != Some("websocket") || !site.settings.has(Transport::WebSocket) {
        return Err((400, "Transport unknown"));
    }
    let version = site.version(request).ok_or((400, "Unsupported protocol version"))?;
    match request.parameter("sid").filter(|sid| !sid.is_empty()) {
        Some(sid) => {
            let key = sid::key_of(sid).ok_or((400, "Session ID unknown"))?;
            Ok(Admission::Offer(key, sid.to_owned()))
        }
        None => {
            let engine = Engine::new(Arc::clone(site), version, false, site.credentials(request));
            Ok(Admission::Session(Box::new(engine)))
        }
    }
}
