//! Settings that cannot work are refused with the key's name.

use super::*;

#[track_caller]
fn refused(vendor: &str, text: &str, says: &str) {
    let error = match try_build(vendor, text, Hand::at(NOW)) {
        Ok(_) => panic!("{vendor} took {text}"),
        Err(error) => error.to_string(),
    };
    assert!(error.contains(says), "{vendor}: {error}, not {says}");
    assert!(!error.contains("s3cret-of-higo"), "{error}");
}

#[test]
fn what_is_missing_or_strange_is_named() {
    let here: SocketAddr = ([127, 0, 0, 1], 9).into();
    for vendor in VENDORS {
        let whole = |top: &str, more: &str| section(vendor, here, top, more);
        assert!(try_build(vendor, &whole("", ""), Hand::at(NOW)).is_ok(), "{vendor}");
        assert!(try_build(vendor, "", Hand::at(NOW)).is_ok(), "{vendor}: no accounts yet");
        refused(vendor, &whole("page = 0", ""), &format!("channel.{vendor}.page: 0 is not within 1 to 1000"));
        refused(vendor, &whole("page = 1001", ""), "is not within 1 to 1000");
        refused(vendor, &whole("pages = 1", ""), "unknown field `pages`");
        refused(vendor, &whole("codes = '/nowhere'", ""), &format!("channel.{vendor}.codes"));
        refused(vendor, &whole("", "colour = 1"), &format!("channel.{vendor}.account.higo"));
        refused(
            vendor,
            &whole("", "region = 'moon'"),
            &format!("channel.{vendor}.account.higo.region: is none of china"),
        );
        refused(
            vendor,
            &whole("", "categories = { order = 1 }"),
            &format!("channel.{vendor}.account.higo.categories.order"),
        );
        refused(vendor, &whole("", "").replace("'s3cret-of-higo'", "' '"), "higo.secret: is empty");
        let twice = whole("", "") + &format!("[account.again]\napp = 'higo'\nsecret = 's'\n{}\n", account(vendor));
        refused(vendor, &twice, "is for the same app and environment");
        let apart = twice.replacen("app = 'higo'\nsecret", "app = 'higo'\nenvironment = 'dev'\nsecret", 1);
        assert!(try_build(vendor, &apart, Hand::at(NOW)).is_ok(), "{vendor}: another environment");
    }
    refused(
        "xiaomi",
        &section("xiaomi", here, "", "").replace("channel_id = 'orders'", ""),
        "higo.channel_id: is missing",
    );
    refused("oppo", &section("oppo", here, "", "package = 'com.higo'"), "higo.package: oppo has no such thing");
    refused("vivo", &section("vivo", here, "", "").replace("app_key = 'key-1'", ""), "higo.app_key: is missing");
    refused(
        "honor",
        &section("honor", here, "", "").replace("client_id = 'client-1'", ""),
        "higo.client_id: is missing",
    );
}
