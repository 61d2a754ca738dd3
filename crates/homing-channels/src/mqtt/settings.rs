//! `[channel.mqtt]`: one broker for all apps, and `[channel.mqtt.account.KEY]` for the broker of one app.

use std::{path::PathBuf, sync::Arc, time::Duration};

use ring::rand::{SecureRandom, SystemRandom};
use rumqttc::{MqttOptions, TlsConfiguration, Transport};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use super::topic;
use crate::{Error, Result};

/// What goes into the payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// The custom fields alone, as JSON.
    #[default]
    Data,
    /// `{id, key, type, title, body, data}`, as JSON; `data` = the custom fields.
    Notification,
}

/// A broker, and how it is spoken to.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Broker {
    /// The app whose messages go there; accounts have one.
    pub app: Option<String>,
    /// `mqtt://[USER[:PASSWORD]@]HOST[:1883]` or `mqtts://...[:8883]`.
    pub url: SecretString,
    /// In place of the one in `url`.
    pub username: Option<String>,
    /// In place of the one in `url`.
    pub password: Option<SecretString>,
    /// First levels of every topic.
    #[serde(default)]
    pub prefix: String,
    /// Connections that publish. A topic is always published by the same one.
    #[serde(default = "two")]
    pub connections: usize,
    /// Quality of service. Only 1: 0 has no acknowledgement, and 2 gives a push nothing but two more round trips.
    #[serde(default = "one")]
    pub qos: u8,
    /// Messages that wait for their PUBACK, per connection.
    #[serde(default = "inflight")]
    pub inflight: u16,
    /// Certificates (PEM) that are trusted, in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// See [`Form`].
    #[serde(default)]
    pub payload: Form,
    /// Largest payload in bytes.
    #[serde(default = "payload_max")]
    pub payload_max: usize,
    /// Longest wait for a connection.
    #[serde(default = "connect_timeout")]
    pub connect_timeout_ms: u64,
    /// Longest wait for a PUBACK.
    #[serde(default = "request_timeout")]
    pub request_timeout_ms: u64,
    /// After so much silence the connection is tried with a PINGREQ; whole seconds.
    #[serde(default = "keep_alive")]
    pub keep_alive_ms: u64,
}

fn one() -> u8 {
    1
}

fn two() -> usize {
    2
}

fn inflight() -> u16 {
    500
}

fn payload_max() -> usize {
    256 << 10
}

fn connect_timeout() -> u64 {
    5_000
}

fn request_timeout() -> u64 {
    10_000
}

fn keep_alive() -> u64 {
    30_000
}

/// Room for a topic and a packet's head beside the payload.
const HEAD: usize = 4 << 10;

/// How another part of the process reaches a broker of the configuration: with a connection of its own.
#[derive(Clone)]
pub struct Link {
    /// Address, credentials, keep-alive and a client id that nobody else has.
    pub options: MqttOptions,
    /// First levels of every topic.
    pub prefix: String,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// `host:port`, for logs.
    pub address: String,
}

/// A broker, checked.
pub(super) struct Party {
    /// Where it stands: `channel.mqtt.account.higo`.
    pub(super) path: String,
    pub(super) broker: Broker,
    pub(super) address: String,
    options: MqttOptions,
}

// === impl Party ===

impl Party {
    /// Checks the settings that stand at `path`; opens nothing yet.
    pub(super) fn new(path: &str, broker: Broker) -> Result<Self> {
        let wrong = |key: &str, problem: String| Error::setting(format!("{path}.{key}"), problem);
        if !broker.prefix.is_empty() {
            topic::check(&broker.prefix).map_err(|what| wrong("prefix", format!("no topic may have {what}")))?;
        }
        let within = |key: &str, value: u64, from: u64, to: u64| match value {
            value if (from..=to).contains(&value) => Ok(()),
            value => Err(wrong(key, format!("{value} is not within {from} to {to}"))),
        };
        within("connections", broker.connections as u64, 1, 64)?;
        within("inflight", broker.inflight.into(), 1, 10_000)?;
        within("payload_max", broker.payload_max as u64, 64, 16 << 20)?;
        within("connect_timeout_ms", broker.connect_timeout_ms, 1, 600_000)?;
        within("request_timeout_ms", broker.request_timeout_ms, 1, 600_000)?;
        within("keep_alive_ms", broker.keep_alive_ms, 5_000, 3_600_000)?;
        if broker.qos != 1 {
            return Err(wrong(
                "qos",
                format!("{} is not 1, the one at which a broker says that it took over", broker.qos),
            ));
        }
        let (options, address) = options(&broker, &wrong)?;
        Ok(Self { path: path.to_owned(), broker, address, options })
    }

    /// What one connection is opened with: its client id is its own.
    pub(super) fn link(&self) -> Result<Link> {
        let mut options = self.options.clone();
        let id = client_id(&self.broker.prefix).map_err(|problem| Error::setting(&self.path, problem))?;
        options.try_set_client_id(id).map_err(|error| Error::setting(&self.path, format!("no client id: {error}")))?;
        let (prefix, address) = (self.broker.prefix.clone(), self.address.clone());
        Ok(Link { options, prefix, connect_timeout: Duration::from_millis(self.broker.connect_timeout_ms), address })
    }
}

fn options(broker: &Broker, wrong: &impl Fn(&str, String) -> Error) -> Result<(MqttOptions, String)> {
    // The address may hold a password, so it is not repeated.
    let bad = |what: &str| wrong("url", format!("{what}: expected mqtt://[USER:PASSWORD@]HOST[:PORT] or mqtts://..."));
    let url = Url::parse(broker.url.expose_secret()).map_err(|error| bad(&error.to_string()))?;
    let tls = match url.scheme() {
        "mqtt" => false,
        "mqtts" => true,
        _ => return Err(bad("another scheme")),
    };
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| bad("no host"))?;
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err(bad("something follows the host"));
    }
    let port = url.port().unwrap_or(if tls { 8883 } else { 1883 });
    let mut options = MqttOptions::new("homing", (host, port));
    let username = match &broker.username {
        Some(name) => name.clone(),
        None => unescaped(url.username()).ok_or_else(|| bad("the user's name"))?,
    };
    let password = match (&broker.password, url.password()) {
        (Some(password), _) => Some(password.clone()),
        (None, Some(password)) => Some(SecretString::from(unescaped(password).ok_or_else(|| bad("the password"))?)),
        (None, None) => None,
    };
    match (username.is_empty(), password) {
        (true, None) => {}
        (true, Some(_)) => return Err(wrong("username", "is missing: MQTT has no password without a name".to_owned())),
        (false, None) => drop(options.set_username(username)),
        (false, Some(password)) => drop(options.set_credentials(username, password.expose_secret().to_owned())),
    }
    if tls {
        options.set_transport(Transport::tls_with_config(trust(broker, wrong)?));
    } else if broker.ca_file.is_some() {
        return Err(wrong("ca_file", "is only for mqtts://".to_owned()));
    }
    let seconds = broker.keep_alive_ms.div_ceil(1_000);
    options
        .set_keep_alive(u16::try_from(seconds).unwrap_or(u16::MAX))
        .set_max_packet_size(HEAD, broker.payload_max + HEAD)
        .set_max_request_batch(64)
        .try_set_inflight(broker.inflight)
        .map_err(|error| wrong("inflight", error.to_string()))?;
    Ok((options, format!("{host}:{port}")))
}

/// The certificates that the broker's must come from.
fn trust(broker: &Broker, wrong: &impl Fn(&str, String) -> Error) -> Result<TlsConfiguration> {
    let Some(path) = &broker.ca_file else {
        return TlsConfiguration::try_default_rustls().map_err(|error| {
            wrong("url", format!("the system's certificates cannot be used: {error}; name a ca_file"))
        });
    };
    let bad = |problem: String| wrong("ca_file", format!("{}: {problem}", path.display()));
    let pem = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| bad(error.to_string()))?;
        roots.add(certificate).map_err(|error| bad(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(bad("holds no certificate".to_owned()));
    }
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        return Err(Error::NoTls);
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConfiguration::Rustls(Arc::new(config)))
}

/// `PREFIX_RANDOM`, within the 23 characters that every broker takes (MQTT 3.1.1, 3.1.3.1).
fn client_id(prefix: &str) -> Result<String, String> {
    let mut random = [0_u8; 6];
    SystemRandom::new().fill(&mut random).map_err(|_| "the system has no random numbers".to_owned())?;
    let name: String = prefix.chars().filter(char::is_ascii_alphanumeric).take(10).collect();
    let random = random.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    Ok(format!("{}_{random:012x}", if name.is_empty() { "homing" } else { &name }))
}

/// What `%40` stands for in an address; `None` where it is no text.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'%' => {
                let pair = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(plain).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use rumqttc::ConnectAuth;

    use super::*;

    fn party(text: &str) -> Result<Party> {
        Party::new("channel.mqtt", toml::from_str(text).unwrap())
    }

    #[track_caller]
    fn refused(text: &str, expected: &str) {
        assert_eq!(party(text).err().unwrap().to_string(), expected);
    }

    #[test]
    fn an_address_holds_name_and_password() {
        let party = party("url = 'mqtt://shop:p%40ss%2Fw@broker:2883'\nprefix = 'im'").unwrap();
        let Link { options, address, .. } = party.link().unwrap();
        assert_eq!(address, "broker:2883");
        let ConnectAuth::UsernamePassword { username, password } = options.auth() else { panic!("no password") };
        assert_eq!((username.as_str(), password.as_ref()), ("shop", &b"p@ss/w"[..]));
        let id = options.client_id();
        assert!(id.starts_with("im_") && id.len() == 15, "{id}");
        assert_ne!(id, party.link().unwrap().options.client_id());
        assert!(!format!("{:?}", party.broker).contains("ss%2Fw"));
    }

    #[test]
    fn keys_of_their_own_go_before_the_address() {
        let party = party("url = 'mqtt://a:b@h'\nusername = 'c'\npassword = 'd'").unwrap();
        let ConnectAuth::UsernamePassword { username, password } = party.options.auth() else { panic!("no password") };
        assert_eq!((username.as_str(), password.as_ref()), ("c", &b"d"[..]));
        assert_eq!(party.address, "h:1883");
    }

    #[test]
    fn what_cannot_work_is_named_without_the_password() {
        let form = "expected mqtt://[USER:PASSWORD@]HOST[:PORT] or mqtts://...";
        refused("url = 'http://a:secret@h'", &format!("channel.mqtt.url: another scheme: {form}"));
        refused("url = 'mqtt://h/path'", &format!("channel.mqtt.url: something follows the host: {form}"));
        refused(
            "url = 'mqtt://h'\nprefix = 'a/+'",
            "channel.mqtt.prefix: no topic may have a + in it, which only a subscriber may write",
        );
        refused(
            "url = 'mqtt://h'\nqos = 0",
            "channel.mqtt.qos: 0 is not 1, the one at which a broker says that it took over",
        );
        refused("url = 'mqtt://h'\nconnections = 0", "channel.mqtt.connections: 0 is not within 1 to 64");
        refused("url = 'mqtt://h'\nca_file = '/x'", "channel.mqtt.ca_file: is only for mqtts://");
        refused(
            "url = 'mqtt://h'\npassword = 'x'",
            "channel.mqtt.username: is missing: MQTT has no password without a name",
        );
        let error = party("url = 'mqtts://h'\nca_file = '/nowhere/ca.pem'").err().unwrap().to_string();
        assert!(error.starts_with("channel.mqtt.ca_file: /nowhere/ca.pem: "), "{error}");
    }
}
