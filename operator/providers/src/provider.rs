//! Makes a payment port from its configuration, or says in a sentence what is wrong with it.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::account::Account;
use crate::http::HttpClient;
use crate::port::{PaymentPort, Traits};
use crate::secret::Credential;
use crate::stripe::{self, Stripe};
use crate::toss::{self, Toss};

/// How long a call may take in all, unless configured otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_millis(610);

/// Which protocol a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Toss Payments, and the sandbox.
    Toss,
    /// Stripe, and the sandbox. The credential is a secret or restricted key.
    Stripe,
}

impl Dialect {
    /// What is the same of all its providers.
    pub fn traits(self) -> Traits {
        match self {
            Self::Toss => toss::TRAITS,
            Self::Stripe => stripe::TRAITS,
        }
    }
}

/// Why a provider's configuration cannot be used. The messages name no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The endpoint is not a URL.
    #[error("the endpoint is not a URL: {0}")]
    NotAUrl(url::ParseError),
    /// The endpoint is a URL of another kind.
    #[error("the endpoint must be an https or http URL with a host, not {0}:")]
    Scheme(String),
    /// The endpoint says more than where the provider is.
    #[error("the endpoint must have no user, password, query or fragment")]
    Excess,
    /// The credential is missing or cannot be sent.
    #[error("the credential is empty, or has a colon or a character that is not visible ASCII")]
    Credential,
    /// What signs a webhook is missing or cannot be read.
    #[error("the signing secret is empty, or goes on after whsec_ with something that is not base64")]
    SigningSecret,
    /// Who sends an AlimTalk is not said in full.
    #[error("{0} is empty, too long, or has a character that is not visible ASCII")]
    Sender(&'static str),
    /// No time at all.
    #[error("the time-out must be more than zero")]
    Timeout,
}

/// The payment port of a provider at `endpoint` (`https://api.tosspayments.com`; a path is kept as a prefix).
/// `timeout` is for a request, from connecting to the last byte of the answer; a call sends one, or at most two.
///
/// Whether plain http is allowed is the caller's policy.
///
/// # Errors
/// When the endpoint, the credential or the time-out cannot be used.
pub fn provider(
    dialect: Dialect,
    endpoint: &str,
    credential: Credential,
    timeout: Duration,
    http: HttpClient,
) -> Result<Arc<dyn PaymentPort>, ConfigError> {
    let account = account(endpoint, credential, timeout, http)?;
    sendable(&account.credential)?;
    match dialect {
        Dialect::Toss => Ok(Arc::new(Toss(account))),
        Dialect::Stripe => Ok(Arc::new(Stripe(account))),
    }
}

/// The account, whose credential is still to be checked.
pub(crate) fn account(
    endpoint: &str,
    credential: Credential,
    timeout: Duration,
    http: HttpClient,
) -> Result<Account, ConfigError> {
    let endpoint = endpoint_url(endpoint)?;
    if timeout.is_zero() {
        return Err(ConfigError::Timeout);
    }
    Ok(Account { endpoint, credential, timeout, http })
}

/// Whether a credential can be a header, and the user of Basic authentication.
pub(crate) fn sendable(credential: &Credential) -> Result<(), ConfigError> {
    let sendable = |byte: u8| byte.is_ascii_graphic() && byte != b':';
    let credential = credential.expose();
    if credential.is_empty() || !credential.bytes().all(sendable) {
        return Err(ConfigError::Credential);
    }
    Ok(())
}

fn endpoint_url(endpoint: &str) -> Result<Url, ConfigError> {
    let url = Url::parse(endpoint).map_err(ConfigError::NotAUrl)?;
    if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none_or(str::is_empty) {
        return Err(ConfigError::Scheme(url.scheme().to_owned()));
    }
    let user = !url.username().is_empty() || url.password().is_some();
    if user || url.query().is_some() || url.fragment().is_some() {
        return Err(ConfigError::Excess);
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(endpoint: &str, credential: &str, timeout: Duration) -> Result<(), ConfigError> {
        let http = HttpClient::new().unwrap();
        provider(Dialect::Toss, endpoint, Credential::new(credential), timeout, http).map(|_| ())
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
