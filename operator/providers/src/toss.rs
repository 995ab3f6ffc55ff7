//! The Toss Payments adapter: how a request is written. How an answer is read is in [`outcome`].
//!
//! Every call sends one request; a look-up sends a second one when the order id belongs to another payment as well.
//! Source: <https://docs.tosspayments.com/reference>.

mod outcome;

use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use fooddelivery_saga::provider::{ChargeOutcome, LookUpOutcome, RefundOutcome};
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, RequestBuilder};
use serde::Serialize;
use url::Url;

use crate::http::{HttpClient, NoAnswer, send};
use crate::port::{ChargeRequest, LookUpRequest, PaymentPort, RefundRequest};
use crate::secret::Credential;
use outcome::Answer;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

/// The longest `cancelReason`.
const MAX_REASON_CHARS: usize = 200;

/// A Toss Payments account.
#[derive(Debug)]
pub(crate) struct Toss {
    endpoint: Url,
    credential: Credential,
    timeout: Duration,
    http: HttpClient,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ConfirmBody<'a> {
    payment_key: &'a str,
    order_id: &'a str,
    amount: i64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CancelBody<'a> {
    cancel_reason: &'a str,
    cancel_amount: i64,
}

impl Toss {
    pub(crate) fn new(endpoint: Url, credential: Credential, timeout: Duration, http: HttpClient) -> Self {
        Self { endpoint, credential, timeout, http }
    }

    /// The endpoint with these path segments, percent-encoded. None when one of them cannot be a segment: an empty
    /// one would vanish, and dots would climb.
    fn url(&self, segments: &[&str]) -> Option<Url> {
        if segments.iter().any(|segment| matches!(*segment, "" | "." | "..")) {
            return None;
        }
        let mut url = self.endpoint.clone();
        url.path_segments_mut().ok()?.pop_if_empty().extend(segments);
        Some(url)
    }

    fn request(&self, method: Method, url: Url, correlation_id: &str) -> RequestBuilder {
        let request = self.http.reqwest().request(method, url).basic_auth(self.credential.expose(), Some(""));
        // For tracing only: one that cannot be a header must not hold a payment up.
        match HeaderValue::from_str(correlation_id) {
            Ok(value) => request.header(CORRELATION_ID, value),
            Err(_) => request,
        }
    }

    async fn send(
        &self,
        operation: &'static str,
        correlation_id: &str,
        request: RequestBuilder,
    ) -> Result<Answer, NoAnswer> {
        let started = Instant::now();
        let result = send(request, self.timeout).await;
        let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        match &result {
            Ok(answer) => {
                tracing::debug!(operation, correlation_id, elapsed_ms, status = answer.status, "toss");
            }
            Err(why) => tracing::debug!(operation, correlation_id, elapsed_ms, ?why, "toss"),
        }
        result.map(|http| Answer { http, now: SystemTime::now() })
    }

    async fn find(&self, segments: &[&str], correlation_id: &str) -> LookUpOutcome {
        let Some(url) = self.url(segments) else {
            return LookUpOutcome::Failed("the order id or token cannot be part of a URL".to_owned());
        };
        let request = self.request(Method::GET, url, correlation_id);
        outcome::look_up(&self.send("look_up", correlation_id, request).await)
    }
}

#[async_trait]
impl PaymentPort for Toss {
    async fn charge(&self, request: &ChargeRequest) -> ChargeOutcome {
        let token = request.token.expose();
        let Some(url) = self.url(&["v1", "payments", "confirm"]) else {
            return ChargeOutcome::NotSent("the endpoint cannot have a path".to_owned());
        };
        let body = ConfirmBody { payment_key: token, order_id: &request.order_id, amount: request.amount };
        let sent = self
            .request(Method::POST, url, &request.correlation_id)
            .header(IDEMPOTENCY_KEY, &request.idempotency_key)
            .json(&body);
        outcome::charge(&self.send("charge", &request.correlation_id, sent).await, request)
    }

    /// Toss finds by order id; an order can have several payments (a declined one, then another), so when the one
    /// it names is not the one that was asked for, that one is asked for by its key.
    async fn look_up(&self, request: &LookUpRequest) -> LookUpOutcome {
        let by_order =
            self.find(&["v1", "payments", "orders", &request.order_id], &request.correlation_id).await;
        match by_order {
            LookUpOutcome::Found(other) if other.payment_id != request.token.expose() => {
                let key = request.token.expose();
                match self.find(&["v1", "payments", key], &request.correlation_id).await {
                    LookUpOutcome::NotFound => LookUpOutcome::Found(other),
                    outcome => outcome,
                }
            }
            outcome => outcome,
        }
    }

    async fn refund(&self, request: &RefundRequest) -> RefundOutcome {
        let Some(url) = self.url(&["v1", "payments", &request.payment_id, "cancel"]) else {
            return RefundOutcome::Refused(outcome::local_refusal("the payment id cannot be part of a URL"));
        };
        let reason: String = request.reason.chars().take(MAX_REASON_CHARS).collect();
        let body = CancelBody { cancel_reason: &reason, cancel_amount: request.amount };
        let sent = self
            .request(Method::POST, url, &request.correlation_id)
            .header(IDEMPOTENCY_KEY, &request.idempotency_key)
            .json(&body);
        outcome::refund(&self.send("refund", &request.correlation_id, sent).await, request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toss(endpoint: &str) -> Toss {
        let http = HttpClient::new().unwrap();
        Toss::new(Url::parse(endpoint).unwrap(), Credential::new("sk"), Duration::from_secs(1), http)
    }

    #[test]
    fn path_segments_are_percent_encoded_below_the_endpoints_own_path() {
        let url = |endpoint: &str| toss(endpoint).url(&["v1", "payments", "a/b?c#d%e 한", "cancel"]).unwrap();
        let path = "/v1/payments/a%2Fb%3Fc%23d%25e%20%ED%95%9C/cancel";
        assert_eq!(url("https://host").path(), path);
        assert_eq!(url("https://host/").path(), path);
        assert_eq!(url("https://host/pre/fix/").path(), format!("/pre/fix{path}"));
    }

    #[test]
    fn a_segment_that_would_change_the_path_is_not_sent() {
        for segment in ["", ".", ".."] {
            assert_eq!(toss("https://host").url(&["v1", segment]), None, "{segment:?}");
        }
    }

    #[test]
    fn the_adapter_does_not_show_its_credential() {
        let toss = Toss { credential: Credential::new("sk_hidden"), ..toss("https://host") };
        assert!(!format!("{toss:?}").contains("sk_hidden"));
    }
}
