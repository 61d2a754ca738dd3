//! A request's body, bounded in bytes and in time.

use std::time::Duration;

use axum::{body::Body, http::StatusCode};
use futures_util::StreamExt as _;
use tokio::time::timeout;

/// Why there is no body.
pub(super) struct NoBody {
    pub(super) status: StatusCode,
    pub(super) message: String,
}

pub(super) async fn read(body: Body, longest: usize, time: Duration) -> Result<Vec<u8>, NoBody> {
    let read = async {
        let mut stream = body.into_data_stream();
        let mut bytes = Vec::new();
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|error| NoBody {
                status: StatusCode::BAD_REQUEST,
                message: format!("the body broke off: {error}"),
            })?;
            if bytes.len() + piece.len() > longest {
                let message = format!("the body has more than {longest} bytes");
                return Err(NoBody { status: StatusCode::PAYLOAD_TOO_LARGE, message });
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    };
    let late = |_| NoBody { status: StatusCode::REQUEST_TIMEOUT, message: "the body took too long".to_owned() };
    timeout(time, read).await.map_err(late)?
}
