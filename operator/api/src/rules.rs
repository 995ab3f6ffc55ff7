//! What a schema cannot say: CEL rules, each with the sentence that the user reads. The stage rules are generated
//! from the transition tables of `saga`.
//!
//! Two facts of the API server shape them. Field rules with `oldSelf` do not run when either side is unset, so what
//! must not appear, vanish or change is ruled on its parent. Root rules also run on status writes, so a rule about
//! status guards against a spec that was already there.

use std::fmt::Display;

use fooddelivery_saga::order::steps as saga;
use fooddelivery_saga::phases::{DeliveryStage, OrderPhase, PaymentDesired, PaymentPhase, TicketStage};
use fooddelivery_saga::table::{self, Step};

use crate::MessageTransport;

/// A CEL rule at a place in a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Where: property names joined by dots, empty for the root.
    pub path: &'static str,
    /// The CEL expression.
    pub rule: String,
    /// What the user reads; an expression where it depends on the values.
    pub message: Message,
}

/// What the user reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A sentence.
    Text(String),
    /// A CEL expression that gives one.
    Expression(String),
}

fn rule(path: &'static str, rule: impl Into<String>, message: &str) -> Rule {
    Rule { path, rule: rule.into(), message: Message::Text(message.into()) }
}

/// A required field that never changes.
fn immutable(path: &'static str, field: &str, sentence: &str) -> Rule {
    rule(path, format!("self.{field} == oldSelf.{field}"), sentence)
}

/// An optional field that neither appears nor vanishes nor changes.
fn immutable_optional(path: &'static str, field: &str, sentence: &str) -> Rule {
    let text = format!(
        "has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})"
    );
    rule(path, text, sentence)
}

/// An optional field that may be set, once, and then stays.
fn set_once(path: &'static str, field: &str, sentence: &str) -> Rule {
    let text = format!("!has(oldSelf.{field}) || (has(self.{field}) && self.{field} == oldSelf.{field})");
    rule(path, text, sentence)
}

/// Only the table's own steps, one at a time.
fn steps<T: Copy + PartialEq + Display>(
    path: &'static str,
    what: &str,
    table: &[Step<T>],
    all: &[T],
) -> Rule {
    let next = |from: T| table::next(table, from);
    transitions(path, what, all, next)
}

/// Whatever the table reaches by one step or several, as in a status whose writer may skip phases.
fn journeys<T: Copy + PartialEq + Display>(
    path: &'static str,
    what: &str,
    table: &[Step<T>],
    all: &[T],
) -> Rule {
    let next = |from: T| table::reachable(table, all, from);
    transitions(path, what, all, next)
}

fn transitions<T: Copy + Display>(
    path: &'static str,
    what: &str,
    all: &[T],
    next: impl Fn(T) -> Vec<T>,
) -> Rule {
    let mut ways = vec!["self == oldSelf".to_owned()];
    for from in all {
        let to: Vec<String> = next(*from).iter().map(|t| format!("'{t}'")).collect();
        if !to.is_empty() {
            ways.push(format!("(oldSelf == '{from}' && self in [{}])", to.join(", ")));
        }
    }
    let message = format!("'{what} cannot go from ' + oldSelf + ' to ' + self");
    Rule { path, rule: ways.join(" || "), message: Message::Expression(message) }
}

/// The rest of a comparison with any of these.
fn one_of(phases: impl Iterator<Item = OrderPhase>) -> String {
    let phases: Vec<String> = phases.map(|phase| format!("'{phase}'")).collect();
    match phases.as_slice() {
        [one] => format!(" == {one}"),
        several => format!(" in [{}]", several.join(", ")),
    }
}

/// The rules of Order.
pub fn order() -> Vec<Rule> {
    let fixed = "is fixed once the order is placed; cancel the order and place another";
    let mut rules = vec![
        rule("", "self.metadata.name.size() <= 63", "an order's name has at most 63 characters"),
        rule(
            "",
            format!(
                "has(oldSelf.spec.receiptConfirmed) || !has(self.spec.receiptConfirmed) || \
                 (has(self.status) && has(self.status.phase) && self.status.phase{})",
                one_of(saga::receipt_phases())
            ),
            "receipt can be confirmed only once the food is delivered",
        ),
        rule(
            "",
            format!(
                "(has(self.spec.payment.token) == has(oldSelf.spec.payment.token) && \
             (!has(self.spec.payment.token) || self.spec.payment.token == oldSelf.spec.payment.token) && \
             has(self.spec.payment.tokenSecretRef) == has(oldSelf.spec.payment.tokenSecretRef) && \
             (!has(self.spec.payment.tokenSecretRef) || \
             self.spec.payment.tokenSecretRef == oldSelf.spec.payment.tokenSecretRef)) || \
             (has(oldSelf.status) && has(oldSelf.status.phase) && oldSelf.status.phase{})",
                one_of(saga::token_phases())
            ),
            "the payment token can be replaced only while payment is deferred",
        ),
        immutable("spec", "customerRef", &format!("customerRef {fixed}")),
        immutable_optional("spec", "storeRef", &format!("storeRef {fixed}")),
        immutable("spec", "items", &format!("items {fixed}")),
        immutable("spec", "delivery", &format!("delivery {fixed}")),
        immutable_optional("spec", "couponCode", &format!("couponCode {fixed}")),
        immutable_optional("spec", "expectedTotal", &format!("expectedTotal {fixed}")),
        set_once("spec", "cancellation", "a cancellation can be neither changed nor taken back"),
        set_once("spec", "receiptConfirmed", "a confirmed receipt cannot be taken back"),
        rule("spec.receiptConfirmed", "self", "receiptConfirmed can only be set to true"),
        immutable("spec.payment", "providerRef", &format!("payment.providerRef {fixed}")),
        immutable_optional("spec.payment", "providerOrderId", &format!("payment.providerOrderId {fixed}")),
        immutable("spec.payment", "whenUnavailable", &format!("payment.whenUnavailable {fixed}")),
        rule(
            "spec.payment",
            "has(self.token) != has(self.tokenSecretRef)",
            "payment needs exactly one of token and tokenSecretRef",
        ),
        journeys("status.phase", "an order", table::ORDER, OrderPhase::ALL),
    ];
    rules.push(set_once("status", "cancellation", "the verdict on a cancellation never changes"));
    rules
}

/// The rules of Payment.
pub fn payment() -> Vec<Rule> {
    vec![
        immutable("spec", "orderRef", "a payment belongs to one order for ever"),
        immutable("spec", "quote", "the quote is frozen"),
        immutable("spec", "providerRef", "the provider of a payment is fixed"),
        immutable("spec", "providerOrderId", "the provider's order id is fixed"),
        immutable("spec", "whenUnavailable", "whenUnavailable is fixed"),
        immutable_optional("spec", "intent", "the intent of a payment is recorded as it is created"),
        rule(
            "spec",
            "has(self.coupon) == has(oldSelf.coupon) && (!has(self.coupon) || \
             (self.coupon.name == oldSelf.coupon.name && self.coupon.uid == oldSelf.coupon.uid && \
             (!has(oldSelf.coupon.returned) || !oldSelf.coupon.returned || \
             (has(self.coupon.returned) && self.coupon.returned))))",
            "the coupon of a payment is fixed, and is given back once",
        ),
        set_once("spec", "reversal", "the reason of a reversal is set once"),
        rule(
            "",
            "!has(self.spec.resolution) || has(oldSelf.spec.resolution) || \
             (has(self.status) && has(self.status.phase) && self.status.phase == 'NeedsReview')",
            "a payment is resolved by hand only in phase NeedsReview",
        ),
        rule(
            "",
            "!has(self.spec.resolution) || has(oldSelf.spec.resolution) || \
             self.spec.resolution.action != 'NotCharged' || !has(self.status) || \
             !has(self.status.capturedAmount) || self.status.capturedAmount == 0",
            "the provider has said that it took the money: the resolution is Refunded, Captured or Retry",
        ),
        rule("spec.resolution", "self == oldSelf", "a resolution stands until the operator has acted on it"),
        steps("spec.desired", "what is wanted of a payment", table::DESIRED, PaymentDesired::ALL),
        steps("status.phase", "a payment", table::PAYMENT, PaymentPhase::ALL),
        rule(
            "status",
            "!has(self.refundedAmount) || !has(self.capturedAmount) || self.refundedAmount <= self.capturedAmount",
            "no more can be refunded than was captured",
        ),
    ]
}

/// The rules of Ticket.
pub fn ticket() -> Vec<Rule> {
    vec![
        immutable("spec", "orderRef", "a ticket belongs to one order for ever"),
        immutable("spec", "storeRef", "a ticket stays with its store"),
        immutable("spec", "items", "the items of a ticket are fixed"),
        immutable_optional("spec", "deadlines", "the deadlines of a ticket are fixed"),
        set_once("spec", "reason", "the reason of a ticket's end is set once"),
        rule(
            "spec",
            "!has(self.reason) || self.stage in ['Rejected', 'Cancelled', 'Abandoned']",
            "a reason goes with a rejected, cancelled or abandoned ticket",
        ),
        steps("spec.stage", "a ticket", table::TICKET, TicketStage::ALL),
    ]
}

/// The rules of Delivery.
pub fn delivery() -> Vec<Rule> {
    vec![
        immutable("spec", "orderRef", "a delivery belongs to one order for ever"),
        immutable("spec", "pickup", "the pick-up of a delivery is fixed"),
        immutable("spec", "dropoff", "the drop-off of a delivery is fixed"),
        immutable_optional("spec", "deadlines", "the deadlines of a delivery are fixed"),
        set_once("spec", "reason", "the reason of a delivery's end is set once"),
        Rule {
            path: "spec",
            rule: "!has(oldSelf.riderRef) || !has(self.riderRef) || self.riderRef == oldSelf.riderRef".into(),
            message: Message::Expression(
                "'this delivery is already taken by ' + oldSelf.riderRef.name".into(),
            ),
        },
        rule(
            "spec",
            "has(self.riderRef) == has(oldSelf.riderRef) || \
             (oldSelf.stage == 'Waiting' && self.stage == 'Waiting')",
            "a delivery can be taken or given back only while it waits",
        ),
        rule(
            "spec",
            "!(self.stage in ['PickedUp', 'Delivered', 'Failed']) || has(self.riderRef)",
            "only a delivery that a rider has taken can be picked up",
        ),
        rule(
            "spec",
            "self.stage != 'Cancelled' || !has(self.riderRef)",
            "a delivery that a rider has taken cannot be cancelled",
        ),
        steps("spec.stage", "a delivery", table::DELIVERY, DeliveryStage::ALL),
    ]
}

/// The rules of Coupon.
pub fn coupon() -> Vec<Rule> {
    vec![
        rule("", "self.metadata.name.size() <= 63", "a coupon's name, its code, has at most 63 characters"),
        rule(
            "spec.discount",
            "has(self.percent) != has(self.amount)",
            "a discount is either a percent or an amount",
        ),
        rule(
            "spec",
            "!has(self.validFrom) || !has(self.validUntil) || self.validFrom < self.validUntil",
            "validFrom must be before validUntil",
        ),
        immutable_optional(
            "spec",
            "perCustomer",
            "perCustomer is fixed, as what was redeemed before would not be counted; make another coupon",
        ),
    ]
}

/// The rules of CouponUse.
pub fn coupon_use() -> Vec<Rule> {
    vec![
        immutable("spec", "couponRef", "whose redemptions it counts is fixed"),
        immutable("spec", "customerRef", "whose redemptions it counts is fixed"),
    ]
}

/// The rules of MessageProvider.
pub fn message_provider() -> Vec<Rule> {
    let by_http: Vec<String> = MessageTransport::ALL
        .iter()
        .filter(|transport| transport.is_http())
        .map(|transport| format!("'{transport:?}'"))
        .collect();
    let otherwise = format!("!(self.transport in [{}]) || ", by_http.join(", "));
    vec![
        // Set once: a provider of before the field was there gets it, and keeps who was told of what.
        set_once("spec", "transport", "the transport of a provider is fixed; make another provider"),
        immutable("spec", "endpoint", ENDPOINT_FIXED),
        rule("spec", format!("{otherwise}isURL(self.endpoint)"), ENDPOINT_URL),
        rule("spec", format!("{otherwise}{HTTPS}"), ENDPOINT_HTTPS),
        rule(
            "spec",
            "(self.transport == 'AlimTalk') == has(self.alimTalk)",
            "alimTalk is needed for the transport AlimTalk, and only there",
        ),
    ]
}

/// The rules of PaymentProvider.
pub fn provider() -> Vec<Rule> {
    vec![
        immutable("spec", "dialect", "the dialect of a provider is fixed; make another provider"),
        immutable("spec", "endpoint", ENDPOINT_FIXED),
        rule("spec.endpoint", "isURL(self)", ENDPOINT_URL),
        rule("spec", HTTPS, ENDPOINT_HTTPS),
    ]
}

const ENDPOINT_FIXED: &str = "the endpoint of a provider is fixed; make another provider";
const ENDPOINT_URL: &str = "endpoint must be a URL, such as https://api.example.com";
const ENDPOINT_HTTPS: &str = "endpoint must be https; http needs allowPlainHttp: true";

/// Whether an endpoint that is a URL is one by https, or by http where that is allowed.
const HTTPS: &str = "!isURL(self.endpoint) || url(self.endpoint).getScheme() == 'https' || \
     (url(self.endpoint).getScheme() == 'http' && has(self.allowPlainHttp) && self.allowPlainHttp)";
