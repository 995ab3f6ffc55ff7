//! How a webhook is signed: the symmetric scheme `v1` of Standard Webhooks, HMAC-SHA256.
//!
//! Pure: id, time and body in, header out.
//! Source: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::hmac;

use crate::secret::Credential;

/// Prefix of a secret that is encoded in base64.
const BASE64_PREFIX: &str = "whsec_";

/// Signs with one secret.
pub(crate) struct Signer(hmac::Key);

impl Signer {
    /// `None` when the secret contains no key.
    pub(crate) fn new(secret: &Credential) -> Option<Self> {
        let key = match secret.expose().strip_prefix(BASE64_PREFIX) {
            Some(encoded) => BASE64_STANDARD.decode(encoded).ok()?,
            None => secret.expose().as_bytes().to_vec(),
        };
        (!key.is_empty()).then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }

    /// The header `webhook-signature`; `timestamp` is in seconds since the epoch.
    pub(crate) fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(format!("{id}.{timestamp}.").as_bytes());
        context.update(body);
        format!("v1,{}", BASE64_STANDARD.encode(context.sign()))
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(secret: &str) -> String {
        let signer = Signer::new(&Credential::new(secret)).unwrap();
        signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#)
    }

    #[test]
    fn the_reference_example_of_standard_webhooks_is_signed_alike() {
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signed("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), expected);
    }

    #[test]
    fn a_secret_without_the_prefix_is_used_as_it_is_written() {
        assert_eq!(signed("abc"), signed("whsec_YWJj"));
        assert_ne!(signed("YWJj"), signed("whsec_YWJj"));
    }

    #[test]
    fn a_signer_does_not_show_its_key() {
        assert_eq!(format!("{:?}", Signer::new(&Credential::new("abc")).unwrap()), "***");
    }
}
