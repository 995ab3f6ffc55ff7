//! The Toss Payments adapter: how a request is written. How responses are read is in [`responses`].
//!
//! Every call sends one request; a look-up sends a second one when the order id belongs to another payment as well.
//! Source: <https://docs.tosspayments.com/reference>.

mod responses;

use std::time::Duration;

use async_trait::async_trait;
use fooddelivery_saga::provider::{CallFailure, ChargeOutcome, LookUpOutcome, ProviderStatus, RefundOutcome};
use reqwest::{Method, RequestBuilder};
use serde::Serialize;
use url::Url;

use crate::account::{Account, IDEMPOTENCY_KEY};
use crate::http::{HttpResponse, TransportError};
use crate::payment::port::{ChargeRequest, LookUpRequest, PaymentPort, RefundRequest, Traits};
use crate::refusal::local_refusal;

/// How long the first response is replayed for an idempotency key.
/// Source: <https://docs.tosspayments.com/reference/using-api/authorization>.
const KEY_RETENTION: Duration = Duration::from_hours(15 * 24);
/// How long a checkout can be confirmed: ten minutes; five more allow for clocks that differ.
const TOKEN_LIFETIME: Duration = Duration::from_mins(15);

/// The protocol's properties.
pub(crate) const TRAITS: Traits =
    Traits { prepares: false, key_retention: KEY_RETENTION, token_lifetime: Some(TOKEN_LIFETIME) };

/// Maximum length of a `cancelReason`.
const REASON_CHARS_MAX: usize = 200;

/// A Toss Payments account.
#[derive(Debug)]
pub(crate) struct Toss(pub(crate) Account);

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
    fn request(&self, method: Method, url: Url, correlation_id: &str) -> RequestBuilder {
        self.0.request(method, url, correlation_id).basic_auth(self.0.credential.expose(), Some(""))
    }

    async fn send(
        &self,
        operation: &'static str,
        correlation_id: &str,
        request: RequestBuilder,
    ) -> Result<HttpResponse, TransportError> {
        self.0.send("toss", operation, correlation_id, request).await
    }

    async fn find(&self, segments: &[&str], correlation_id: &str) -> LookUpOutcome {
        let Some(url) = self.0.url(segments) else {
            let why = "the order id or token cannot be part of a URL".to_owned();
            return LookUpOutcome::CallFailure(CallFailure::NotSent(why));
        };
        let request = self.request(Method::GET, url, correlation_id);
        responses::look_up(&self.send("look_up", correlation_id, request).await)
    }
}

#[async_trait]
impl PaymentPort for Toss {
    fn traits(&self) -> Traits {
        TRAITS
    }

    async fn charge(&self, request: &ChargeRequest) -> ChargeOutcome {
        let token = request.token.expose();
        let Some(url) = self.0.url(&["v1", "payments", "confirm"]) else {
            return ChargeOutcome::CallFailure(CallFailure::NotSent(
                "the endpoint cannot have a path".to_owned(),
            ));
        };
        let body = ConfirmBody { payment_key: token, order_id: &request.order_id, amount: request.amount };
        let sent = self
            .request(Method::POST, url, &request.correlation_id)
            .header(IDEMPOTENCY_KEY, &request.idempotency_key)
            .json(&body);
        let result = self.send("charge", &request.correlation_id, sent).await;
        responses::charge(&result, request, &self.0.credential)
    }

    /// Toss finds by order id; an order can have several payments (a declined one, then another). A captured one is
    /// the answer whichever it is: the order has been paid. Else the one that was asked for is asked for by its key.
    async fn look_up(&self, request: &LookUpRequest) -> LookUpOutcome {
        let by_order =
            self.find(&["v1", "payments", "orders", &request.order_id], &request.correlation_id).await;
        match by_order {
            LookUpOutcome::Found(other)
                if other.status != ProviderStatus::Captured
                    && request.token.as_ref().is_some_and(|token| token.expose() != other.payment_id) =>
            {
                let key = request.token.as_ref().map(crate::secret::Token::expose).unwrap_or_default();
                self.find(&["v1", "payments", key], &request.correlation_id).await
            }
            outcome => outcome,
        }
    }

    async fn refund(&self, request: &RefundRequest) -> RefundOutcome {
        let Some(url) = self.0.url(&["v1", "payments", &request.payment_id, "cancel"]) else {
            return RefundOutcome::Refused(local_refusal("the payment id cannot be part of a URL"));
        };
        let reason: String = request.reason.chars().take(REASON_CHARS_MAX).collect();
        let body = CancelBody { cancel_reason: &reason, cancel_amount: request.amount };
        let sent = self
            .request(Method::POST, url, &request.correlation_id)
            .header(IDEMPOTENCY_KEY, &request.idempotency_key)
            .json(&body);
        let result = self.send("refund", &request.correlation_id, sent).await;
        responses::refund(&result, request, &self.0.credential)
    }
}
