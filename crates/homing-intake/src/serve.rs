//! The server: bounded in connections, heads and time, which `axum::serve` leaves open.

use std::{io, net::IpAddr, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::{
    Request,
    body::Incoming,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use crate::{receipts::Peer, settings::Settings};

/// The largest head of a request in bytes.
const HEAD: usize = 16 << 10;
/// Most headers of a request.
const HEADERS: usize = 64;
/// A connection that is older is closed after its request: so the slowest reader has an end.
const AGE: Duration = Duration::from_secs(600);
/// Time for the last answer of a connection that is closed.
const LAST: Duration = Duration::from_secs(15);
/// Pause when no connection can be taken: there are no descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop` completes; requests under way are finished.
///
/// # Errors
/// None so far: a listener that fails is tried again.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    settings: &Settings,
    stop: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(settings.header_timeout).max_buf_size(HEAD).max_headers(HEADERS);
    let (connections, stopping) =
        (Arc::new(Semaphore::new(settings.connections.min(Semaphore::MAX_PERMITS))), CancellationToken::new());
    let tasks = TaskTracker::new();
    let mut stop = pin!(stop);
    loop {
        // Those that are too many wait in the kernel.
        let accept = async {
            let seat = Arc::clone(&connections).acquire_owned().await;
            (seat, listener.accept().await)
        };
        let (seat, accepted) = tokio::select! {
            () = &mut stop => break,
            accepted = accept => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "Cannot take a connection.");
                sleep(PAUSE).await;
                continue;
            }
        };
        let (http, router, stopping) = (http.clone(), router.clone(), stopping.clone());
        tasks.spawn(async move {
            connection(&http, stream, peer.ip(), router, &stopping).await;
            drop(seat);
        });
    }
    drop(listener);
    stopping.cancel();
    tasks.close();
    tasks.wait().await;
    Ok(())
}

async fn connection(
    http: &http1::Builder,
    stream: TcpStream,
    peer: IpAddr,
    router: Router,
    stopping: &CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "A connection keeps its delay.");
    }
    let inner = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        inner.call(request)
    });
    let mut serving = pin!(http.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = serving.as_mut() => Some(ended),
        () = stopping.cancelled() => None,
        () = sleep(AGE) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            serving.as_mut().graceful_shutdown();
            timeout(LAST, serving).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        debug!(%error, "A connection ended early.");
    }
}
