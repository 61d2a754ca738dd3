//! Certificate mode: the connection says who we are.

use std::sync::Arc;

use homing_channels::simulator::apns::{Account, Config, Who};
use homing_core::{
    channel::{Channel, Health, Outcome},
    clock::SystemClock,
    notification::Environment,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::json;

use super::bench::*;

/// Certificate and key in PEM.
fn certificate(name: &str) -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    // NOW is in April 2026.
    params.not_after = rcgen::date_time_ymd(2026, 12, 1);
    format!("{}{}", params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn registered(pem: &str, environment: Environment) -> Account {
    let who = Who::Certificate { pem: pem.to_owned().into() };
    Account { who, topics: vec!["com.higo".into()], environments: vec![environment] }
}

#[tokio::test]
async fn a_registered_certificate_pushes_and_others_are_refused() {
    setup();
    let (clock, folder) = (Hand::at(NOW), tempfile::TempDir::new().unwrap());
    let (ours, sandbox, unknown) = (certificate("com.higo"), certificate("com.higo"), certificate("com.higo"));
    let accounts = vec![registered(&ours, Environment::Production), registered(&sandbox, Environment::Development)];
    let config = Config::new(Environment::Production, accounts, clock.clone()).unwrap();
    let simulator = Running::start(config).await;
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, simulator.authority.pem()).unwrap();
    let channel_with = |pem: &str| {
        channel(
            &table(json!({ "endpoint": { "base_url": simulator.base_url(), "ca_file": ca },
                "account": { "higo": { "app": "higo", "topic": "com.higo", "certificate": pem } } })),
            clock.clone(),
        )
    };
    let good = channel_with(&ours);
    let all: Vec<String> = (0..100).map(|number| token("aa", number)).collect();
    assert!(send_all(&good, &all, 100).await.iter().all(is_delivered));
    assert_eq!((simulator.count("connections"), simulator.count("early_streams")), (1, 0));
    let seen = good.examine().await;
    assert_eq!((seen[0].health, seen[0].expires_at), (Health::Good, Some(1_796_083_200_000)), "{}", seen[0].detail);
    for (pem, reason) in [(&unknown, "BadCertificate "), (&sandbox, "BadCertificateEnvironment")] {
        let channel = channel_with(pem);
        let answer = send(&channel, &token("aa", 1)).await;
        assert_eq!(answer.outcome, Outcome::Config);
        assert!(answer.detail.contains(reason), "{}", answer.detail);
        assert_eq!(channel.examine().await[0].health, Health::Refused);
    }
    assert!(!format!("{good:?}").contains(ours.lines().nth(1).unwrap()));
    clock.set(1_796_083_200_000 - 10 * 86_400_000);
    let seen = good.examine().await;
    assert_eq!(seen[0].health, Health::Doubtful);
    assert!(seen[0].detail.contains("expires in 10 days"), "{}", seen[0].detail);
}

/// A server that refuses the certificate itself says so by a TLS alert, under TLS 1.3 after the handshake.
#[tokio::test]
async fn a_certificate_that_tls_refuses_is_a_matter_of_configuration() {
    setup();
    let (folder, ours, theirs) = (tempfile::TempDir::new().unwrap(), certificate("com.higo"), certificate("localhost"));
    let chain = vec![CertificateDer::from_pem_slice(theirs.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(theirs.as_bytes()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(chain[0].clone()).unwrap();
    let verifier = rustls::server::WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let server = rustls::ServerConfig::builder().with_client_cert_verifier(verifier).with_single_cert(chain, key);
    let mut server = server.unwrap();
    server.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            assert!(acceptor.accept(stream).await.is_err());
        }
    });
    std::fs::write(folder.path().join("ca.pem"), &theirs).unwrap();
    let channel = channel(
        &table(json!({ "endpoint": { "base_url": base_url, "ca_file": folder.path().join("ca.pem") },
            "account": { "higo": { "app": "higo", "topic": "com.higo", "certificate": ours } } })),
        Arc::new(SystemClock::default()),
    );
    let answer = send(&channel, &token("aa", 1)).await;
    assert_eq!(answer.outcome, Outcome::Config, "{}", answer.detail);
    assert!(answer.detail.contains("fatal alert"), "{}", answer.detail);
    assert_eq!(channel.examine().await[0].health, Health::Refused);
}
