//! Signed tokens (RFC 7515) as a provider checks them.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey, VerificationAlgorithm,
};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use serde_json::Value;

/// How a token is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// RSA, PKCS#1 v1.5.
    Rs256,
    /// RSA, PSS.
    Ps256,
}

/// A token whose signature is right.
pub(crate) struct Jwt {
    pub(crate) header: Value,
    pub(crate) claims: Value,
}

/// Checks form, `alg` and signature. The key is the DER of an RSAPublicKey (RFC 8017, appendix A.1.1).
pub(crate) fn verify(token: &str, algorithm: Algorithm, key: &[u8]) -> Result<Jwt, &'static str> {
    let (signed, signature) = token.rsplit_once('.').ok_or("it has not three parts")?;
    let (header, claims) = signed.split_once('.').ok_or("it has not three parts")?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| "a part is not base64url");
    let json = |part: &str| serde_json::from_slice::<Value>(&decode(part)?).map_err(|_| "a part is not JSON");
    let jwt = Jwt { header: json(header)?, claims: json(claims)? };
    let (name, how): (_, &dyn VerificationAlgorithm) = match algorithm {
        Algorithm::Rs256 => ("RS256", &RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Ps256 => ("PS256", &RSA_PSS_2048_8192_SHA256),
    };
    if jwt.header["alg"] != name {
        return Err("alg is not the one that is asked for");
    }
    UnparsedPublicKey::new(how, key)
        .verify(signed.as_bytes(), &decode(signature)?)
        .map_err(|_| "the signature is wrong")?;
    Ok(jwt)
}

/// The public key that belongs to the private one of a key file (PKCS#8, PEM).
pub(crate) fn public_of(pem: &str) -> Result<Vec<u8>, String> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| "private_key is no PEM".to_owned())?;
    let pair = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| "private_key is no RSA key".to_owned())?;
    Ok(pair.public().as_ref().to_vec())
}
