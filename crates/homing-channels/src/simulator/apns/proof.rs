//! Who may call: by a token of a registered key, or by a registered certificate on the connection.
//! ("Establishing a token-based connection to APNs", "Establishing a certificate-based connection to APNs".)

use std::{
    collections::HashMap,
    io,
    sync::{Mutex, PoisonError},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use homing_core::{clock::Millis, notification::Environment};
use hyper::{HeaderMap, header::AUTHORIZATION};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey},
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer, pem::PemObject};
use secrecy::ExposeSecret;
use serde_json::Value;
use x509_parser::{prelude::FromDer, x509::SubjectPublicKeyInfo};

use super::{
    config::{Account, Who},
    reasons::Refusal,
};

/// Longest life of a token in seconds.
const LIFE: i64 = 3600;

/// A key's token may change after this.
const UPDATES: Millis = 20 * 60 * 1000;

/// How far a token may come from the future, in seconds.
const AHEAD: i64 = 60;

/// Tokens of a key that are remembered.
const KEPT: usize = 64;

struct Key {
    team: String,
    /// An uncompressed point.
    point: Vec<u8>,
    topics: Vec<String>,
    environments: Vec<Environment>,
}

struct Holder {
    der: Vec<u8>,
    topics: Vec<String>,
    environments: Vec<Environment>,
}

/// All registered.
pub(super) struct Callers {
    environment: Environment,
    keys: HashMap<String, Key>,
    certificates: Vec<Holder>,
    /// Per key: its tokens, and when each was first seen.
    seen: Mutex<HashMap<String, Vec<(String, Millis)>>>,
}

/// What a connection has shown so far.
#[derive(Default)]
pub(super) struct Shown {
    /// The caller's certificate.
    pub(super) certificate: Option<Vec<u8>>,
    /// The team of the first key on the connection.
    pub(super) team: Mutex<Option<String>>,
}

/// A caller that is known.
pub(super) struct Caller<'a> {
    pub(super) topics: &'a [String],
    /// Its token was not seen before.
    pub(super) fresh: bool,
}

impl Callers {
    pub(super) fn new(accounts: &[Account], environment: Environment) -> io::Result<Self> {
        let mut all = Self { environment, keys: HashMap::new(), certificates: Vec::new(), seen: Mutex::default() };
        for account in accounts {
            let (topics, environments) = (account.topics.clone(), account.environments.clone());
            match &account.who {
                Who::Key { key_id, team_id, pem } => {
                    let point = point(pem.expose_secret())
                        .ok_or_else(|| bad(format!("the key {key_id} is no P-256 key in PEM")))?;
                    // One key, several apps: accounts of the same key add up.
                    let known = all.keys.entry(key_id.clone()).or_insert_with(|| Key {
                        team: team_id.clone(),
                        point,
                        topics: Vec::new(),
                        environments: environments.clone(),
                    });
                    known.topics.extend(topics);
                }
                Who::Certificate { pem } => {
                    let der = CertificateDer::from_pem_slice(pem.expose_secret().as_bytes())
                        .map_err(|error| bad(format!("a certificate cannot be read: {error}")))?;
                    all.certificates.push(Holder { der: der.to_vec(), topics, environments });
                }
            }
        }
        Ok(all)
    }

    pub(super) fn check(&self, headers: &HeaderMap, shown: &Shown, now: Millis) -> Result<Caller<'_>, Refusal> {
        if let Some(given) = headers.get(AUTHORIZATION) {
            let given = given.to_str().map_err(|_| "InvalidProviderToken")?;
            return self.token(given, shown, now);
        }
        let Some(given) = &shown.certificate else { return Err("MissingProviderToken".into()) };
        let holder = self.certificates.iter().find(|holder| holder.der == *given).ok_or("BadCertificate")?;
        if !holder.environments.is_empty() && !holder.environments.contains(&self.environment) {
            return Err("BadCertificateEnvironment".into());
        }
        Ok(Caller { topics: &holder.topics, fresh: false })
    }

    fn token(&self, given: &str, shown: &Shown, now: Millis) -> Result<Caller<'_>, Refusal> {
        let invalid = || Refusal::new("InvalidProviderToken");
        let (scheme, token) = given.split_once(' ').ok_or_else(invalid)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(invalid());
        }
        let (signed, signature) = token.rsplit_once('.').ok_or_else(invalid)?;
        let (head, claims) = signed.split_once('.').ok_or_else(invalid)?;
        let (head, claims) = (part(head).ok_or_else(invalid)?, part(claims).ok_or_else(invalid)?);
        let text = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).map(str::to_owned);
        let id = text(&head, "kid").ok_or_else(invalid)?;
        let key = self.keys.get(&id).ok_or_else(invalid)?;
        if text(&head, "alg").as_deref() != Some("ES256") || text(&claims, "iss").as_deref() != Some(&key.team) {
            return Err(invalid());
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| invalid())?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &key.point)
            .verify(signed.as_bytes(), &signature)
            .map_err(|_| invalid())?;
        let age = now.div_euclid(1000) - claims.get("iat").and_then(Value::as_i64).ok_or_else(invalid)?;
        if age < -AHEAD {
            return Err(invalid());
        }
        if age > LIFE {
            return Err("ExpiredProviderToken".into());
        }
        if !key.environments.is_empty() && !key.environments.contains(&self.environment) {
            return Err("BadEnvironmentKeyIdInToken".into());
        }
        {
            let mut team = shown.team.lock().unwrap_or_else(PoisonError::into_inner);
            if team.get_or_insert_with(|| key.team.clone()) != &key.team {
                return Err("UnrelatedKeyIdInToken".into());
            }
        }
        let fresh = self.updated(&id, token, now)?;
        Ok(Caller { topics: &key.topics, fresh })
    }

    /// A key's token must not change too often; one that was seen may come again.
    fn updated(&self, id: &str, token: &str, now: Millis) -> Result<bool, Refusal> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let tokens = seen.entry(id.to_owned()).or_default();
        if tokens.iter().any(|(known, _)| known == token) {
            return Ok(false);
        }
        if tokens.last().is_some_and(|(_, since)| now - since < UPDATES) {
            return Err("TooManyProviderTokenUpdates".into());
        }
        if tokens.len() >= KEPT {
            tokens.remove(0);
        }
        tokens.push((token.to_owned(), now));
        Ok(true)
    }
}

fn bad(problem: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, problem)
}

fn part(text: &str) -> Option<Value> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

/// The public point of a key in PEM, be it public or private.
fn point(pem: &str) -> Option<Vec<u8>> {
    if let Ok(der) = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()) {
        let rng = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der(), &rng).ok()?;
        return Some(pair.public_key().as_ref().to_vec());
    }
    let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).ok()?;
    let (_, info) = SubjectPublicKeyInfo::from_der(&der).ok()?;
    let point = info.subject_public_key.data.to_vec();
    (point.len() == 65).then_some(point)
}
