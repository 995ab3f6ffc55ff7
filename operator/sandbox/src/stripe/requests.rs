//! What each Stripe endpoint takes: the parameters it reads, those it knows and ignores, and which it refuses.
//!
//! Only the request itself is looked at; whether it can be granted is decided in the bank.

use super::form::Form;
use super::search::Search;
use crate::bank::stripe::{NewIntent, NewRefund, Refusal};
use crate::front::Arrival;

/// Maximum amount: eight digits.
const AMOUNT_KRW_MAX: i64 = 99_999_999;
/// Maximum length of a payment method id.
const PAYMENT_METHOD_CHARS_MAX: usize = 255;

/// What a real integration sends along and the sandbox has no use for.
const IGNORED_ON_CREATE: [&str; 12] = [
    "automatic_payment_methods",
    "customer",
    "description",
    "error_on_requires_action",
    "expand",
    "off_session",
    "payment_method_options",
    "payment_method_types",
    "receipt_email",
    "return_url",
    "statement_descriptor_suffix",
    "use_stripe_sdk",
];
const IGNORED_ON_CONFIRM: [&str; 6] = [
    "error_on_requires_action",
    "expand",
    "off_session",
    "payment_method_options",
    "return_url",
    "use_stripe_sdk",
];
const CANCELLATION_REASONS: [&str; 4] = ["duplicate", "fraudulent", "requested_by_customer", "abandoned"];

/// A request of the payment API.
#[derive(Debug)]
pub(super) enum Request {
    /// Create an intent, and capture it at once if so wanted.
    Create { new: NewIntent, confirm: bool },
    /// Capture.
    Confirm { id: String, payment_method: Option<String> },
    /// Make a capture impossible.
    Cancel { id: String, reason: Option<String> },
    /// Give money back.
    Refund(NewRefund),
    /// Read by id.
    ById(String),
    /// Read by order id, late.
    Find(Search),
    /// Parameters that cannot be right: refused before execution, so no idempotency key keeps it.
    Malformed(Refusal),
}

pub(super) fn create(arrival: &Arrival) -> Result<Request, Refusal> {
    let mut form = Form::of_body(&arrival.headers, &arrival.body)?;
    let amount = form.require_positive("amount", AMOUNT_KRW_MAX)?;
    let currency = form.require("currency")?;
    if currency != "krw" {
        return Err(Refusal::invalid(None, "The sandbox has one currency: krw.").of_param("currency"));
    }
    for (name, only) in [("capture_method", "automatic"), ("confirmation_method", "automatic")] {
        if form.take(name).is_some_and(|value| value != only) {
            return Err(Refusal::invalid(None, format!("The sandbox has one {name}: {only}.")));
        }
    }
    let confirm = form.flag("confirm")?;
    let payment_method = payment_method(&mut form)?;
    if confirm && payment_method.is_none() {
        let message = "An intent that is to be confirmed at once needs a payment_method.";
        return Err(Refusal::invalid(Some("parameter_missing"), message).of_param("payment_method"));
    }
    let metadata = form.metadata()?;
    form.finish(&IGNORED_ON_CREATE)?;
    Ok(Request::Create { new: NewIntent { amount, payment_method, metadata }, confirm })
}

pub(super) fn confirm(id: String, arrival: &Arrival) -> Result<Request, Refusal> {
    let mut form = Form::of_body(&arrival.headers, &arrival.body)?;
    let payment_method = payment_method(&mut form)?;
    form.finish(&IGNORED_ON_CONFIRM)?;
    Ok(Request::Confirm { id, payment_method })
}

pub(super) fn cancel(id: String, arrival: &Arrival) -> Result<Request, Refusal> {
    let mut form = Form::of_body(&arrival.headers, &arrival.body)?;
    let reason = form.take("cancellation_reason");
    if reason.as_deref().is_some_and(|reason| !CANCELLATION_REASONS.contains(&reason)) {
        let message = format!("cancellation_reason is one of {}.", CANCELLATION_REASONS.join(", "));
        return Err(Refusal::invalid(None, message).of_param("cancellation_reason"));
    }
    form.finish(&["expand"])?;
    Ok(Request::Cancel { id, reason })
}

pub(super) fn refund(arrival: &Arrival) -> Result<Request, Refusal> {
    let mut form = Form::of_body(&arrival.headers, &arrival.body)?;
    let intent = form.require("payment_intent")?;
    let amount = form.positive("amount", AMOUNT_KRW_MAX)?;
    form.finish(&["expand", "metadata", "reason"])?;
    Ok(Request::Refund(NewRefund { intent, amount }))
}

fn payment_method(form: &mut Form) -> Result<Option<String>, Refusal> {
    let method = form.take("payment_method");
    if method.as_deref().is_some_and(|method| method.chars().count() > PAYMENT_METHOD_CHARS_MAX) {
        let message = format!("payment_method has at most {PAYMENT_METHOD_CHARS_MAX} characters.");
        return Err(Refusal::invalid(None, message).of_param("payment_method"));
    }
    Ok(method)
}
