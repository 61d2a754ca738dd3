//! A key set: in a file, or behind an address. It is read again every so often, and when a token names a key that it does
//! not hold, but then at most once a minute. Whoever waits for the same fetch waits for one. A set that was read once
//! stays until another one was read: keys that are gone are gone with the next answer.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use reqwest::{Client, Url, redirect};
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::{
    key::{Key, read_set},
    meter,
    settings::JwksSettings,
    token::Token,
};

/// Between two fetches for a key that is not known.
const UNKNOWN: Duration = Duration::from_secs(60);
/// Between two tries while there is no set at all.
const EMPTY: Duration = Duration::from_secs(1);
/// The longest key set in bytes.
const LONGEST: usize = 1 << 20;

/// See the module.
pub(super) struct Jwks {
    from: From,
    refresh: Duration,
    timeout: Duration,
    state: RwLock<State>,
    fetching: tokio::sync::Mutex<()>,
    client: OnceLock<Client>,
}

enum From {
    Url(Url),
    File(PathBuf),
}

#[derive(Default)]
struct State {
    keys: Option<Arc<[Key]>>,
    tried: Option<Instant>,
    /// When it was last read for a key that it did not hold.
    sought: Option<Instant>,
}

/// What the set says to a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// One of its keys signed it.
    Yes,
    /// None of its keys, and it needs not be read again.
    No,
    /// It must be read first.
    Ask,
    /// There is none, and it was just tried.
    Away,
}

impl Jwks {
    pub(super) fn new(settings: &JwksSettings) -> Result<Self, String> {
        let from = match (&settings.url, &settings.file) {
            (Some(url), _) => From::Url(url.clone()),
            (None, Some(file)) => From::File(file.clone()),
            (None, None) => return Err("url: either it or `file` is needed".to_owned()),
        };
        Ok(Self {
            from,
            refresh: settings.refresh,
            timeout: settings.timeout,
            state: RwLock::default(),
            fetching: tokio::sync::Mutex::default(),
            client: OnceLock::new(),
        })
    }

    /// By what is there.
    pub(super) fn word(&self, token: &Token<'_>) -> Word {
        let (keys, tried, sought) = {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            (state.keys.clone(), state.tried, state.sought)
        };
        let passed = |since: Option<Instant>, pause| since.is_none_or(|since| since.elapsed() >= pause);
        let Some(keys) = keys else {
            return if passed(tried, EMPTY) { Word::Ask } else { Word::Away };
        };
        if token.is_signed_by(keys.iter()) {
            return Word::Yes;
        }
        // A key that is there and does not fit is a wrong signature; another fetch would not change it.
        let named = token.kid.as_ref().is_some_and(|kid| keys.iter().any(|key| key.id.as_ref() == Some(kid)));
        if !named && passed(sought, UNKNOWN) { Word::Ask } else { Word::No }
    }

    fn is_empty(&self) -> bool {
        self.state.read().unwrap_or_else(PoisonError::into_inner).keys.is_none()
    }

    /// Reads it for a token, unless somebody else has done so meanwhile.
    pub(super) async fn seek(&self) {
        self.fetch(true).await;
    }

    async fn fetch(&self, sought: bool) {
        let asked = Instant::now();
        let _one = self.fetching.lock().await;
        if self.state.read().unwrap_or_else(PoisonError::into_inner).tried.is_some_and(|tried| tried >= asked) {
            return;
        }
        let read = self.read().await;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.tried = Some(Instant::now());
        if sought && state.keys.is_some() {
            state.sought = state.tried;
        }
        let result = match read {
            Ok(keys) => {
                state.keys = Some(keys.into());
                "ok"
            }
            Err(error) => {
                warn!(%error, "The key set for tokens cannot be read; the last one stays.");
                "failed"
            }
        };
        metrics::counter!(meter::FETCHES, "result" => result).increment(1);
    }

    /// Reads it every so often, for ever.
    pub(super) async fn keep(&self) {
        loop {
            self.fetch(false).await;
            let pause = if self.is_empty() { self.refresh.min(Duration::from_secs(5)) } else { self.refresh };
            tokio::time::sleep(pause).await;
        }
    }

    async fn read(&self) -> Result<Vec<Key>, String> {
        let text = match &self.from {
            From::File(path) => {
                let read = tokio::fs::read(path).await;
                read.map_err(|error| format!("{}: {error}", path.display()))?
            }
            From::Url(url) => {
                let late = |_| format!("no answer within {:?}", self.timeout);
                timeout(self.timeout, self.get(url)).await.map_err(late)??
            }
        };
        if text.len() > LONGEST {
            return Err(format!("it has more than {LONGEST} bytes"));
        }
        let (keys, left) = read_set(&text)?;
        if keys.is_empty() {
            return Err(format!("it holds no key that can be used: {}", left.join("; ")));
        }
        info!(keys = keys.len(), left_out = left.join("; "), "Read the key set for tokens.");
        Ok(keys)
    }

    async fn get(&self, url: &Url) -> Result<Vec<u8>, String> {
        let wrong = |error: reqwest::Error| error.without_url().to_string();
        let mut answer = self.client()?.get(url.clone()).send().await.map_err(wrong)?;
        if !answer.status().is_success() {
            return Err(format!("the answer is {}", answer.status()));
        }
        let mut text = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(wrong)? {
            if text.len() + piece.len() > LONGEST {
                return Err(format!("it has more than {LONGEST} bytes"));
            }
            text.extend_from_slice(&piece);
        }
        Ok(text)
    }

    fn client(&self) -> Result<&Client, String> {
        client(&self.client)
    }
}

/// An HTTP client that follows no redirect and asks no proxy; made when it is first needed, inside of a runtime.
pub(super) fn client(slot: &OnceLock<Client>) -> Result<&Client, String> {
    if let Some(client) = slot.get() {
        return Ok(client);
    }
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        return Err("this process has installed no TLS provider".to_owned());
    }
    let built = Client::builder().no_proxy().redirect(redirect::Policy::none()).tcp_nodelay(true).build();
    let client = built.map_err(|error| error.to_string())?;
    Ok(slot.get_or_init(|| client))
}
