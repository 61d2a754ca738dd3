//! Whom we trust, and in certificate mode who we are.

use std::sync::Arc;

use rustls::{
    ClientConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use rustls_platform_verifier::Verifier;

use crate::{Endpoint, Error, Result};

/// What to do with a private key that cannot be read. (`openssl pkey` asks for the password.)
const DECRYPT: &str =
    "write it without: `openssl x509 -in apns.pem -out plain.pem; openssl pkey -in apns.pem >> plain.pem`";

/// A certificate with its chain and key. Has no Debug.
pub(crate) struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    /// When the certificate ends, in milliseconds since 1970.
    pub(crate) expires_at: Option<i64>,
}

impl Identity {
    /// From PEM. Errors are in words, without the key.
    pub(crate) fn from_pem(pem: &str) -> Result<Self, String> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| format!("cannot be read as PEM: {error}"))?;
        let Some(first) = chain.first() else {
            return Err("holds no certificate in PEM (-----BEGIN CERTIFICATE-----)".to_owned());
        };
        // `ENCRYPTED PRIVATE KEY`, or the older `Proc-Type: 4,ENCRYPTED`.
        if pem.contains("ENCRYPTED") {
            return Err(format!("has a private key with a password; {DECRYPT}"));
        }
        let (_, parsed) = x509_parser::parse_x509_certificate(first)
            .map_err(|error| format!("holds a certificate that cannot be read: {error}"))?;
        let expires_at = parsed.validity().not_after.timestamp().checked_mul(1000);
        let key = match PrivateKeyDer::from_pem_slice(pem.as_bytes()) {
            Ok(key @ PrivateKeyDer::Pkcs8(_)) => key,
            Ok(_) => return Err(format!("has a private key that is not in PKCS#8; {DECRYPT}")),
            Err(_) => return Err(format!("has no private key in PEM (-----BEGIN PRIVATE KEY-----); {DECRYPT}")),
        };
        Ok(Self { chain, key, expires_at })
    }

    /// The certificate itself, to tell one from another.
    pub(crate) fn leaf(&self) -> &[u8] {
        self.chain.first().map(CertificateDer::as_ref).unwrap_or_default()
    }
}

/// `section` names `endpoint` in errors, `path` the certificate.
pub(crate) fn client(
    endpoint: &Endpoint,
    section: &str,
    identity: Option<(&Identity, &str)>,
) -> Result<Arc<ClientConfig>> {
    let provider = CryptoProvider::get_default().ok_or(Error::NoTls)?;
    let mut extra = Vec::new();
    if let Some(file) = &endpoint.ca_file {
        let wrong = |problem: String| Error::setting(format!("{section}.ca_file"), problem);
        let pem = std::fs::read(file).map_err(|error| wrong(format!("{}: {error}", file.display())))?;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            extra.push(certificate.map_err(|error| wrong(format!("{}: {error}", file.display())))?);
        }
        if extra.is_empty() {
            return Err(wrong(format!("{} holds no certificate", file.display())));
        }
    }
    let wrong = |error: rustls::Error| Error::setting(section, format!("TLS cannot be set up: {error}"));
    let verifier = Verifier::new_with_extra_roots(extra, Arc::clone(provider)).map_err(wrong)?;
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(wrong)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((identity, path)) => builder
            .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
            .map_err(|error| Error::setting(path, format!("certificate and key do not go together: {error}")))?,
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[track_caller]
    fn refused(pem: &str, expected: &str) {
        let Err(problem) = Identity::from_pem(pem) else { panic!("it was taken") };
        assert!(problem.contains(expected), "{problem}");
    }

    #[test]
    fn a_certificate_needs_a_plain_key_and_says_how_to_get_one() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["com.higo".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2031, 2, 3);
        let certificate = params.self_signed(&key).unwrap().pem();
        let whole = format!("{certificate}{}", key.serialize_pem());
        let identity = Identity::from_pem(&whole).unwrap();
        assert_eq!(identity.expires_at, Some(1_927_843_200_000));
        refused(&certificate, "has no private key");
        refused(&key.serialize_pem(), "holds no certificate");
        refused(
            &format!("{certificate}-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"),
            "openssl pkey",
        );
        refused(
            &format!("{certificate}-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n"),
            "not in PKCS#8; write it without: `openssl",
        );
    }
}
