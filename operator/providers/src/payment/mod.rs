//! Payments: the port, its adapters, and the resilience policy around them.
//!
//! This file makes an adapter from its configuration, or says in a sentence what is wrong with that. It knows every
//! dialect; a dialect knows the port only.

pub mod port;
pub mod resilience;
mod stripe;
mod toss;

use std::sync::Arc;
use std::time::Duration;

use crate::config::{ConfigError, account, check_sendable};
use crate::http::HttpClient;
use crate::secret::Credential;
use port::{PaymentPort, Traits};
use stripe::Stripe;
use toss::Toss;

/// Protocol of a payment provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Toss Payments, and the sandbox.
    Toss,
    /// Stripe, and the sandbox. The credential is a secret or restricted key.
    Stripe,
}

impl Dialect {
    /// What all providers of this dialect have in common.
    pub fn traits(self) -> Traits {
        match self {
            Self::Toss => toss::TRAITS,
            Self::Stripe => stripe::TRAITS,
        }
    }
}

/// The payment port of a provider at `endpoint` (`https://api.tosspayments.com`; a path is kept as a prefix).
/// `timeout` limits one request, from connecting to the last byte of the response; a call sends one, or at most two.
///
/// Whether plain http is allowed is the caller's policy.
///
/// # Errors
/// When the endpoint, the credential or the timeout cannot be used.
pub fn payment_provider(
    dialect: Dialect,
    endpoint: &str,
    credential: Credential,
    timeout: Duration,
    http: HttpClient,
) -> Result<Arc<dyn PaymentPort>, ConfigError> {
    let account = account(endpoint, credential, timeout, http)?;
    check_sendable(&account.credential)?;
    match dialect {
        Dialect::Toss => Ok(Arc::new(Toss(account))),
        Dialect::Stripe => Ok(Arc::new(Stripe(account))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DEFAULT_TIMEOUT;

    fn configured(endpoint: &str, credential: &str, timeout: Duration) -> Result<(), ConfigError> {
        let http = HttpClient::new().unwrap();
        payment_provider(Dialect::Toss, endpoint, Credential::new(credential), timeout, http).map(|_| ())
    }

    #[test]
    fn an_endpoint_is_an_http_url_that_says_where_and_nothing_else() {
        for good in ["https://api.tosspayments.com", "http://127.0.0.1:8787/", "http://sandbox.svc/prefix"] {
            assert_eq!(configured(good, "sk", DEFAULT_TIMEOUT), Ok(()), "{good}");
        }
        let scheme = |scheme: &str| Err(ConfigError::Scheme(scheme.to_owned()));
        assert_eq!(configured("ftp://host", "sk", DEFAULT_TIMEOUT), scheme("ftp"));
        assert_eq!(configured("unix:/run/sock", "sk", DEFAULT_TIMEOUT), scheme("unix"));
        for excess in ["https://user:pw@host", "https://host?x=1", "https://host#f"] {
            assert_eq!(configured(excess, "sk", DEFAULT_TIMEOUT), Err(ConfigError::Excess), "{excess}");
        }
        for nonsense in ["", "api.tosspayments.com", "https://"] {
            let result = configured(nonsense, "sk", DEFAULT_TIMEOUT);
            assert!(matches!(result, Err(ConfigError::NotAUrl(_))), "{nonsense}: {result:?}");
        }
    }

    #[test]
    fn a_credential_that_cannot_be_a_user_name_and_a_timeout_of_zero_are_refused() {
        for credential in ["", "a:b", "line\nbreak", "비밀"] {
            let result = configured("https://host", credential, DEFAULT_TIMEOUT);
            assert_eq!(result, Err(ConfigError::Credential));
        }
        assert_eq!(configured("https://host", "sk", Duration::ZERO), Err(ConfigError::Timeout));
    }
}
