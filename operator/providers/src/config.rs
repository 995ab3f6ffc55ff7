//! What every provider is configured with: endpoint, credential and timeout, and what is wrong with them.
//!
//! It checks and opens no connection. The messages are for the user of the API and name no secret.

use std::time::Duration;

use url::Url;

use crate::account::Account;
use crate::http::HttpClient;
use crate::secret::Credential;

/// Default time limit of a request, from connecting to the last byte of the response.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_millis(610);

/// Why a provider's configuration cannot be used. The messages name no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The endpoint is not a URL.
    #[error("the endpoint is not a URL: {0}")]
    NotAUrl(url::ParseError),
    /// The endpoint is a URL of another scheme, or has no host.
    #[error("the endpoint must be an https or http URL with a host, not {0}:")]
    Scheme(String),
    /// The endpoint has a user, password, query or fragment.
    #[error("the endpoint must have no user, password, query or fragment")]
    Excess,
    /// The credential is empty or cannot be a header.
    #[error("the credential is empty, or has a colon or a character that is not visible ASCII")]
    Credential,
    /// The signing secret of a webhook is empty or cannot be decoded.
    #[error("the signing secret is empty, or goes on after whsec_ with something that is not base64")]
    SigningSecret,
    /// A part of the AlimTalk sender is missing or cannot be sent; which one.
    #[error("{0} is empty, too long, or has a character that is not visible ASCII")]
    Sender(&'static str),
    /// The timeout is zero.
    #[error("the time-out must be more than zero")]
    Timeout,
}

/// The account at `endpoint`; its credential is still to be checked by the dialect.
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

/// Checks that a credential can be a header, and the user of Basic authentication.
pub(crate) fn check_sendable(credential: &Credential) -> Result<(), ConfigError> {
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
