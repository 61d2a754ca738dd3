//! Keys, and what they verify. Signatures are checked by ring; PEM and key sets are read by jsonwebtoken.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use homing_core::live::MAX_NAME;
use jsonwebtoken::{
    AlgorithmFamily, DecodingKey, DecodingKeyKind,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use ring::{
    hmac,
    signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm},
};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::settings::{Algorithm, KeySettings};

/// Below this a DER key of RSA has fewer than the 2,048 bits that are asked (RFC 7518, section 3.3).
const SHORTEST_RSA: usize = 256;
/// Most keys of a key set that are kept.
const MOST: usize = 100;

/// A key and what it is for.
pub(super) struct Key {
    /// What tokens name it by.
    pub(super) id: Option<String>,
    /// More than one only for an RSA key of a key set that does not say which.
    algorithms: Vec<Algorithm>,
    material: Material,
}

enum Material {
    Secret(hmac::Key),
    /// DER of RSA, a point of a curve, or 32 bytes of Ed25519.
    Public(Vec<u8>),
    /// An RSA key as its numbers, without zeros in front.
    Numbers {
        n: Vec<u8>,
        e: Vec<u8>,
    },
}

// === impl Algorithm ===

impl Algorithm {
    const RSA: [Self; 6] = [Self::RS256, Self::RS384, Self::RS512, Self::PS256, Self::PS384, Self::PS512];

    /// By the name in a token's header; `none` has no entry.
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "HS256" => Self::HS256,
            "HS384" => Self::HS384,
            "HS512" => Self::HS512,
            "RS256" => Self::RS256,
            "RS384" => Self::RS384,
            "RS512" => Self::RS512,
            "PS256" => Self::PS256,
            "PS384" => Self::PS384,
            "PS512" => Self::PS512,
            "ES256" => Self::ES256,
            "ES384" => Self::ES384,
            "EdDSA" => Self::EdDSA,
            _ => return None,
        })
    }

    fn family(self) -> AlgorithmFamily {
        match self {
            Self::HS256 | Self::HS384 | Self::HS512 => AlgorithmFamily::Hmac,
            Self::ES256 | Self::ES384 => AlgorithmFamily::Ec,
            Self::EdDSA => AlgorithmFamily::Ed,
            _ => AlgorithmFamily::Rsa,
        }
    }

    fn rsa(self) -> Option<&'static RsaParameters> {
        Some(match self {
            Self::RS256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Self::RS384 => &signature::RSA_PKCS1_2048_8192_SHA384,
            Self::RS512 => &signature::RSA_PKCS1_2048_8192_SHA512,
            Self::PS256 => &signature::RSA_PSS_2048_8192_SHA256,
            Self::PS384 => &signature::RSA_PSS_2048_8192_SHA384,
            Self::PS512 => &signature::RSA_PSS_2048_8192_SHA512,
            _ => return None,
        })
    }

    fn public(self) -> Option<&'static dyn VerificationAlgorithm> {
        match self {
            Self::ES256 => Some(&signature::ECDSA_P256_SHA256_FIXED),
            Self::ES384 => Some(&signature::ECDSA_P384_SHA384_FIXED),
            Self::EdDSA => Some(&signature::ED25519),
            other => other.rsa().map(|rsa| rsa as _),
        }
    }
}

// === impl Key ===

impl Key {
    /// A configured one; `Err` begins with the name of the field.
    pub(super) fn configured(settings: &KeySettings) -> Result<Self, String> {
        let (id, algorithm) = (settings.id.clone(), settings.algorithm);
        if let Some(secret) = &settings.secret {
            let hash = match algorithm {
                Algorithm::HS256 => hmac::HMAC_SHA256,
                Algorithm::HS384 => hmac::HMAC_SHA384,
                _ => hmac::HMAC_SHA512,
            };
            let secret = match secret.expose_secret() {
                text if settings.base64 => decode(text).ok_or("secret: is no base64")?,
                text => text.as_bytes().to_vec(),
            };
            if secret.len() < 32 {
                tracing::warn!(algorithm = ?algorithm, "A secret for tokens has fewer than 32 bytes: it can be guessed.");
            }
            return Ok(Self {
                id,
                algorithms: vec![algorithm],
                material: Material::Secret(hmac::Key::new(hash, &secret)),
            });
        }
        let (field, pem) = match (&settings.public_key, &settings.public_key_file) {
            (Some(pem), _) => ("public_key", pem.clone()),
            (None, Some(path)) => {
                let read = std::fs::read_to_string(path);
                let wrong = |error| format!("public_key_file: {}: {error}", path.display());
                ("public_key_file", read.map_err(wrong)?)
            }
            (None, None) => return Err("public_key: is missing".to_owned()),
        };
        let key = from_pem(&pem, algorithm).map_err(|what| format!("{field}: {what}"))?;
        let material = Material::of(&key).map_err(|what| format!("{field}: {what}"))?;
        Self { id, algorithms: vec![algorithm], material }.checked().map_err(|what| format!("{field}: {what}"))
    }

    /// One of a key set; the error says why it is left out.
    fn of_set(jwk: &Jwk) -> Result<Self, String> {
        let common = &jwk.common;
        if matches!(&common.public_key_use, Some(other) if *other != PublicKeyUse::Signature) {
            return Err("it is not for signatures".to_owned());
        }
        if matches!(&common.key_operations, Some(operations) if !operations.contains(&KeyOperations::Verify)) {
            return Err("it is not for verifying".to_owned());
        }
        let fits: &[Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => &Algorithm::RSA,
            AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => &[Algorithm::ES256],
            AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P384 => &[Algorithm::ES384],
            AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => &[Algorithm::EdDSA],
            // Whoever can read the set could sign with it.
            AlgorithmParameters::OctetKey(_) => return Err("a secret in a key set is not taken".to_owned()),
            _ => return Err("its type is not known".to_owned()),
        };
        let algorithms: Vec<Algorithm> = match &common.key_algorithm {
            None => fits.to_vec(),
            Some(named) => fits.iter().copied().filter(|own| format!("{own:?}") == named.to_string()).collect(),
        };
        if algorithms.is_empty() {
            return Err("its algorithm is not taken".to_owned());
        }
        if common.key_id.as_ref().is_some_and(|id| id.len() > MAX_NAME) {
            return Err("its kid is too long".to_owned());
        }
        let key = DecodingKey::from_jwk(jwk).map_err(|error| error.to_string())?;
        Self { id: common.key_id.clone(), algorithms, material: Material::of(&key)? }.checked()
    }

    fn checked(self) -> Result<Self, String> {
        let expected = match self.algorithms.first().copied() {
            Some(Algorithm::ES256) => Some(65),
            Some(Algorithm::ES384) => Some(97),
            Some(Algorithm::EdDSA) => Some(32),
            _ => None,
        };
        match (&self.material, expected) {
            (Material::Public(bytes), Some(expected)) if bytes.len() != expected => {
                Err(format!("a key of {:?} has {expected} bytes, this one has {}", self.algorithms, bytes.len()))
            }
            (Material::Public(bytes) | Material::Numbers { n: bytes, .. }, None) if bytes.len() < SHORTEST_RSA => {
                Err("RSA keys need 2048 bits".to_owned())
            }
            _ => Ok(self),
        }
    }

    pub(super) fn is_for(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Is this the signature of `message`? The caller has asked [`is_for`](Self::is_for).
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            // The hash is part of the key.
            Material::Secret(key) => {
                algorithm.family() == AlgorithmFamily::Hmac && hmac::verify(key, message, signature).is_ok()
            }
            Material::Public(bytes) => algorithm
                .public()
                .is_some_and(|public| UnparsedPublicKey::new(public, bytes).verify(message, signature).is_ok()),
            Material::Numbers { n, e } => algorithm
                .rsa()
                .is_some_and(|rsa| RsaPublicKeyComponents { n, e }.verify(rsa, message, signature).is_ok()),
        }
    }
}

impl Material {
    fn of(key: &DecodingKey) -> Result<Self, String> {
        if key.family() == AlgorithmFamily::Hmac {
            return Err("a secret is no public key".to_owned());
        }
        let trimmed = |number: &[u8]| number.iter().copied().skip_while(|byte| *byte == 0).collect();
        Ok(match key.kind() {
            DecodingKeyKind::SecretOrDer(bytes) => Self::Public(bytes.clone()),
            DecodingKeyKind::RsaModulusExponent { n, e } => Self::Numbers { n: trimmed(n), e: trimmed(e) },
        })
    }
}

/// Both alphabets, with padding or without.
fn decode(text: &str) -> Option<Vec<u8>> {
    let plain: String = text
        .trim()
        .trim_end_matches('=')
        .chars()
        .map(|c| match c {
            '-' => '+',
            '_' => '/',
            other => other,
        })
        .collect();
    STANDARD_NO_PAD.decode(plain).ok().filter(|secret| !secret.is_empty())
}

fn from_pem(pem: &str, algorithm: Algorithm) -> Result<DecodingKey, String> {
    if pem.contains("PRIVATE KEY") {
        return Err("holds a private key; the public one is needed".to_owned());
    }
    let read = match algorithm.family() {
        AlgorithmFamily::Hmac => return Err(format!("{algorithm:?} takes a secret")),
        AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(pem.as_bytes()),
        AlgorithmFamily::Ec => DecodingKey::from_ec_pem(pem.as_bytes()),
        AlgorithmFamily::Ed => DecodingKey::from_ed_pem(pem.as_bytes()),
    };
    read.map_err(|_| format!("holds no public key for {algorithm:?} in PEM"))
}

#[derive(Deserialize)]
struct Set<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

/// Reads a key set (RFC 7517, section 5). What cannot be used is left out, as it asks; it is named in the second list.
pub(super) fn read_set(text: &[u8]) -> Result<(Vec<Key>, Vec<String>), String> {
    let set: Set<'_> = serde_json::from_slice(text).map_err(|error| format!("no key set: {error}"))?;
    let (mut keys, mut left) = (Vec::new(), Vec::new());
    for (place, raw) in set.keys.iter().take(MOST).enumerate() {
        let jwk = serde_json::from_str::<Jwk>(raw.get()).map_err(|error| error.to_string());
        match jwk.and_then(|jwk| Key::of_set(&jwk)) {
            Ok(key) => keys.push(key),
            Err(why) => left.push(format!("keys[{place}]: {why}")),
        }
    }
    Ok((keys, left))
}
