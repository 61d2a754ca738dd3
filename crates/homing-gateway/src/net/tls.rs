//! The server's side of TLS, from PEM text. rustls with ring; HTTP/1.1 is all that is offered.

use std::sync::Arc;

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// What a listener needs for TLS.
///
/// # Errors
/// The texts are no certificates or no key, or do not fit each other. The message holds nothing of the key.
pub(crate) fn server(certificate: &str, key: &str) -> Result<Arc<ServerConfig>, String> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificate.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| format!("certificate: no PEM: {error}"))?;
    if chain.is_empty() {
        return Err("certificate: there is none in it".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| "key: no private key in PEM".to_owned())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| format!("key: does not fit the certificate: {error}"))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Thousands of idle connections: no session tickets to keep, the buffers are what they hold.
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}
