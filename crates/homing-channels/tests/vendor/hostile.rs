//! Servers that answer anything: every target has an answer, and nothing panics.

use axum::{http::StatusCode, response::IntoResponse};

use super::*;

const BODIES: &[&str] = &[
    "",
    "null",
    "[]",
    "{}",
    "7",
    "\"ok\"",
    "<html>504</html>",
    "{\"code\":null}",
    "{\"code\":{}}",
    "{\"code\":[0]}",
    "{\"code\":1e400}",
    "{\"code\":0.5,\"result\":0.5}",
    "{\"code\":\"\",\"result\":\"\"}",
    "{\"code\":99999999999999999999,\"result\":-99999999999999999999}",
    "{\"code\":0,\"data\":null,\"result\":0}",
    "{\"code\":0,\"data\":[null,7,{},{\"registrationId\":null},{\"registrationId\":\"reg-1\",\"errorCode\":{}}],\"result\":0}",
    "{\"code\":0,\"data\":{\"bad_regids\":7,\"id\":7,\"messageId\":{}},\"result\":0,\"invalidUsers\":7,\"invalidUser\":[]}",
    "{\"code\":0,\"data\":{\"bad_regids\":\",,,\"},\"result\":0,\"invalidUsers\":[7,null,{\"status\":{}},{\"userid\":1,\"status\":1}]}",
    "{\"code\":200,\"data\":{\"sendResult\":\"yes\",\"failTokens\":{\"a\":1},\"expireTokens\":[1,null,[]]}}",
    "{\"code\":200,\"data\":{\"sendResult\":false}}",
    "{\"code\":80100000,\"data\":{\"failTokens\":[\"reg-1\"]}}",
    "{\"error\":\"invalid_client\"}",
    "{\"code\":0,\"result\":0,\"access_token\":7,\"authToken\":[],\"data\":{\"auth_token\":\"\"}}",
    "{\"code\":0,\"result\":0,\"access_token\":\"a\\nb\",\"authToken\":\"a\\nb\",\"data\":{\"auth_token\":\"a\\nb\"},\"expires_in\":-1}",
    "{\"code\":0,\"result\":0,\"access_token\":\"ok\",\"authToken\":\"ok\",\"data\":{\"auth_token\":\"ok\"},\"expires_in\":9223372036854775807,\"taskId\":{}}",
    "{\"code\":0,\"result\":0,\"access_token\":\"ok\",\"authToken\":\"ok\",\"data\":{\"auth_token\":\"ok\"},\"taskId\":\"t\"}",
];

/// Any access token is lent at first; then every call is answered with the body.
#[tokio::test]
async fn any_answer_is_an_answer() {
    let mut checked = 0;
    let deep = "[".repeat(50_000);
    let wide = format!("{{\"code\":0,\"result\":0,\"x\":\"{}\"}}", "y".repeat(2_000_000));
    for body in BODIES.iter().copied().chain([deep.as_str(), wide.as_str()]) {
        for status in [200_u16, 206, 302, 400, 401, 418, 500] {
            let answer = Arc::<str>::from(body);
            let router = axum::Router::new().fallback(async move || {
                (
                    StatusCode::from_u16(status).unwrap(),
                    [("retry-after", "Thu, 01 Jan 1970 00:00:99 GMT")],
                    answer.to_string(),
                )
                    .into_response()
            });
            let address = listen(router).await;
            for vendor in VENDORS {
                let channel = try_build(vendor, &section(vendor, address, "", ""), Hand::at(NOW)).unwrap();
                for sent in [to(&["reg-1"]), to(&["reg-1", "reg-2", "reg-3"])] {
                    let answers = channel.send(&sent, &sent.targets).await;
                    assert_eq!(answers.len(), sent.targets.len(), "{vendor} {status} {body:.60}");
                    for answer in &answers {
                        assert!(answer.detail.chars().count() < 500, "{}", answer.detail);
                        assert!(status < 300 || answer.outcome.name() != DELIVERED, "{vendor} {status} {body:.60}");
                    }
                    checked += answers.len();
                }
                assert_eq!(channel.examine().await.len(), 1);
            }
        }
    }
    assert!(checked > 3_000, "{checked}");
}
