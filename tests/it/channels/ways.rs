//! The channels: sections as an operator writes them, and the fates that their pages in docs/ name.

use std::process::Command;

use serde_json::json;

use super::way::{
    APP,
    Fate::{Buried, Later, NoDevice, Parked, Removed, Told},
    Kind,
    Part::{Few, Percent, Rest},
    Place,
    State::{Code, Dead, Foreign, Good, Throttled},
    Tokens, Way, Wrong,
};
use crate::support::variable;

const fn kind(prefix: &'static str, part: super::way::Part, state: super::way::State, fate: super::way::Fate) -> Kind {
    Kind::new(prefix, part, state, fate)
}

/// docs/apns.md: 410 is dead; `BadDeviceToken` of less than a fifth is, too; 429 is this device's alone.
pub(super) const APNS: Way = Way {
    name: "apns",
    channel: "apns",
    provider: "apns",
    platform: "ios",
    section: |place| {
        format!(
            "[channel.apns]\nendpoint = {{ base_url = 'https://{}', ca_file = '{}' }}\n[channel.apns.account.shop]\n\
             app = '{APP}'\ntopic = 'com.example.shop'\nkey_id = 'KEY1234567'\nteam_id = 'TEAM123456'\nkey = '''\n{}'''\n",
            place.address,
            place.folder.join("ca.pem").display(),
            p256(),
        )
    },
    tokens: Tokens::Hex,
    kinds: &[
        kind("900d", Rest, Good, Told),
        kind("dead", Percent(10), Dead, Removed),
        kind("f0e1", Percent(4), Foreign, Removed),
        kind("510e", Percent(10), Throttled(1), Later),
        kind("0dd0", Few(5), Code("BadPriority"), Buried("payload")),
    ],
    wrong: Wrong::Foreign,
    refusal: Some("429 TooManyRequests"),
};

/// docs/apns.md: over a fifth of `BadDeviceToken` looks like the wrong environment.
pub(super) const TWO_FIFTHS: &[Kind] = &[kind("900d", Rest, Good, Told), kind("f0e1", Percent(40), Foreign, Told)];

/// docs/fcm.md: `UNREGISTERED` is dead, a few of another project's are, too; a device's quota is its own.
pub(super) const FCM: Way = Way {
    name: "fcm",
    channel: "fcm",
    provider: "fcm",
    platform: "android",
    section: |place| {
        let file = json!({
            "type": "service_account", "project_id": "shop-1", "private_key_id": "kid", "private_key": rsa(),
            "client_email": "homing@shop-1.iam.gserviceaccount.com", "token_uri": "https://oauth2.googleapis.com/token",
        });
        format!(
            "[channel.fcm]\nramp_ms = 1000\nendpoint = {}\n[channel.fcm.account.shop]\napp = '{APP}'\n\
             service_account = '''{file}'''\n",
            both(place)
        )
    },
    tokens: Tokens::Plain,
    kinds: &[
        kind("good", Rest, Good, Told),
        kind("dead", Percent(10), Dead, Removed),
        kind("other", Percent(4), Foreign, Removed),
        kind("slow", Percent(10), Throttled(1), Later),
        kind("odd", Few(5), Code("BAD_REQUEST"), Buried("payload")),
    ],
    wrong: Wrong::Foreign,
    refusal: Some("QUOTA_EXCEEDED"),
};

/// docs/hms.md: v1 does not tell a stranger from a dead token; flow control is the app's.
pub(super) const HMS_V1: Way = Way {
    name: "hms v1",
    channel: "hms",
    provider: "hms",
    platform: "android",
    section: |place| {
        format!(
            "[channel.hms]\nendpoint = {}\n[channel.hms.account.shop]\nflavour = 'v1'\napp = '{APP}'\n\
             app_id = '100000001'\nsecret = 'made-up-secret'\n",
            both(place)
        )
    },
    tokens: Tokens::Plain,
    kinds: &[
        kind("good", Rest, Good, Told),
        kind("dead", Percent(10), Dead, Removed),
        kind("other", Percent(4), Foreign, Removed),
        kind("slow", Few(3), Throttled(1), Later),
        kind("odd", Few(5), Code("80100016"), Buried("payload")),
    ],
    wrong: Wrong::OwnCode("80300002"),
    refusal: None,
};

/// docs/hms.md: v3 says `noRight` of strangers: a few are dead, most mean the account.
pub(super) const HMS_V3: Way = Way {
    name: "hms v3",
    platform: "harmony",
    section: |place| {
        let file = json!({
            "project_id": "200000001", "key_id": "kid", "private_key": rsa(), "sub_account": "sub",
            "token_uri": "https://oauth-login.cloud.huawei.com/oauth2/v3/token",
        });
        format!(
            "[channel.hms]\nendpoint = {}\n[channel.hms.account.shop]\nflavour = 'v3'\napp = '{APP}'\n\
             service_account = '''{file}'''\n",
            both(place)
        )
    },
    wrong: Wrong::Foreign,
    ..HMS_V1
};

/// docs/vendors.md: strangers look like dead tokens; "too often" is the app's.
pub(super) const XIAOMI: Way = Way {
    name: "xiaomi",
    channel: "xiaomi",
    provider: "xiaomi",
    platform: "android",
    section: |place| vendor("xiaomi", place, "package = 'com.example.shop'\nchannel_id = '137000'"),
    tokens: Tokens::Plain,
    kinds: &[
        kind("good", Rest, Good, Told),
        kind("dead", Percent(10), Dead, Removed),
        kind("other", Percent(4), Foreign, Removed),
        kind("slow", Few(3), Throttled(1), Later),
        kind("odd", Few(5), Code("65009"), Buried("payload")),
    ],
    wrong: Wrong::Code("21301"),
    refusal: Some("10027"),
};

pub(super) const OPPO: Way = Way {
    name: "oppo",
    channel: "oppo",
    provider: "oppo",
    section: |place| vendor("oppo", place, "app_key = 'AppKey'"),
    kinds: &[
        kind("good", Rest, Good, Told),
        kind("dead", Percent(10), Dead, Removed),
        kind("other", Percent(4), Foreign, Removed),
        kind("slow", Few(3), Throttled(1), Later),
        kind("odd", Few(5), Code("41"), Buried("payload")),
    ],
    wrong: Wrong::Code("30"),
    refusal: Some("55"),
    ..XIAOMI
};

/// docs/vendors.md: a device that was not online for 90 days is no dead one.
pub(super) const VIVO: Way = Way {
    name: "vivo",
    channel: "vivo",
    provider: "vivo",
    section: |place| vendor("vivo", place, "app_id = '10004'\napp_key = 'AppKey'"),
    kinds: &[
        kind("good", Rest, Good, Told),
        kind("dead", Percent(10), Dead, Removed),
        kind("other", Percent(4), Foreign, Removed),
        kind("slow", Few(3), Throttled(1), Later),
        kind("odd", Few(5), Code("10104"), Buried("payload")),
        kind("away", Few(50), Code("status 3"), NoDevice),
    ],
    wrong: Wrong::Code("10094"),
    refusal: Some("10072"),
    ..XIAOMI
};

/// docs/vendors.md: `failTokens` does not say why, so it is a few tries and then an end.
pub(super) const HONOR: Way = Way {
    name: "honor",
    channel: "honor",
    provider: "honor",
    section: |place| vendor("honor", place, "app_id = '104413000'\nclient_id = 'ClientId'"),
    kinds: &[
        kind("good", Rest, Good, Told),
        kind("dead", Percent(10), Dead, Removed),
        kind("other", Percent(4), Foreign, Buried("unknown")),
        kind("slow", Few(3), Throttled(1), Later),
        kind("odd", Few(5), Code("80100016"), Buried("payload")),
    ],
    wrong: Wrong::Code("80300002"),
    refusal: Some("80100017"),
    ..XIAOMI
};

/// docs/web-push.md: a subscription of another key ends as `no_device`; 429 is this subscription's alone.
pub(super) const WEB_PUSH: Way = Way {
    name: "web push",
    channel: "web_push",
    provider: "web-push",
    platform: "web",
    section: |place| {
        format!(
            "[channel.web_push]\nallow = ['http://{}']\n[channel.web_push.account.shop]\napp = '{APP}'\n\
             subject = 'mailto:push@shop.example'\nkey = '''\n{}'''\n",
            place.address,
            p256(),
        )
    },
    tokens: Tokens::Subscriptions,
    kinds: &[
        kind("good", Rest, Good, Told),
        kind("dead", Percent(10), Dead, Removed),
        kind("other", Percent(4), Foreign, NoDevice),
        kind("slow", Percent(10), Throttled(1), Later),
        kind("odd", Few(5), Code("413"), Buried("payload")),
    ],
    wrong: Wrong::Foreign,
    refusal: Some("429"),
};

/// docs/webhook.md: 401, 403, 404 and 410 are about the address, so their messages wait; each app's hooks wait alone.
pub(super) const WEBHOOK: Way = Way {
    name: "webhook",
    channel: "webhook",
    provider: "webhook",
    platform: "webhook",
    section: |place| {
        let hook = |kind: &Kind| {
            format!(
                "[channel.webhook.hook.{0}]\nurl = 'http://{1}/hook/{0}'\nsecret = 'made-up-secret-of-hooks'\napp = '{2}'\n\
                 private = true\n",
                kind.prefix, place.address, kind.app
            )
        };
        WEBHOOK.kinds.iter().map(hook).collect()
    },
    tokens: Tokens::Hooks,
    kinds: &[
        kind("good", Rest, Good, Told),
        kind("gone", Percent(5), Dead, Parked).of("gone"),
        kind("other", Percent(5), Foreign, Parked).of("other"),
        kind("slow", Percent(5), Throttled(3), Later).of("slow"),
        kind("odd", Percent(2), Code("422"), Buried("payload")),
    ],
    wrong: Wrong::Foreign,
    refusal: Some("429"),
};

/// Messages and access tokens at one place.
fn both(place: &Place) -> String {
    format!("{{ base_url = 'http://{0}', auth_url = 'http://{0}' }}", place.address)
}

fn vendor(name: &str, place: &Place, keys: &str) -> String {
    format!(
        "[channel.{name}]\nendpoint = {}\n[channel.{name}.account.shop]\napp = '{APP}'\nsecret = 'made-up-secret'\n{keys}\n",
        both(place)
    )
}

/// A key pair in PEM (PKCS#8), for this run alone.
fn key(options: &[&str]) -> String {
    let made = Command::new(variable("HOMING_TEST_OPENSSL")).arg("genpkey").args(options).output().unwrap();
    let text = String::from_utf8(made.stdout).unwrap();
    assert!(text.contains("PRIVATE KEY"), "openssl: {}", String::from_utf8_lossy(&made.stderr));
    text
}

fn p256() -> String {
    key(&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"])
}

fn rsa() -> String {
    key(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
}
