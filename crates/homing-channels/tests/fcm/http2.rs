//! Where there is TLS there is HTTP/2: one connection for all calls.

use std::sync::atomic::AtomicU64;

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};

use super::*;

/// The simulated Google behind TLS that offers HTTP/2. Answers its port and counts its connections.
async fn behind_tls(scene: &Scene, connections: Arc<AtomicU64>) -> (u16, String) {
    let made = rcgen::generate_simple_self_signed(["fcm.example.com".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.der().clone(), made.signing_key.serialize_pem());
    let key = PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.into())
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let app = router(Config::of_section(&scene.section("")).unwrap(), Arc::clone(&scene.stand));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, app) = (acceptor.clone(), TowerToHyperService::new(app.clone()));
            let connections = Arc::clone(&connections);
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                connections.fetch_add(1, Ordering::Relaxed);
                let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                server.max_concurrent_streams(100);
                server.serve_connection(TokioIo::new(stream), app).await.ok();
            });
        }
    });
    (port, made.cert.pem())
}

#[tokio::test]
async fn one_connection_carries_everything() {
    let scene = Scene::new().await;
    let connections = Arc::new(AtomicU64::new(0));
    let (port, pem) = behind_tls(&scene, Arc::clone(&connections)).await;
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, pem).unwrap();
    let mut section = section(&format!("https://fcm.example.com:{port}"), &scene.base, &scene.key_file(), "");
    let endpoint = section["endpoint"].as_table_mut().unwrap();
    endpoint.insert("ca_file".to_owned(), ca.to_str().unwrap().into());
    endpoint.insert("resolve".to_owned(), format!("127.0.0.1:{port}").into());
    let channel = scene.channel_of(&section);
    // The access token comes from the plain server, which knows the same account, but lends tokens of its own.
    let answer = send(&channel, "token-1").await;
    assert_eq!(answer.outcome, Outcome::Corrected, "the call arrived over TLS: {}", answer.detail);
    section["endpoint"]
        .as_table_mut()
        .unwrap()
        .insert("auth_url".to_owned(), format!("https://fcm.example.com:{port}").into());
    let channel = scene.channel_of(&section);
    scene.script(json!({"latency_ms": 20}));
    connections.store(0, Ordering::Relaxed);
    let tokens: Vec<String> = (0..500).map(|n| format!("token-{n}")).collect();
    let answers = futures_util::future::join_all(tokens.iter().map(|token| send(&channel, token))).await;
    answers.iter().for_each(assert_delivered);
    assert_eq!((scene.count("deliveries"), connections.load(Ordering::Relaxed)), (500, 1));
    assert!(scene.count("most_at_once") <= 100, "the server's limit of streams is kept");
}
