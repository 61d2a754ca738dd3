use super::*;

fn flavoured(flavour: &str, more: &str) -> Result<Account, toml::de::Error> {
    toml::from_str(&format!("flavour = \"{flavour}\"\napp = \"higo\"\nsecret = \"made-up-key\"\n{more}"))
}

fn account(more: &str) -> Result<Account, toml::de::Error> {
    flavoured("v2", more)
}

#[test]
fn defaults_are_the_services() {
    let android = account("platform = \"android\"\naccess_id = \"2100012345\"").unwrap();
    android.validate().unwrap();
    let (url, host) = android.endpoint("/v2/push/single_device").unwrap();
    assert_eq!(url.as_str(), "http://openapi.xg.qq.com/v2/push/single_device");
    assert_eq!(host, "openapi.xg.qq.com");
    assert_eq!((android.access_id.as_str(), android.environment_code(), android.valid_time), ("2100012345", 0, None));
    let ios = account("platform = \"iphone\"\naccess_id = 2200012345").unwrap();
    assert_eq!((ios.environment_code(), ios.label().as_str()), (1, "higo/ios"));
    for development in ["dev", "development"] {
        let more = format!("platform = \"ios\"\naccess_id = 2200012345\nenvironment = \"{development}\"");
        let ios = account(&more).unwrap();
        assert_eq!((ios.environment_code(), ios.label().as_str()), (2, "higo/ios/dev"));
    }
}

#[test]
fn each_flavour_has_its_address_its_ids_and_its_proof() {
    let v3 = flavoured("v3", "platform = \"android\"\naccess_id = \"a1b2c3d4e5f60\"").unwrap();
    v3.validate().unwrap();
    assert_eq!(v3.endpoint("/v3/push/app").unwrap().0.as_str(), "https://openapi.xg.qq.com/v3/push/app");
    assert_eq!(v3.proof(), Auth::Basic);
    let tpns = flavoured("tpns", "platform = \"ios\"\naccess_id = 1600012345").unwrap();
    tpns.validate().unwrap();
    assert_eq!(tpns.endpoint("/v3/push/app").unwrap().0.as_str(), "https://api.tpns.tencent.com/v3/push/app");
    assert_eq!(tpns.proof(), Auth::Hmac);
    let basic = flavoured("tpns", "platform = \"ios\"\naccess_id = \"1600012345\"\nauth = \"basic\"").unwrap();
    assert_eq!(basic.proof(), Auth::Basic);
}

#[test]
fn the_signed_host_has_no_port() {
    let base = account("platform = \"android\"\naccess_id = 1\nbase_url = \"http://127.0.0.1:8080/\"").unwrap();
    let (url, host) = base.endpoint("/v2/x").unwrap();
    assert_eq!((url.as_str(), host.as_str()), ("http://127.0.0.1:8080/v2/x", "127.0.0.1"));
    let named = Account { sign_host: Some("openapi.xg.qq.com".to_owned()), ..base };
    assert_eq!(named.endpoint("/").unwrap().1, "openapi.xg.qq.com");
}

#[track_caller]
fn refused(flavour: &str, more: &str, expected: &str) {
    let message = match flavoured(flavour, more) {
        Ok(account) => account.validate().unwrap_err().to_string(),
        Err(error) => error.to_string(),
    };
    assert!(message.contains(expected), "{message}");
    assert!(!message.contains("made-up-key"), "{message}");
}

#[test]
fn bad_accounts_are_refused_by_name() {
    let v2 = |more, expected| refused("v2", more, expected);
    v2("platform = \"android\"\naccess_id = 2200012345", "higo/android: access_id 2200012345 belongs to iOS");
    v2("platform = \"ios\"\naccess_id = 2100012345", "higo/ios: access_id 2100012345 belongs to Android");
    v2("platform = \"ios\"\naccess_id = \"21x\"", "access_id `21x` is not a whole number");
    v2("platform = \"ios\"\naccess_id = \"\"", "whole number");
    v2("platform = \"ios\"\naccess_id = -1", "whole number or a text");
    v2("platform = \"android\"\naccess_id = 1\nbase_url = \"ftp://a\"", "http://");
    v2("platform = \"android\"\naccess_id = 1\nbase_url = \"http://u:p@a\"", "may only hold");
    v2("platform = \"android\"\naccess_id = 1\nsign_host = \"a b\"", "sign_host");
    v2("platform = \"android\"\naccess_id = 1\nvalid_time = 601", "valid_time");
    v2("platform = \"android\"\naccess_id = 1\nkey = 2", "unknown field");
    v2("platform = \"android\"\naccess_id = 1\nauth = \"basic\"", "auth is for tpns only");
    v2("platform = \"android\"\naccess_id = 1\nenvironment = \"test\"", "unknown variant");
    refused("v3", "platform = \"android\"\naccess_id = \"a:b\"", "app id of letters and digits");
    refused("v3", "platform = \"android\"\naccess_id = \"a1\"\nauth = \"hmac\"", "v3 knows basic alone");
    refused("v3", "platform = \"android\"\naccess_id = \"a1\"\nvalid_time = 5", "valid_time is for v2 only");
    refused("tpns", "platform = \"android\"\naccess_id = 1600012345", "access_id 1600012345 belongs to iOS");
    refused("tpns", "platform = \"ios\"\naccess_id = 1500012345", "access_id 1500012345 belongs to Android");
    refused("tpns", "platform = \"ios\"\naccess_id = \"a1\"", "not a whole number");
    refused("tpns", "platform = \"ios\"\naccess_id = 1600012345\nauth = \"none\"", "unknown variant");
    refused("v4", "platform = \"ios\"\naccess_id = 1", "unknown variant");
}

#[test]
fn debug_hides_the_secret() {
    let account = account("platform = \"android\"\naccess_id = 1").unwrap();
    assert!(!format!("{account:?}").contains("made-up-key"));
}
