//! Where a request may go whose address came from outside: a browser's push subscription is sent in by a user, and nothing
//! keeps the user from writing the address of a server inside our network into it (server-side request forgery).
//!
//! | look | when | what it refuses |
//! |---|---|---|
//! | [`Guard::check`] | before anything is sent | by its form: schemes, names and addresses; hosts that nobody allowed |
//! | [`Checked`] | while connecting | names without a public address |
//!
//! The second look is the resolver of the HTTP client: the address that passed is the one that is connected to, so a name
//! that changes its mind between two questions (DNS rebinding) gains nothing. An address in the URL never meets a
//! resolver, therefore the first look refuses it. The URL parser has read decimal, octal and hexadecimal forms as the
//! address that they mean by then. Clients under the guard follow no redirect and use no proxy.

use std::{
    collections::HashSet,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::{Error, Result};

/// Names that lead nowhere but home (RFC 6761, RFC 6762, RFC 8375, and the one that ICANN reserved in 2024).
const LOCAL: &[&str] = &["localhost", "local", "internal", "home.arpa"];

/// Which hosts may be called.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    named: Vec<Rule>,
    /// Origins that the operator wrote in full, and answers for: their addresses may be private ones.
    origins: HashSet<String>,
    /// The names in `origins`.
    vouched: HashSet<String>,
    public: bool,
}

#[derive(Debug)]
struct Rule {
    name: String,
    /// Every name below it, and not itself.
    below: bool,
    port: u16,
}

/// How an address came to be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Its host is named.
    Named,
    /// Any public host is allowed.
    Stranger,
}

/// Why an address is not called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// No setting but its very origin would make it usable.
    Hostile(String),
    /// Nobody named its host.
    Unlisted(String),
}

// === impl Guard ===

impl Guard {
    /// `own` and `allow` name hosts: `push.example.com`, `*.push.example.com` (those below it), either with a port, or in
    /// full an origin: `https://push.corp.example:8443`, `http://127.0.0.1:9000`. `public` allows every other public host.
    /// `path` names the setting in errors.
    ///
    /// # Errors
    /// An entry is neither; plain HTTP to anything but this machine.
    pub(crate) fn new(own: &[&str], allow: &[String], public: bool, path: &str) -> Result<Self> {
        let mut guard = Self { public, ..Self::default() };
        for entry in own.iter().copied().chain(allow.iter().map(String::as_str)) {
            guard.add(entry).map_err(|problem| Error::setting(path, format!("{entry:?} {problem}")))?;
        }
        Ok(guard)
    }

    fn add(&mut self, entry: &str) -> Result<(), String> {
        let is_origin = entry.contains("://");
        let (below, text) = match entry.strip_prefix("*.") {
            Some(rest) if !is_origin => (true, format!("https://{rest}")),
            _ if is_origin => (false, entry.to_owned()),
            _ => (false, format!("https://{entry}")),
        };
        let url = Url::parse(&text).map_err(|error| format!("is no host and no origin: {error}"))?;
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !bare || !url.username().is_empty() || url.password().is_some() {
            return Err("is more than scheme, host and port".to_owned());
        }
        let port = url.port_or_known_default().unwrap_or_default();
        match (url.scheme(), url.host()) {
            ("https", Some(Host::Domain(name))) if is_origin => {
                self.vouched.insert(name.to_owned());
                self.origins.insert(url.origin().ascii_serialization());
            }
            ("https", Some(Host::Domain(name))) => {
                if !name.contains('.') {
                    return Err(
                        "has no dot: a name of the own network is written as an origin, https://NAME".to_owned()
                    );
                }
                self.named.push(Rule { name: name.to_owned(), below, port });
            }
            ("https", Some(_)) if is_origin => {
                self.origins.insert(url.origin().ascii_serialization());
            }
            ("https", Some(_)) => return Err("is an address: it is written as an origin, https://ADDRESS".to_owned()),
            ("http", Some(host)) => {
                let here = match host {
                    Host::Ipv4(address) => address.is_loopback(),
                    Host::Ipv6(address) => address.is_loopback(),
                    Host::Domain(_) => false,
                };
                if !here || url.port().is_none() {
                    return Err("is plain HTTP, which only goes to this machine: http://127.0.0.1:PORT".to_owned());
                }
                self.origins.insert(url.origin().ascii_serialization());
            }
            _ => return Err("is no host and no origin of https".to_owned()),
        }
        Ok(())
    }

    /// May this address be called? Looks at its form alone.
    ///
    /// # Errors
    /// Says why not.
    pub(crate) fn check(&self, url: &Url) -> Result<Known, Refused> {
        let hostile = |why: &str| Err(Refused::Hostile(why.to_owned()));
        if !matches!(url.scheme(), "https" | "http") {
            return hostile("its scheme is not https");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return hostile("it carries a user or a password");
        }
        if self.origins.contains(&url.origin().ascii_serialization()) {
            return Ok(Known::Named);
        }
        if url.scheme() != "https" {
            return hostile("its scheme is not https");
        }
        let port = url.port_or_known_default().unwrap_or_default();
        match url.host() {
            None => return hostile("it has no host"),
            Some(Host::Ipv4(address)) if !is_public(address.into()) => return hostile("its address is not public"),
            Some(Host::Ipv6(address)) if !is_public(address.into()) => return hostile("its address is not public"),
            Some(Host::Domain(name)) => {
                if self.named.iter().any(|rule| rule.fits(name, port)) {
                    return Ok(Known::Named);
                }
                let name = name.trim_end_matches('.');
                // A vouched name escapes the second look, so it is for its own origin alone.
                if self.vouched.contains(name) {
                    return Err(Refused::Unlisted(format!("{name} is allowed with another port")));
                }
                if !name.contains('.') || LOCAL.iter().any(|local| name == *local || is_below(name, local)) {
                    return hostile("its host is a name of the own network");
                }
            }
            Some(_) => {}
        }
        let host = url.host_str().unwrap_or_default();
        match (self.public, port) {
            (true, 443) => Ok(Known::Stranger),
            (true, _) => Err(Refused::Unlisted(format!("port {port} of {host} is not allowed"))),
            (false, _) => Err(Refused::Unlisted(format!("{host} is not allowed"))),
        }
    }
}

// === impl Rule ===

impl Rule {
    fn fits(&self, name: &str, port: u16) -> bool {
        port == self.port && if self.below { is_below(name, &self.name) } else { name == self.name }
    }
}

fn is_below(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix).and_then(|rest| rest.strip_suffix('.')).is_some_and(|rest| !rest.is_empty())
}

/// May anybody on the Internet be at this address? Everything that IANA registered for a purpose of its own is not (RFC
/// 6890 and the registries of special-purpose addresses), nor is anything that carries an IPv4 address inside: mapped,
/// 6to4, Teredo and NAT64 would lead to where the inner address is.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !matches!(
        (a, b, c),
        // This network, private use, loopback.
        (0 | 10 | 127, _, _)
            // Carriers' own (CGNAT), link-local with the clouds' metadata, private use.
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 168, _)
            // Protocol assignments, documentation, relays of 6to4.
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            // Benchmarks, documentation.
            | (198, 18..=19, _)
            | (198, 51, 100)
            | (203, 0, 113)
            // Multicast, reserved, broadcast.
            | (224..=255, _, _)
    )
}

/// Global unicast is 2000::/3 and nothing else: that leaves out the unspecified address, loopback, mapped addresses, NAT64
/// (64:ff9b::/96 and 64:ff9b:1::/48), discard, unique local, link-local, site-local and multicast.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let special = matches!(
        (a, b),
        // Protocol assignments with Teredo, benchmarks and ORCHID; documentation.
        (0x2001, 0..=0x01ff | 0x0db8)
            // 6to4.
            | (0x2002, _)
            // Documentation.
            | (0x3fff, 0..=0x0fff)
    );
    (0x2000..=0x3fff).contains(&a) && !special
}

/// Asks for the addresses of a name.
pub(crate) trait Names: Send + Sync {
    /// All of them; the port means nothing.
    fn look_up(&self, name: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;
}

/// The machine's resolver.
pub(crate) struct System;

impl Names for System {
    fn look_up(&self, name: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) })
    }
}

/// A resolver that gives away public addresses only; see the module.
pub(crate) struct Checked {
    pub(crate) guard: Arc<Guard>,
    pub(crate) names: Arc<dyn Names>,
}

/// A name has no address that may be called.
#[derive(Debug, thiserror::Error)]
#[error("{0} has no public address")]
struct Private(String);

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_owned();
        let vouched = self.guard.vouched.contains(&name);
        let addresses = self.names.look_up(name.clone());
        Box::pin(async move {
            let mut addresses = addresses.await?;
            // The public ones of a mixture are as good as any other: only what stays is connected to.
            addresses.retain(|address| vouched || is_public(address.ip()));
            if addresses.is_empty() {
                return Err(Private(name).into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Did a call fail because its host has no public address?
pub(crate) fn is_private(error: &reqwest::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.is::<Private>() {
            return true;
        }
        source = cause.source();
    }
    false
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
