//! `POST /token`: an access token for an assertion. (RFC 7523; Google, "Using OAuth 2.0 for server to server
//! applications".)

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{Request, StatusCode},
    response::{IntoResponse, Response},
};
use homing_core::clock::Millis;
use serde_json::{Value, json};

use super::{Account, Google, errors::Refusal};
use crate::simulator::{
    encounter,
    jwt::{Algorithm, verify},
};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const SCOPES: [&str; 2] =
    ["https://www.googleapis.com/auth/firebase.messaging", "https://www.googleapis.com/auth/cloud-platform"];

/// Google's clock and that of an assertion may differ so much, in seconds.
const LEEWAY: i64 = 300;

/// Access tokens that are remembered; the oldest go.
const KEEP: usize = 10_000;

/// A token that was lent.
struct Lent {
    token: String,
    number: u64,
    project: String,
    until: Millis,
}

/// All tokens that were lent.
#[derive(Default)]
pub(crate) struct Lender(Mutex<(VecDeque<Lent>, u64)>);

impl Lender {
    fn lend(&self, project: &str, until: Millis) -> String {
        let mut lent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lent.1 += 1;
        let number = lent.1;
        let token = format!("ya29.simulated-{number}-{:08x}", crc32fast::hash(format!("{project}{number}").as_bytes()));
        if lent.0.len() >= KEEP {
            lent.0.pop_front();
        }
        lent.0.push_back(Lent { token: token.clone(), number, project: project.to_owned(), until });
        token
    }

    /// The project of a token that is valid `now`; tokens up to the number `revoked` are not.
    pub(crate) fn project_of(&self, token: &str, now: Millis, revoked: u64) -> Option<String> {
        let lent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = lent.0.iter().rev().find(|lent| lent.token == token)?;
        (now < found.until && found.number > revoked).then(|| found.project.clone())
    }
}

/// The handler.
pub(crate) async fn grant(State(google): State<Arc<Google>>, request: Request<axum::body::Body>) -> Response {
    let hangup = encounter::hangup(&request);
    let path = request.uri().path().to_owned();
    let body = axum::body::to_bytes(request.into_body(), 64 * 1024).await.unwrap_or_default();
    let refuse = |status: u16, seconds| {
        google.stand.answered(format!("token {status}"));
        if status == 400 {
            denied("invalid_grant", "Invalid JWT Signature.")
        } else {
            Refusal::of_status(status, seconds).into_response()
        }
    };
    encounter::through(&google.stand, &path, hangup, refuse, || look(&google, &body)).await
}

fn look(google: &Google, body: &Bytes) -> Response {
    let form: Vec<(String, String)> = url::form_urlencoded::parse(body).into_owned().collect();
    let of = |name: &str| form.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
    if of("grant_type") != GRANT {
        return denied("unsupported_grant_type", "Invalid grant_type");
    }
    let account = match check(google, of("assertion")) {
        Ok(account) => account,
        Err(problem) => {
            google.stand.count("assertions_refused");
            return denied("invalid_grant", problem);
        }
    };
    let life = google.stand.own("lent_s").and_then(|value| value.as_i64()).unwrap_or(3_599);
    let until = google.stand.now().saturating_add(life.saturating_mul(1_000));
    let token = google.lender.lend(&account.project, until);
    google.stand.count("tokens_lent");
    Json(json!({ "access_token": token, "expires_in": life, "token_type": "Bearer" })).into_response()
}

/// Who made this assertion?
fn check<'a>(google: &'a Google, assertion: &str) -> Result<&'a Account, &'static str> {
    let mut problem = "Invalid JWT: no service account has this issuer.";
    for account in &google.config.accounts {
        let jwt = match verify(assertion, Algorithm::Rs256, &account.public_key) {
            Ok(jwt) => jwt,
            Err(_) => {
                problem = "Invalid JWT Signature.";
                continue;
            }
        };
        let (claims, now) = (&jwt.claims, google.stand.now() / 1_000);
        if claims["iss"] != account.client_email.as_str() {
            problem = "Invalid JWT: the issuer is not the owner of the key.";
            continue;
        }
        if claims["aud"] != account.token_uri.as_str() {
            return Err("Invalid JWT: wrong audience.");
        }
        if !claims["scope"].as_str().unwrap_or_default().split(' ').any(|scope| SCOPES.contains(&scope)) {
            return Err("Invalid OAuth scope or ID token audience provided.");
        }
        let (Some(iat), Some(exp)) = (claims["iat"].as_i64(), claims["exp"].as_i64()) else {
            return Err("Invalid JWT: iat and exp are needed.");
        };
        if exp - iat > 3_600 || exp <= iat || iat > now + LEEWAY || exp < now - LEEWAY {
            return Err(
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat \
                 and exp values in the JWT claim.",
            );
        }
        return Ok(account);
    }
    Err(problem)
}

fn denied(error: &str, description: &str) -> Response {
    let body: Value = json!({ "error": error, "error_description": description });
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}
