//! `[gateway.hub.tls]`: sockets, calls and foreign clients over TLS, on the port where they are without it otherwise.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{
    calls::Calls,
    listener::Listener,
    raw::Raw,
    site::{Plan, SECRET, Site},
    tab::token,
};

/// A certificate authority and a certificate for localhost with its key, all PEM.
fn certificates() -> (String, String, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    // OpenSSL takes a certificate with its issuer's name for a self-signed one.
    params.distinguished_name.push(DnType::CommonName, "authority of the gateway tests");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    (ca.pem(), certificate.pem(), key.serialize_pem())
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_calls_and_foreign_clients_are_served_over_tls() {
    let mut calls = Calls::new();
    let (ca, certificate, key) = certificates();
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("ca.pem", &ca), ("certificate.pem", &certificate), ("key.pem", &key)] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let more = |_| {
        let folder = folder.path().display();
        format!(
            "[gateway.hub.tls]\ncertificate_file = '{folder}/certificate.pem'\nkey_file = '{folder}/key.pem'\n\
             [gateway.plain]\nrpc = true\n"
        )
    };
    let site = Site::plan(Plan { nodes: 2, more: Some(&more), ..Plan::default() }).await;
    let url = |node: usize| format!("https://localhost:{}", site.port(node));

    // wss, by rustls.
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
    let trusting = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(trusting));
    let mut sockets = Vec::new();
    for node in 0..2 {
        let stream = TcpStream::connect(("127.0.0.1", site.port(node))).await.unwrap();
        let stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
        let wss = format!("wss://localhost:{}/ws?token={}", site.port(node), token("42"));
        let mut socket = Raw::over(stream, &wss, &[]).await.unwrap();
        assert_eq!(socket.hear().await["data"]["user"], "42");
        sockets.push(socket);
    }

    // socket.io-client and python-socketio's bytes are others': by WebSocket, by polling, and from one to the other.
    let node = url(1);
    let kinds = ["websocket", "upgrade", "polling"].map(|kind| (kind, &*node));
    let trust = [("NODE_EXTRA_CA_CERTS", folder.path().join("ca.pem"))];
    let people = json!({"42": ["/"], "43": ["/"]});
    let mut foreign = Listener::node_with(site.dir.path(), 4, SECRET, &kinds, Some(&people), &trust);
    foreign.until("connected", |l| l.ready.len() == 6).await;

    // https /rpc, by another HTTP client; what is large takes many records.
    let root = reqwest::Certificate::from_pem(ca.as_bytes()).unwrap();
    calls.http = reqwest::Client::builder().no_proxy().tls_certs_merge([root]).build().unwrap();
    let text = "长".repeat(20_000);
    for (n, data) in [json!("short"), json!(text)].into_iter().enumerate() {
        let params = json!({"user": "42", "type": "n", "id": format!("m-{n}"), "data": data});
        assert_eq!(calls.call(&url(n), "push.user", params).await["fresh"], true);
        for socket in &mut sockets {
            let frame = socket.hear().await;
            assert_eq!((&frame["id"], &frame["data"]), (&json!(format!("m-{n}")), &data));
        }
    }
    foreign.until("both", |l| l.heard.len() >= 6).await;
    assert!(foreign.heard.iter().all(|one| one.user == "42" && one.event == "n"), "{:?}", foreign.heard);
    let sent: Vec<String> = (0..6_000).map(|n| n.to_string()).collect();
    let question = json!({"jsonrpc": "2.0", "id": sent.concat(), "method": "presence.get"}).to_string();
    sockets[0].say(&question).await;
    let answer: Value = sockets[0].hear().await;
    assert_eq!((&answer["id"], &answer["result"]["sessions"]), (&json!(sent.concat()), &json!(5)), "{answer}");

    // Without TLS there is nothing to be had, and a client that does not trust the authority goes.
    let plain = calls.http.get(format!("{}/healthz", site.http(0))).send().await;
    assert!(plain.is_err() || !plain.unwrap().status().is_success());
    let strange = ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", site.port(0))).await.unwrap();
    let refused =
        TlsConnector::from(Arc::new(strange)).connect(ServerName::try_from("localhost").unwrap(), stream).await;
    assert!(refused.is_err());
    let healthz = calls.http.get(format!("{}/healthz", url(0))).send().await.unwrap();
    assert_eq!((healthz.status().as_u16(), &*healthz.text().await.unwrap()), (200, "ok\n"));
    println!("wss by rustls to 2 nodes, socket.io-client 4 by 3 transports, https /rpc: {} messages each once", 2);
}
