//! The Stripe adapter: how a request is written. How responses are read is in [`responses`].
//!
//! A payment is an intent that is prepared unconfirmed, so that its id can be stored before it is charged, and
//! canceled when it must never be. Every call sends one request; a refund and a look-up without an id send a second
//! one. Source: <https://docs.stripe.com/api/payment_intents>.

mod responses;

use std::time::Duration;

use async_trait::async_trait;
use fooddelivery_saga::provider::{
    CallFailure, ChargeOutcome, LookUpOutcome, PrepareOutcome, RefundOutcome, VoidOutcome,
};
use reqwest::header::{CONTENT_TYPE, HeaderName};
use reqwest::{Method, RequestBuilder};
use url::Url;
use url::form_urlencoded::Serializer;

use crate::account::{Account, IDEMPOTENCY_KEY};
use crate::http::{HttpResponse, TransportError};
use crate::payment::port::{
    ChargeRequest, LookUpRequest, PaymentPort, PrepareRequest, RefundRequest, Traits, VoidRequest,
};
use crate::refusal::local_refusal;

/// Minimum time for which the first response is replayed for an idempotency key.
/// Source: <https://docs.stripe.com/api/idempotent_requests>.
const KEY_RETENTION: Duration = Duration::from_hours(24);

/// The protocol's properties.
pub(crate) const TRAITS: Traits =
    Traits { prepares: true, key_retention: KEY_RETENTION, token_lifetime: None };

const STRIPE_VERSION: HeaderName = HeaderName::from_static("stripe-version");
/// API version of the bodies, whatever the account's default is.
const VERSION: &str = "2024-06-20";

/// A Stripe account.
#[derive(Debug)]
pub(crate) struct Stripe(pub(crate) Account);

impl Stripe {
    fn request(&self, method: Method, url: Url, correlation_id: &str) -> RequestBuilder {
        self.0
            .request(method, url, correlation_id)
            .bearer_auth(self.0.credential.expose())
            .header(STRIPE_VERSION, VERSION)
    }

    async fn get(
        &self,
        operation: &'static str,
        url: Url,
        correlation_id: &str,
    ) -> Result<HttpResponse, TransportError> {
        let request = self.request(Method::GET, url, correlation_id);
        self.0.send("stripe", operation, correlation_id, request).await
    }

    /// Posts a form. Stripe matches a key together with the form, so a form holds nothing that could differ between
    /// two repeats of one operation, such as a reason in words.
    async fn post(
        &self,
        operation: &'static str,
        segments: &[&str],
        idempotency_key: Option<&str>,
        correlation_id: &str,
        form: &[(&str, &str)],
    ) -> Result<HttpResponse, TransportError> {
        let Some(url) = self.0.url(segments) else {
            return Err(TransportError::NotSent("the payment id cannot be part of a URL".to_owned()));
        };
        let request = self
            .request(Method::POST, url, correlation_id)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Serializer::new(String::new()).extend_pairs(form).finish());
        let request = match idempotency_key {
            Some(key) => request.header(IDEMPOTENCY_KEY, key),
            None => request,
        };
        self.0.send("stripe", operation, correlation_id, request).await
    }

    async fn find(&self, payment_id: &str, correlation_id: &str) -> LookUpOutcome {
        let Some(mut url) = self.0.url(&["v1", "payment_intents", payment_id]) else {
            let why = "the payment id cannot be part of a URL".to_owned();
            return LookUpOutcome::CallFailure(CallFailure::NotSent(why));
        };
        // What was given back is told by the charge, which is only named unless asked for.
        url.query_pairs_mut().append_pair("expand[]", "latest_charge");
        responses::look_up(&self.get("look_up", url, correlation_id).await)
    }

    /// The id of a payment of this order. The search lags by a minute or more, so finding none says little.
    async fn search(&self, order_id: &str, correlation_id: &str) -> Result<Option<String>, CallFailure> {
        let Some(mut url) = self.0.url(&["v1", "payment_intents", "search"]) else {
            return Err(CallFailure::NotSent("the endpoint cannot have a path".to_owned()));
        };
        url.query_pairs_mut().append_pair("query", &order_query(order_id));
        responses::first_hit(&self.get("search", url, correlation_id).await)
    }
}

/// Finds payments by the order id in their metadata; quotes and backslashes are escaped, as the order id is not ours.
/// Source: <https://docs.stripe.com/search#search-query-language>.
fn order_query(order_id: &str) -> String {
    let escaped = order_id.replace('\\', r"\\").replace('\'', r"\'");
    format!("metadata['order_id']:'{escaped}'")
}

#[async_trait]
impl PaymentPort for Stripe {
    fn traits(&self) -> Traits {
        TRAITS
    }

    async fn prepare(&self, request: &PrepareRequest) -> PrepareOutcome {
        let (amount, currency) = (request.amount.to_string(), request.currency.to_ascii_lowercase());
        let form = [
            ("amount", amount.as_str()),
            ("currency", &currency),
            ("payment_method", request.token.expose()),
            // Named, for else the account's own choice counts, and one with redirects wants a URL to return to.
            ("payment_method_types[]", "card"),
            ("confirm", "false"),
            ("metadata[order_id]", &request.order_id),
        ];
        let path = ["v1", "payment_intents"];
        let result =
            self.post("prepare", &path, Some(&request.idempotency_key), &request.correlation_id, &form).await;
        responses::prepare(&result, request, &self.0.credential)
    }

    async fn charge(&self, request: &ChargeRequest) -> ChargeOutcome {
        let Some(payment_id) = request.payment_id.as_deref() else {
            let why = "a payment has to be prepared before it is charged".to_owned();
            return ChargeOutcome::CallFailure(CallFailure::NotSent(why));
        };
        // Nobody is there any more to answer the card's issuer, so a payment that asks for it is refused at once.
        let form = [("payment_method", request.token.expose()), ("error_on_requires_action", "true")];
        let path = ["v1", "payment_intents", payment_id, "confirm"];
        let result =
            self.post("charge", &path, Some(&request.idempotency_key), &request.correlation_id, &form).await;
        responses::charge(&result, request, payment_id, &self.0.credential)
    }

    async fn look_up(&self, request: &LookUpRequest) -> LookUpOutcome {
        if let Some(payment_id) = request.payment_id.as_deref() {
            return self.find(payment_id, &request.correlation_id).await;
        }
        // The search shows what was true a while ago; what it finds is asked for again.
        match self.search(&request.order_id, &request.correlation_id).await {
            Ok(Some(payment_id)) => self.find(&payment_id, &request.correlation_id).await,
            Ok(None) => LookUpOutcome::NotFound,
            Err(failure) => LookUpOutcome::CallFailure(failure),
        }
    }

    async fn void(&self, request: &VoidRequest) -> VoidOutcome {
        let path = ["v1", "payment_intents", &request.payment_id, "cancel"];
        let result = self.post("void", &path, None, &request.correlation_id, &[]).await;
        responses::void(&result, request)
    }

    /// The refund that Stripe answers with tells nothing of earlier ones, so the payment is read after it.
    async fn refund(&self, request: &RefundRequest) -> RefundOutcome {
        if self.0.url(&["v1", "payment_intents", &request.payment_id]).is_none() {
            return RefundOutcome::Refused(local_refusal("the payment id cannot be part of a URL"));
        }
        let amount = request.amount.to_string();
        let form = [("payment_intent", request.payment_id.as_str()), ("amount", &amount)];
        let path = ["v1", "refunds"];
        let result =
            self.post("refund", &path, Some(&request.idempotency_key), &request.correlation_id, &form).await;
        match responses::refund(&result, request, &self.0.credential) {
            Err(outcome) => outcome,
            Ok(responses::RefundMade) => {
                responses::refunded(self.find(&request.payment_id, &request.correlation_id).await, request)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_id_cannot_break_out_of_the_search_query() {
        assert_eq!(order_query("order-1"), "metadata['order_id']:'order-1'");
        assert_eq!(order_query(r"x' OR \"), r"metadata['order_id']:'x\' OR \\'");
    }
}
