//! The HTTP client that all adapters share: TLS by rustls with ring, pooled connections, everything bounded.
//!
//! It sends a request once and distinguishes "never sent" from "sent, outcome unknown". It does not retry, follow
//! redirects, or read proxies from the environment unless asked. No error carries a URL, as URLs name payments.

use std::error::Error;
use std::time::{Duration, SystemTime};

use fooddelivery_saga::provider::CallFailure;
use reqwest::header::{HeaderName, RETRY_AFTER};
use reqwest::{Client, RequestBuilder};

/// Default time limit of connecting (TCP and TLS). Less than [`crate::DEFAULT_TIMEOUT`], so that a provider that is not
/// there is known to have received nothing.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_millis(400);
/// Maximum size of a response body, in bytes.
pub const RESPONSE_BYTES_MAX: usize = 64 * 1024;

const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
const POOL_IDLE_PER_HOST: usize = 32;
/// Stripe's mark on a response that it replays from an earlier call with the same key.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Options of the client.
#[derive(Debug, Clone, Copy)]
pub struct HttpOptions {
    /// Time limit of connecting.
    pub connect_timeout: Duration,
    /// Whether to use the proxies of the environment (`HTTPS_PROXY` and the like).
    pub proxies_from_environment: bool,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self { connect_timeout: DEFAULT_CONNECT_TIMEOUT, proxies_from_environment: false }
    }
}

/// Why the client cannot be built: no root certificates on this machine, for one.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be set up: {0}")]
pub struct HttpClientError(String);

/// The client. Clones share one pool of connections.
#[derive(Debug, Clone)]
pub struct HttpClient(Client);

/// A response, read whole.
#[derive(Debug)]
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    /// Whether the provider marks it as the replay of an earlier response to the same key.
    pub(crate) replayed: bool,
    /// When it was received, for a `Retry-After` that is a date.
    pub(crate) received: SystemTime,
    pub(crate) body: Vec<u8>,
}

impl HttpResponse {
    /// `Retry-After` in seconds or as an HTTP date (RFC 9110, 10.2.3), in ms from its arrival; a past date is zero.
    pub(crate) fn retry_after_ms(&self) -> Option<u64> {
        let text = self.retry_after.as_deref()?.trim();
        let wait = match text.parse::<u64>() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(self.received).unwrap_or_default(),
        };
        u64::try_from(wait.as_millis()).ok()
    }
}

/// A request without a response. The reasons are for people and name no URL.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TransportError {
    /// It provably never left.
    NotSent(String),
    /// It may have arrived.
    OutcomeUnknown(String),
}

impl From<&TransportError> for CallFailure {
    fn from(transport_error: &TransportError) -> Self {
        match transport_error {
            TransportError::NotSent(why) => Self::NotSent(why.clone()),
            TransportError::OutcomeUnknown(why) => Self::OutcomeUnknown(why.clone()),
        }
    }
}

impl HttpClient {
    /// A client with [`HttpOptions::default`].
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new() -> Result<Self, HttpClientError> {
        Self::with(HttpOptions::default())
    }

    /// A client with these options.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn with(options: HttpOptions) -> Result<Self, HttpClientError> {
        // reqwest takes the process's default. An error means that one is installed; only ring is compiled in.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = Client::builder()
            .tls_backend_rustls()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(options.connect_timeout)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .pool_max_idle_per_host(POOL_IDLE_PER_HOST)
            .tcp_nodelay(true);
        let builder = if options.proxies_from_environment { builder } else { builder.no_proxy() };
        builder.build().map(Self).map_err(|error| HttpClientError(root_cause(&error)))
    }

    pub(crate) fn reqwest(&self) -> &Client {
        &self.0
    }
}

/// Sends a request and reads the response, within `timeout` in all.
pub(crate) async fn send(request: RequestBuilder, timeout: Duration) -> Result<HttpResponse, TransportError> {
    let mut response = request.timeout(timeout).send().await.map_err(transport_error)?;
    let status = response.status().as_u16();
    let retry_after =
        response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let replayed = response.headers().get(REPLAYED).is_some_and(|value| value == "true");
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(transport_error)? {
        if body.len() + chunk.len() > RESPONSE_BYTES_MAX {
            return Err(TransportError::OutcomeUnknown(format!(
                "the answer is longer than {RESPONSE_BYTES_MAX} bytes"
            )));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(HttpResponse { status, retry_after, replayed, received: SystemTime::now(), body })
}

fn transport_error(error: reqwest::Error) -> TransportError {
    let error = error.without_url();
    let timed_out = error.is_timeout();
    // A connect error comes before the request is written. A timeout of the whole call is not one, even if it
    // struck while connecting; its outcome is reported as unknown, which errs on the safe side.
    if error.is_connect() {
        let what = if timed_out { "connecting timed out" } else { "could not connect" };
        return TransportError::NotSent(format!("{what}: {}", root_cause(&error)));
    }
    if error.is_builder() {
        return TransportError::NotSent(format!("the request could not be made: {}", root_cause(&error)));
    }
    if timed_out {
        return TransportError::OutcomeUnknown("timed out".to_owned());
    }
    TransportError::OutcomeUnknown(format!("no answer: {}", root_cause(&error)))
}

/// The innermost cause, which is the one that says something ("connection refused").
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry_after_ms(text: &str, received: SystemTime) -> Option<u64> {
        let retry_after = Some(text.to_owned());
        HttpResponse { status: 429, retry_after, replayed: false, received, body: Vec::new() }
            .retry_after_ms()
    }

    #[test]
    fn a_retry_after_is_seconds_or_a_date_and_anything_else_is_none() {
        let epoch = SystemTime::UNIX_EPOCH;
        assert_eq!(retry_after_ms("3", epoch), Some(3000));
        assert_eq!(retry_after_ms("Thu, 01 Jan 1970 00:00:07 GMT", epoch), Some(7000));
        for nonsense in ["soon", "", "-1", "1.5", "99999999999999999999"] {
            assert_eq!(retry_after_ms(nonsense, epoch), None, "{nonsense:?}");
        }
        assert_eq!(retry_after_ms("Wed, 31 Dec 1969 23:59:59 GMT", epoch), None, "before the epoch");
    }

    #[test]
    fn a_date_in_the_past_means_at_once() {
        let received = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        assert_eq!(retry_after_ms("Thu, 01 Jan 1970 00:00:07 GMT", received), Some(0));
    }
}
