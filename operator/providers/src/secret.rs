//! Secrets that show `***` wherever they are printed, and cannot be serialized.
//!
//! To read one is a visible act: [`Token::expose`], [`Credential::expose`].

use std::fmt::{self, Write as _};

use sha2::{Digest, Sha256};

/// Length of a fingerprint, in hex characters of the hash.
const FINGERPRINT_CHARS: usize = 12;

/// The token of a customer's checkout, which pays for the order.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// The credential of an account at a provider (Toss: the secret key).
#[derive(Clone, PartialEq, Eq)]
pub struct Credential(String);

impl Token {
    /// Wraps a token.
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// The token itself, to send it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Credential {
    /// Wraps a credential.
    pub fn new(credential: impl Into<String>) -> Self {
        Self(credential.into())
    }

    /// The credential itself, to authenticate with it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Distinguishes credentials without revealing them: the first 12 hex characters of the SHA-256. Idempotency keys
    /// live in the scope of a credential, so it is kept with what was sent under it.
    pub fn fingerprint(&self) -> String {
        let mut hex = String::with_capacity(64);
        for byte in Sha256::digest(self.0.as_bytes()) {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
        hex.truncate(FINGERPRINT_CHARS);
        hex
    }
}

macro_rules! masked {
    ($($secret:ty),*) => {$(
        impl fmt::Debug for $secret {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("***")
            }
        }

        impl fmt::Display for $secret {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("***")
            }
        }
    )*};
}

masked!(Token, Credential);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_as_asterisks_in_every_format() {
        let (token, credential) = (Token::new("tok"), Credential::new("cred"));
        assert_eq!(
            format!("{token} {token:?} {token:#?} {credential} {credential:?}"),
            "*** *** *** *** ***"
        );
        assert_eq!((token.expose(), credential.expose()), ("tok", "cred"));
    }

    #[test]
    fn a_fingerprint_is_the_start_of_the_sha_256() {
        // The SHA-256 of "abc" is the example of FIPS 180-2, B.1.
        assert_eq!(Credential::new("abc").fingerprint(), "ba7816bf8f01");
    }
}
