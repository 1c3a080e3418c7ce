//! The signatures of tokens, checked by the cryptography that TLS is made of: one library for both.

use std::sync::OnceLock;

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use ring::signature::{
    self as known, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use signature::Verifier;

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::InvalidAlgorithm.into()),
    verifier_factory,
    key_utils: KeyUtils::new_unimplemented(),
};

/// Once for the process.
pub(super) fn install() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        // It fails only where it was done before, which it was not.
        let _first = PROVIDER.install_default();
    });
}

/// Only the issuer can sign by it.
pub(super) const fn is_asymmetric(algorithm: Algorithm) -> bool {
    !matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512)
}

struct Check {
    algorithm: Algorithm,
    key: DecodingKey,
    how: How,
}

#[derive(Clone, Copy)]
enum How {
    Rsa(&'static RsaParameters),
    Point(&'static dyn VerificationAlgorithm),
}

fn verifier_factory(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    let how = match algorithm {
        Algorithm::RS256 => How::Rsa(&known::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => How::Rsa(&known::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => How::Rsa(&known::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => How::Rsa(&known::RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => How::Rsa(&known::RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => How::Rsa(&known::RSA_PSS_2048_8192_SHA512),
        Algorithm::ES256 => How::Point(&known::ECDSA_P256_SHA256_FIXED),
        Algorithm::ES384 => How::Point(&known::ECDSA_P384_SHA384_FIXED),
        Algorithm::EdDSA => How::Point(&known::ED25519),
        _ => return Err(ErrorKind::InvalidAlgorithm.into()),
    };
    if key.family() != algorithm.family() {
        return Err(ErrorKind::InvalidKeyFormat.into());
    }
    Ok(Box::new(Check { algorithm: *algorithm, key: key.clone(), how }))
}

impl Verifier<Vec<u8>> for Check {
    fn verify(&self, message: &[u8], signed: &Vec<u8>) -> std::result::Result<(), signature::Error> {
        let checked = match (self.how, self.key.kind()) {
            (How::Rsa(how), DecodingKeyKind::RsaModulusExponent { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(how, message, signed)
            }
            (How::Rsa(how), DecodingKeyKind::SecretOrDer(key)) => {
                UnparsedPublicKey::new(how, key).verify(message, signed)
            }
            (How::Point(how), DecodingKeyKind::SecretOrDer(key)) => {
                UnparsedPublicKey::new(how, key).verify(message, signed)
            }
            (How::Point(_), DecodingKeyKind::RsaModulusExponent { .. }) => {
                return Err(signature::Error::new());
            }
        };
        checked.map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Check {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
