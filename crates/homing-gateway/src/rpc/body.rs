//! A request's body, bounded in bytes and in time.

use std::time::Duration;

use axum::{
    body::{Body, HttpBody as _},
    http::StatusCode,
};
use futures_util::StreamExt as _;
use tokio::time::timeout;

/// Why there is no body.
pub(super) struct NoBody {
    pub(super) status: StatusCode,
    pub(super) message: String,
}

pub(super) async fn read(body: Body, longest: usize, time: Duration) -> Result<Vec<u8>, NoBody> {
    let too_long = || {
        let message = format!("the body has more than {longest} bytes");
        NoBody { status: StatusCode::PAYLOAD_TOO_LARGE, message }
    };
    // As it says itself.
    if usize::try_from(body.size_hint().lower()).map_or(true, |bytes| bytes > longest) {
        return Err(too_long());
    }
    let read = async {
        let mut stream = body.into_data_stream();
        let mut bytes = Vec::new();
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|error| NoBody {
                status: StatusCode::BAD_REQUEST,
                message: format!("the body broke off: {error}"),
            })?;
            if bytes.len() + piece.len() > longest {
                return Err(too_long());
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    };
    let late = |_| NoBody { status: StatusCode::REQUEST_TIMEOUT, message: "the body took too long".to_owned() };
    timeout(time, read).await.map_err(late)?
}
