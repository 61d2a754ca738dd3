//! Signed tokens (JWS, RFC 7515) as providers ask for: ES256, RS256, PS256.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding,
        RsaKeyPair,
    },
};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};

/// A private key that signs. Its Debug shows nothing of it.
pub(crate) struct Signer {
    key: Key,
    rng: SystemRandom,
}

enum Key {
    Es256(EcdsaKeyPair),
    Rsa(RsaKeyPair, &'static dyn RsaEncoding, &'static str),
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.algorithm())
    }
}

impl Signer {
    /// ECDSA on P-256 (`-----BEGIN PRIVATE KEY-----`, PKCS#8, as Apple's .p8 files).
    ///
    /// # Errors
    /// In words, without the key.
    pub(crate) fn es256(pem: &str) -> Result<Self, String> {
        let rng = SystemRandom::new();
        let der = pkcs8(pem)?;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_der(), &rng)
            .map_err(|error| format!("is no private key on P-256 (PKCS#8): {error}"))?;
        Ok(Self { key: Key::Es256(key), rng })
    }

    /// ECDSA on P-256 from the 32 bytes of the private key and the 65 of its public point.
    ///
    /// # Errors
    /// In words, without the key.
    pub(crate) fn es256_raw(private: &[u8], public: &[u8]) -> Result<Self, String> {
        let rng = SystemRandom::new();
        let key =
            EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, private, public, &rng)
                .map_err(|error| format!("is no private key on P-256: {error}"))?;
        Ok(Self { key: Key::Es256(key), rng })
    }

    /// RSA with PKCS#1 v1.5, as Google's service accounts.
    ///
    /// # Errors
    /// In words, without the key.
    pub(crate) fn rs256(pem: &str) -> Result<Self, String> {
        Ok(Self { key: Key::Rsa(rsa(pem)?, &RSA_PKCS1_SHA256, "RS256"), rng: SystemRandom::new() })
    }

    /// RSA with PSS, as Huawei's service accounts.
    ///
    /// # Errors
    /// In words, without the key.
    pub(crate) fn ps256(pem: &str) -> Result<Self, String> {
        Ok(Self { key: Key::Rsa(rsa(pem)?, &RSA_PSS_SHA256, "PS256"), rng: SystemRandom::new() })
    }

    fn algorithm(&self) -> &'static str {
        match &self.key {
            Key::Es256(_) => "ES256",
            Key::Rsa(_, _, name) => name,
        }
    }

    /// The public point of an ES256 key, uncompressed (65 bytes); of an RSA key its DER.
    pub(crate) fn public(&self) -> &[u8] {
        match &self.key {
            Key::Es256(key) => key.public_key().as_ref(),
            Key::Rsa(key, _, _) => key.public().as_ref(),
        }
    }

    /// `HEADER.CLAIMS.SIGNATURE`; `kid` and other members of the header come from `header`.
    ///
    /// # Errors
    /// The system has no randomness.
    pub(crate) fn sign(&self, header: &[(&str, &str)], claims: &Value) -> Result<String, String> {
        let mut head = json!({ "alg": self.algorithm(), "typ": "JWT" });
        for (name, value) in header {
            head[*name] = (*value).into();
        }
        let mut text = format!("{}.{}", part(&head), part(claims));
        let signature = match &self.key {
            Key::Es256(key) => {
                let signature = key.sign(&self.rng, text.as_bytes()).map_err(|_| "no randomness".to_owned())?;
                URL_SAFE_NO_PAD.encode(signature)
            }
            Key::Rsa(key, encoding, _) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(*encoding, &self.rng, text.as_bytes(), &mut signature)
                    .map_err(|_| "no randomness".to_owned())?;
                URL_SAFE_NO_PAD.encode(signature)
            }
        };
        text.push('.');
        text.push_str(&signature);
        Ok(text)
    }
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn pkcs8(pem: &str) -> Result<PrivateKeyDer<'static>, String> {
    // `ENCRYPTED PRIVATE KEY`, or the older `Proc-Type: 4,ENCRYPTED`.
    if pem.contains("ENCRYPTED") {
        return Err("has a password: `openssl pkcs8 -topk8 -nocrypt` takes it off".to_owned());
    }
    let der = PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| "is no private key in PEM (-----BEGIN PRIVATE KEY-----)".to_owned())?;
    match der {
        PrivateKeyDer::Pkcs8(_) => Ok(der),
        _ => Err("is not in PKCS#8: `openssl pkcs8 -topk8 -nocrypt` converts it".to_owned()),
    }
}

fn rsa(pem: &str) -> Result<RsaKeyPair, String> {
    RsaKeyPair::from_pkcs8(pkcs8(pem)?.secret_der()).map_err(|error| format!("is no RSA key (PKCS#8): {error}"))
}
