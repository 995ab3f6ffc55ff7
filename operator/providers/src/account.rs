//! An account at a provider: endpoint, credential and timeout.
//!
//! What all dialects need to send a request and to log it without its secrets. It adds no authentication and reads no
//! response body: these are the dialect's.

use std::time::{Duration, Instant};

use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, RequestBuilder};
use url::Url;

use crate::http::{HttpClient, HttpResponse, TransportError, send};
use crate::secret::Credential;

pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

/// An account at a provider.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) endpoint: Url,
    pub(crate) credential: Credential,
    /// Time limit of each request, from connecting to the last byte of the response.
    pub(crate) timeout: Duration,
    pub(crate) http: HttpClient,
}

impl Account {
    /// The endpoint with these path segments, percent-encoded. None when one of them cannot be a segment: an empty
    /// one would vanish, and dots would climb.
    pub(crate) fn url(&self, segments: &[&str]) -> Option<Url> {
        if segments.iter().any(|segment| matches!(*segment, "" | "." | "..")) {
            return None;
        }
        let mut url = self.endpoint.clone();
        url.path_segments_mut().ok()?.pop_if_empty().extend(segments);
        Some(url)
    }

    pub(crate) fn request(&self, method: Method, url: Url, correlation_id: &str) -> RequestBuilder {
        let request = self.http.reqwest().request(method, url);
        // For tracing only: an id that cannot be a header must not hold up a payment.
        match HeaderValue::from_str(correlation_id) {
            Ok(value) => request.header(CORRELATION_ID, value),
            Err(_) => request,
        }
    }

    /// Sends a request and logs the result under the dialect's name.
    pub(crate) async fn send(
        &self,
        dialect: &'static str,
        operation: &'static str,
        correlation_id: &str,
        request: RequestBuilder,
    ) -> Result<HttpResponse, TransportError> {
        let started = Instant::now();
        let result = send(request, self.timeout).await;
        let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        match &result {
            Ok(HttpResponse { status, replayed, .. }) => {
                tracing::debug!(dialect, operation, correlation_id, elapsed_ms, status, replayed, "answered");
            }
            Err(why) => {
                tracing::debug!(dialect, operation, correlation_id, elapsed_ms, ?why, "not answered");
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(endpoint: &str) -> Account {
        Account {
            endpoint: Url::parse(endpoint).unwrap(),
            credential: Credential::new("sk_hidden"),
            timeout: Duration::from_secs(1),
            http: HttpClient::new().unwrap(),
        }
    }

    #[test]
    fn path_segments_are_percent_encoded_below_the_endpoints_own_path() {
        let url =
            |endpoint: &str| account(endpoint).url(&["v1", "payments", "a/b?c#d%e 한", "cancel"]).unwrap();
        let path = "/v1/payments/a%2Fb%3Fc%23d%25e%20%ED%95%9C/cancel";
        assert_eq!(url("https://host").path(), path);
        assert_eq!(url("https://host/").path(), path);
        assert_eq!(url("https://host/pre/fix/").path(), format!("/pre/fix{path}"));
    }

    #[test]
    fn a_segment_that_would_change_the_path_is_not_sent() {
        for segment in ["", ".", ".."] {
            assert_eq!(account("https://host").url(&["v1", segment]), None, "{segment:?}");
        }
    }

    #[test]
    fn an_account_does_not_show_its_credential() {
        assert!(!format!("{:?}", account("https://host")).contains("sk_hidden"));
    }
}
