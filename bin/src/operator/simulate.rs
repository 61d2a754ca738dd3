//! `homing simulate PROVIDER`: strict stand-ins of the providers, each a process of its own, that know the accounts of a
//! configuration.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::{Context as _, bail};
use axum::Router;
use clap::{Args, ValueEnum};
use homing_channels::simulator::{
    App, SimulatorConfig, apns, fcm, hms, serve, stand, stand::Stand, vendor, web_push, webhook,
};
use homing_core::{
    clock::{Clock, SystemClock},
    notification::Environment,
};
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use toml::{Table, Value};

use crate::config::Config;

/// Arguments of `homing simulate`.
#[derive(Args, Debug)]
pub struct Options {
    /// Whom to stand in for.
    provider: Provider,
    /// Configuration file with the accounts; may be given several times, the later wins.
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:7711")]
    listen: SocketAddr,
    /// Of xinge: how many deliveries to remember.
    #[arg(long, default_value_t = 200_000)]
    keep: usize,
    /// Of apns: which of Apple's networks, `prod` or `dev` (the sandbox).
    #[arg(long, default_value = "prod", value_parser = environment)]
    environment: Environment,
    /// Of apns: where the routes under /_sim listen in plain HTTP too.
    #[arg(long, value_name = "ADDRESS")]
    plain: Option<SocketAddr>,
    /// Of apns: the file that its certificate is written to, for `endpoint.ca_file`.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// Providers that there is a stand-in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Provider {
    /// Xinge v2, v3 and TPNS.
    Xinge,
    /// Apple's, over TLS and HTTP/2.
    Apns,
    /// Google's FCM HTTP v1 with its token service.
    Fcm,
    /// Huawei's, v1 and v3, with its token service.
    Hms,
    /// Xiaomi's.
    Xiaomi,
    /// OPPO's.
    Oppo,
    /// vivo's.
    Vivo,
    /// Honor's.
    Honor,
    /// A browser vendor's push service, with browsers that decrypt.
    #[value(alias = "web_push")]
    WebPush,
    /// Services that are told by HTTP.
    Webhook,
}

fn environment(text: &str) -> Result<Environment, String> {
    Environment::parse(text).ok_or_else(|| format!("`{text}` is neither prod nor dev"))
}

/// The Xinge apps that a configuration has accounts for.
pub fn apps(config: &Config) -> Vec<App> {
    config.account.values().map(App::from).collect()
}

/// Serves until SIGINT or SIGTERM. Prints the address first, so that a script can read it.
///
/// # Errors
/// The address cannot be listened on, or an account lacks what the provider would have to know.
pub async fn run(options: &Options) -> anyhow::Result<()> {
    let config = Config::load(&options.config)?;
    let listener = bind(options.listen).await?;
    let name = options.provider.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let scheme = if options.provider == Provider::Apns { "https" } else { "http" };
    println!("{name} simulator listens on {scheme}://{}", listener.local_addr()?);
    let stop = stopped()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let stand = Stand::new(Arc::clone(&clock));
    let empty = Table::new();
    let section = config.channel.get(&name.replace('-', "_")).map_or(&empty, |section| &section.0);
    let router = match options.provider {
        Provider::Xinge => {
            let simulator = SimulatorConfig { keep: options.keep, ..SimulatorConfig::new(apps(&config)) };
            return Ok(serve(listener, simulator, stop).await?);
        }
        Provider::Apns => {
            let accounts = apns::Account::of_section(section).map_err(anyhow::Error::msg)?;
            let mut simulator = apns::Config::new(options.environment, accounts, clock)?;
            simulator.ca_file.clone_from(&options.ca_file);
            if let Some(plain) = options.plain {
                let plain = bind(plain).await?;
                println!("/_sim listens on http://{}", plain.local_addr()?);
                simulator.plain = Some(plain);
            }
            return Ok(apns::serve(listener, simulator, stop).await?);
        }
        Provider::Fcm => {
            let google = fcm::Config::of_section(section).map_err(anyhow::Error::msg)?;
            fcm::router(google, Arc::clone(&stand)).nest("/_sim", stand.routes())
        }
        Provider::Hms => {
            let huawei = hms::Config::of_section(section).map_err(anyhow::Error::msg)?;
            hms::router(huawei, Arc::clone(&stand)).nest("/_sim", stand.routes())
        }
        Provider::Xiaomi => {
            vendor::xiaomi::router(vendor(section, &["package", "secret"], Some(("channel_id", "channels")))?, stand)
        }
        Provider::Oppo => vendor::oppo::router(vendor(section, &["app_key", "secret"], None)?, stand),
        Provider::Vivo => vendor::vivo::router(vendor(section, &["app_id", "app_key", "secret"], None)?, stand),
        Provider::Honor => vendor::honor::router(vendor(section, &["app_id", "client_id", "secret"], None)?, stand),
        Provider::WebPush => web_push::router(web_push::Config::default(), stand),
        Provider::Webhook => hooks(section, stand)?,
    };
    Ok(stand::serve(listener, router, stop).await?)
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

fn stopped() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = term.recv() => {}
        }
    })
}

/// The apps of a vendor's section: the keys that the vendor knows, and one that it knows as a list.
fn vendor<T: DeserializeOwned>(section: &Table, keys: &[&str], listed: Option<(&str, &str)>) -> anyhow::Result<T> {
    let accounts = section.get("account").and_then(Value::as_table).into_iter().flatten();
    let app = |(name, account): (&String, &Value)| {
        let get = |key: &str| account.get(key).cloned().with_context(|| format!("account.{name}.{key} is missing"));
        let mut app = Table::new();
        for key in keys {
            app.insert((*key).to_owned(), get(key)?);
        }
        if let Some((key, list)) = listed {
            app.insert(list.to_owned(), Value::Array(vec![get(key)?]));
        }
        Ok(Value::Table(app))
    };
    let apps = accounts.map(app).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Table::from_iter([("apps".to_owned(), Value::Array(apps))]).try_into()?)
}

/// One receiver for all hooks: they must have one secret.
fn hooks(section: &Table, stand: Arc<Stand>) -> anyhow::Result<Router> {
    let hooks = section.get("hook").and_then(Value::as_table).into_iter().flatten();
    let mut secrets: Vec<&str> = hooks.filter_map(|(_, hook)| hook.get("secret")?.as_str()).collect();
    secrets.dedup();
    match secrets.as_slice() {
        [secret] => Ok(webhook::router(webhook::Config::new(*secret), stand)),
        [] => bail!("the configuration has no [channel.webhook.hook.NAME]"),
        _ => bail!("the hooks have different secrets: the simulator stands in for one receiver"),
    }
}
