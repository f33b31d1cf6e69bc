//! Keys: RSA for signing, RSA and ECDSA P-256 for verification.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize, PublicEncryptingKey};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA1_ASN1, ECDSA_P256_SHA256_ASN1, KeyPair as _, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, VerificationAlgorithm,
};

use crate::pem;

/// Largest RSA key taken. CloudFront takes 2048 bits only; larger ones cost more per request and more bytes per URL.
const RSA_MAX_BITS: usize = 4096;

/// Longest signature that a key of [`RSA_MAX_BITS`] makes, in bytes.
pub(crate) const SIGNATURE_MAX_BYTES: usize = RSA_MAX_BITS / 8;

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No PEM block, or a broken one.
    #[error("not a pem block")]
    Pem,
    /// A PEM block of something else, an encrypted key among them.
    #[error("not a kind of key that is taken here")]
    Label,
    /// RSA of 2048 to 4096 bits, or for verification ECDSA P-256, is what is taken.
    #[error("not an rsa key of 2048 to 4096 bits or an ecdsa p-256 public key")]
    Kind,
    /// The cryptographic library failed, as when it has no random numbers.
    #[error("cryptographic operation failed")]
    Crypto,
}

/// Digest under a signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Hash {
    /// CloudFront's default. Verified, never made here: the cryptographic library signs with SHA-2 only.
    #[default]
    Sha1,
    /// `Hash-Algorithm=SHA256`.
    Sha256,
}

impl Hash {
    /// The value of `Hash-Algorithm`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Sha1, Self::Sha256].into_iter().find(|hash| hash.as_str() == text)
    }
}

/// An RSA key that signs policies. Its `Debug` shows nothing of it.
pub struct PrivateKey(KeyPair);

impl PrivateKey {
    /// A new 2048-bit key. Takes tens to hundreds of milliseconds of CPU.
    ///
    /// # Errors
    /// [`KeyError::Crypto`].
    pub fn generate() -> Result<Self, KeyError> {
        KeyPair::generate(KeySize::Rsa2048).map(Self).map_err(|_| KeyError::Crypto)
    }

    /// Reads PKCS#8 (`PRIVATE KEY`) or PKCS#1 (`RSA PRIVATE KEY`) PEM, unencrypted.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let key = match pem::decode(text).ok_or(KeyError::Pem)? {
            ("PRIVATE KEY", der) => KeyPair::from_pkcs8(&der),
            ("RSA PRIVATE KEY", der) => KeyPair::from_der(&der),
            _ => return Err(KeyError::Label),
        };
        let key = key.map_err(|_| KeyError::Kind)?;
        if key.public_modulus_len() > SIGNATURE_MAX_BYTES {
            return Err(KeyError::Kind);
        }
        Ok(Self(key))
    }

    /// The key as PKCS#8 PEM.
    ///
    /// # Errors
    /// [`KeyError::Crypto`].
    pub fn to_pem(&self) -> Result<String, KeyError> {
        let der: Pkcs8V1Der<'_> = self.0.as_der().map_err(|_| KeyError::Crypto)?;
        Ok(pem::encode("PRIVATE KEY", der.as_ref()))
    }

    /// The public half as SubjectPublicKeyInfo PEM.
    ///
    /// # Errors
    /// [`KeyError::Crypto`].
    pub fn public_key_pem(&self) -> Result<String, KeyError> {
        let der: PublicKeyX509Der<'_> = self.0.public_key().as_der().map_err(|_| KeyError::Crypto)?;
        Ok(pem::encode("PUBLIC KEY", der.as_ref()))
    }

    /// The public half.
    ///
    /// # Errors
    /// [`KeyError::Crypto`].
    pub fn public_key(&self) -> Result<PublicKey, KeyError> {
        let der: PublicKeyX509Der<'_> = self.0.public_key().as_der().map_err(|_| KeyError::Crypto)?;
        PublicKey::rsa(der.as_ref())
    }

    /// RSASSA-PKCS1-v1_5 over SHA-256 (RFC 8017 §8.2.1).
    pub(crate) fn sign_sha256(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).map_err(|_| KeyError::Crypto)?;
        Ok(signature)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

/// A key that verifies signatures.
pub struct PublicKey {
    sha1: ParsedPublicKey,
    sha256: ParsedPublicKey,
}

impl PublicKey {
    /// Reads an RSA key as SubjectPublicKeyInfo (`PUBLIC KEY`) or PKCS#1 (`RSA PUBLIC KEY`) PEM, or an ECDSA P-256 key as
    /// SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        match pem::decode(text).ok_or(KeyError::Pem)? {
            ("PUBLIC KEY", der) => Self::rsa(&der).or_else(|_| Self::p256(&der)),
            ("RSA PUBLIC KEY", der) => Self::rsa(&der),
            _ => Err(KeyError::Label),
        }
    }

    /// The key as SubjectPublicKeyInfo PEM, whatever it was read from.
    ///
    /// # Errors
    /// [`KeyError::Crypto`].
    pub fn to_pem(&self) -> Result<String, KeyError> {
        let der: PublicKeyX509Der<'_> = self.sha256.as_der().map_err(|_| KeyError::Crypto)?;
        Ok(pem::encode("PUBLIC KEY", der.as_ref()))
    }

    fn rsa(der: &[u8]) -> Result<Self, KeyError> {
        let key = Self::parse(der, &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, &RSA_PKCS1_2048_8192_SHA256)?;
        let der: PublicKeyX509Der<'_> = key.sha256.as_der().map_err(|_| KeyError::Kind)?;
        // The verifier refuses a small key only when it is used; here an operator is told at once.
        let sized = PublicEncryptingKey::from_der(der.as_ref()).map_err(|_| KeyError::Kind)?;
        if (2048..=RSA_MAX_BITS).contains(&sized.key_size_bits()) { Ok(key) } else { Err(KeyError::Kind) }
    }

    fn p256(der: &[u8]) -> Result<Self, KeyError> {
        Self::parse(der, &ECDSA_P256_SHA1_ASN1, &ECDSA_P256_SHA256_ASN1)
    }

    fn parse(
        der: &[u8],
        sha1: &'static dyn VerificationAlgorithm,
        sha256: &'static dyn VerificationAlgorithm,
    ) -> Result<Self, KeyError> {
        let parse = |algorithm| ParsedPublicKey::new(algorithm, der).map_err(|_| KeyError::Kind);
        Ok(Self { sha1: parse(sha1)?, sha256: parse(sha256)? })
    }

    /// Whether `signature` is this key's over `message`: RSASSA-PKCS1-v1_5, or ECDSA in DER.
    pub(crate) fn verifies(&self, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
        let key = match hash {
            Hash::Sha1 => &self.sha1,
            Hash::Sha256 => &self.sha256,
        };
        key.verify_sig(message, signature).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PublicKey").field(&self.sha256).finish()
    }
}

/// The keys that a behavior trusts, by `Key-Pair-Id`.
#[derive(Clone, Debug, Default)]
pub struct KeySet(HashMap<String, Arc<PublicKey>>);

impl KeySet {
    /// The key named `id`.
    #[must_use]
    pub fn key(&self, id: &str) -> Option<&PublicKey> {
        self.0.get(id).map(Arc::as_ref)
    }

    /// Adds a key; one of the same id is replaced.
    pub fn insert(&mut self, id: impl Into<String>, key: Arc<PublicKey>) {
        self.0.insert(id.into(), key);
    }

    /// Whether nothing is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<S: Into<String>> FromIterator<(S, Arc<PublicKey>)> for KeySet {
    fn from_iter<I: IntoIterator<Item = (S, Arc<PublicKey>)>>(keys: I) -> Self {
        Self(keys.into_iter().map(|(id, key)| (id.into(), key)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_key_round_trips() {
        let key = PrivateKey::generate().unwrap();
        let again = PrivateKey::from_pem(&key.to_pem().unwrap()).unwrap();
        assert_eq!(key.public_key_pem().unwrap(), again.public_key_pem().unwrap());
        let public = PublicKey::from_pem(&key.public_key_pem().unwrap()).unwrap();
        assert_eq!(public.to_pem().unwrap(), key.public_key_pem().unwrap());
        let signature = again.sign_sha256(b"message").unwrap();
        assert_eq!(signature.len(), 256);
        assert!(public.verifies(Hash::Sha256, b"message", &signature));
        assert!(!public.verifies(Hash::Sha1, b"message", &signature));
        assert!(!public.verifies(Hash::Sha256, b"Message", &signature));
        assert_eq!(format!("{key:?}"), "PrivateKey(..)");
    }

    #[test]
    fn what_is_no_key() {
        assert_eq!(PrivateKey::from_pem("").unwrap_err(), KeyError::Pem);
        assert_eq!(PublicKey::from_pem("hello").unwrap_err(), KeyError::Pem);
        let junk = pem::encode("PUBLIC KEY", b"junk");
        assert_eq!(PublicKey::from_pem(&junk).unwrap_err(), KeyError::Kind);
        assert_eq!(PrivateKey::from_pem(&junk).unwrap_err(), KeyError::Label);
        let encrypted = pem::encode("ENCRYPTED PRIVATE KEY", b"junk");
        assert_eq!(PrivateKey::from_pem(&encrypted).unwrap_err(), KeyError::Label);
    }
}
