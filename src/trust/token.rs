//! Operators without a certificate: a key that they hold, or a token that an issuer signed.

use std::fmt;

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, JwkSet};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Validation, decode, decode_header};
use ring::digest::{SHA256, digest};
use serde_json::Value;
use thiserror::Error;

use super::access::{Operator, roles};
use super::jwt_crypto;
use crate::lease::Accounts;
use crate::types::Timestamp;

/// A key's hash, in bytes.
const HASH_BYTES: usize = 32;

/// Keys of one issuer at most: it has two or three while it changes them.
const ISSUER_KEYS_MAX: usize = 64;

/// How far the issuer's clock may be from this one.
const LEEWAY_SECONDS: u64 = 30;

/// Never says the token.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TokenError {
    #[error("the token is no key of this ledger's access document")]
    Unknown,
    #[error("the token's time is over")]
    Over,
    #[error("the token does not hold: {0}")]
    Invalid(String),
}

/// A long-lived secret, of which the document has the hash alone.
pub struct Key {
    hash: [u8; HASH_BYTES],
    until: Option<Timestamp>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("until", &self.until).finish_non_exhaustive()
    }
}

impl Key {
    /// Errors: what would be right.
    pub fn parse(sha256: &str, until: Option<&str>) -> Result<Self, String> {
        let wrong = || "`sha256` is not 64 hexadecimal digits, as `sha256sum` prints them".to_owned();
        let mut hash = [0; HASH_BYTES];
        let digits = sha256.as_bytes();
        if digits.len() != 2 * HASH_BYTES {
            return Err(wrong());
        }
        for (byte, pair) in hash.iter_mut().zip(digits.chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        let instant = |text: &str| {
            let at: jiff::Timestamp = text
                .parse()
                .map_err(|_| format!("`until`: `{text}` is no instant such as `2027-01-01T00:00:00Z`"))?;
            Ok::<_, String>(Timestamp::from_micros(at.as_microsecond()))
        };
        Ok(Self { hash, until: until.map(instant).transpose()? })
    }

    /// Hashes are compared: how long that takes tells nothing of the key.
    pub fn is_of(&self, token: &str) -> bool {
        digest(&SHA256, token.as_bytes()).as_ref() == self.hash
    }

    /// Errors: its time is over.
    pub fn holds(&self, now: Timestamp) -> Result<(), TokenError> {
        if self.until.is_some_and(|until| now >= until) { Err(TokenError::Over) } else { Ok(()) }
    }
}

/// Tokens of one issuer: JWTs, signed by one of its keys.
pub struct Signed {
    keys: Vec<(Option<String>, AlgorithmFamily, DecodingKey)>,
    validation: Validation,
    /// The claims that hold roles and accounts.
    roles: String,
    accounts: String,
}

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signed").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

impl Signed {
    /// Errors: what is wrong with the issuer's keys, and what would be right.
    pub fn new(
        issuer: &str,
        audience: &str,
        roles: String,
        accounts: String,
        jwks: &[u8],
    ) -> Result<Self, String> {
        jwt_crypto::install();
        let set: JwkSet = serde_json::from_slice(jwks).map_err(|error| format!("is no JWK set: {error}"))?;
        if set.keys.is_empty() || set.keys.len() > ISSUER_KEYS_MAX {
            return Err(format!("holds {} keys; it would be 1 to {ISSUER_KEYS_MAX}", set.keys.len()));
        }
        let keys = set.keys.iter().map(key).collect::<Result<_, _>>()?;
        let mut validation = Validation::new(Algorithm::ES256);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        Ok(Self { keys, validation, roles, accounts })
    }

    /// Errors: it is none of the issuer's, its time is over, or it does not say what its holder may do.
    pub fn read(&self, token: &str) -> Result<Operator, TokenError> {
        let invalid = |error: &dyn fmt::Display| TokenError::Invalid(error.to_string());
        let header = decode_header(token).map_err(|error| invalid(&error))?;
        if !jwt_crypto::is_asymmetric(header.alg) {
            return Err(TokenError::Invalid(format!(
                "{:?} is no signature of an issuer's key pair",
                header.alg
            )));
        }
        let mut validation = self.validation.clone();
        validation.algorithms = vec![header.alg];
        let family = header.alg.family();
        let named = |kid: &Option<String>| header.kid.is_none() || *kid == header.kid;
        let fitting = self.keys.iter().filter(|(kid, of, _)| *of == family && named(kid));
        let mut why = TokenError::Invalid("no key of the issuer goes with it".to_owned());
        for (_, _, key) in fitting {
            match decode::<Value>(token, key, &validation) {
                Ok(data) => return self.operator(&data.claims),
                Err(error) => why = invalid(&error),
            }
        }
        Err(why)
    }

    fn operator(&self, claims: &Value) -> Result<Operator, TokenError> {
        let missing =
            |claim: &str| TokenError::Invalid(format!("it has no claim `{claim}` that is a list of words"));
        let list = |claim: &str| {
            let words = claims.get(claim)?.as_array()?.iter().map(|word| word.as_str().map(str::to_owned));
            words.collect::<Option<Vec<String>>>()
        };
        let roles =
            roles(&list(&self.roles).ok_or_else(|| missing(&self.roles))?).map_err(TokenError::Invalid)?;
        let patterns = list(&self.accounts).ok_or_else(|| missing(&self.accounts))?;
        if patterns.is_empty() {
            return Err(TokenError::Invalid(format!("its claim `{}` names no account", self.accounts)));
        }
        let accounts = Accounts::parse(patterns.iter().map(String::as_str)).map_err(TokenError::Invalid)?;
        let name = claims.get("sub").and_then(Value::as_str).unwrap_or("a token without a subject").into();
        Ok(Operator { name, roles, accounts })
    }
}

fn key(jwk: &Jwk) -> Result<(Option<String>, AlgorithmFamily, DecodingKey), String> {
    let kid = jwk.common.key_id.clone();
    let called = || kid.clone().unwrap_or_else(|| "without a name".to_owned());
    if matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_)) {
        return Err(format!("holds the key `{}`, a shared secret; tokens are signed by key pairs", called()));
    }
    let key = DecodingKey::from_jwk(jwk)
        .map_err(|error| format!("holds the key `{}`, which can't be used: {error}", called()))?;
    Ok((kid.clone(), key.family(), key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_hash_until_it_ends() {
        let hash = "addb0f5e7826c857d7376d1bd9bc33c0c544790a2eac96144a8af22b1298c940";
        let key = Key::parse(hash, Some("2027-01-01T00:00:00Z")).unwrap();
        assert!(key.is_of("geheim") && !key.is_of("geheim ") && !key.is_of(hash));
        assert_eq!(key.holds(Timestamp::from_micros(1_798_761_599_999_999)), Ok(()));
        assert_eq!(key.holds(Timestamp::from_micros(1_798_761_600_000_000)), Err(TokenError::Over));
        for (hash, until) in [("", None), ("zz", None), (hash, Some("tomorrow"))] {
            assert!(Key::parse(hash, until).is_err(), "{hash} {until:?}");
        }
        assert!(!format!("{key:?}").contains("173"), "{key:?}");
    }

    #[test]
    fn an_issuers_keys_are_key_pairs() {
        let signed = |jwks: &str| {
            Signed::new("i", "a", "roles".to_owned(), "accounts".to_owned(), jwks.as_bytes()).map(|_| ())
        };
        assert!(signed("{}").unwrap_err().contains("no JWK set"));
        assert!(signed(r#"{"keys": []}"#).unwrap_err().contains("holds 0 keys"));
        let secret = r#"{"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "one"}]}"#;
        assert!(signed(secret).unwrap_err().contains("shared secret"));
    }
}
