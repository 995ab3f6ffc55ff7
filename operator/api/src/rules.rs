//! What a schema cannot say: CEL rules, each with the sentence that the user reads. The stage rules are generated
//! from the transition tables of `saga`.
//!
//! Three facts of the API server shape them. What stands in a schema is looked at with every write, those of status too,
//! and each step from property to property copies all properties of that place: a rule at the root costs as much as the
//! rest of the write. So of orders and what the operator makes of them, rules about the spec stand in the admission
//! policy of the kind ([`crate::policies`]), which status writes do not concern, and only those about the status stand in
//! the schema, at the values that they compare. Field rules with `oldSelf` do not run when either side is unset, so what
//! must not vanish is ruled on its parent. And a policy names one reason only: the first check that fails.

use std::fmt::Display;

use fooddelivery_saga::order::steps as saga;
use fooddelivery_saga::phases::{DeliveryStage, OrderPhase, PaymentDesired, PaymentPhase, TicketStage};
use fooddelivery_saga::table::{self, Step};

use crate::MessageTransport;

/// A CEL rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Where it stands.
    pub place: Place,
    /// The CEL expression.
    pub rule: String,
    /// What the user reads; an expression where it depends on the values.
    pub message: Message,
}

/// Where a rule stands, and with that, which writes it is looked at for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the schema, for every write: property names joined by dots, empty for the root. The value there is `self`, the
    /// one before `oldSelf`.
    Schema(&'static str),
    /// In the policy of the kind, for creations. What is created is `object`.
    Create,
    /// In the policy of the kind, for updates of anything but the status: of `oldObject` to `object`.
    Update,
    /// In the policy of the kind, for both: `object`.
    Write,
}

/// What the user reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A sentence.
    Text(String),
    /// A CEL expression that gives one.
    Expression(String),
}

fn rule(place: Place, rule: impl Into<String>, message: &str) -> Rule {
    Rule { place, rule: rule.into(), message: Message::Text(message.into()) }
}

/// A rule of a schema.
fn within(path: &'static str, text: impl Into<String>, message: &str) -> Rule {
    rule(Place::Schema(path), text, message)
}

/// A required field of a schema's place that never changes.
fn immutable_within(path: &'static str, field: &str, sentence: &str) -> Rule {
    within(path, format!("self.{field} == oldSelf.{field}"), sentence)
}

/// An optional field of a schema's place that may be set, once, and then stays.
fn set_once_within(path: &'static str, field: &str, sentence: &str) -> Rule {
    let text = format!("!has(oldSelf.{field}) || (has(self.{field}) && self.{field} == oldSelf.{field})");
    within(path, text, sentence)
}

/// A required field, such as `spec.items`, that never changes.
fn immutable(field: &str, sentence: &str) -> Rule {
    rule(Place::Update, format!("object.{field} == oldObject.{field}"), sentence)
}

/// Whether an optional field has neither appeared nor vanished nor changed between `old` and `new`.
fn is_same(old: &str, new: &str, field: &str) -> String {
    format!(
        "has({new}.{field}) == has({old}.{field}) && (!has({new}.{field}) || {new}.{field} == {old}.{field})"
    )
}

/// An optional field that neither appears nor vanishes nor changes.
fn immutable_optional(field: &str, sentence: &str) -> Rule {
    rule(Place::Update, is_same("oldObject", "object", field), sentence)
}

/// An optional field that may be set, once, and then stays.
fn set_once(field: &str, sentence: &str) -> Rule {
    let text =
        format!("!has(oldObject.{field}) || (has(object.{field}) && object.{field} == oldObject.{field})");
    rule(Place::Update, text, sentence)
}

/// An optional field of the spec that is an act, such as a cancellation, and not a state that a file can describe: applied
/// from one, it would make every later apply fail that says something else. So the first is refused, and says why; what
/// was set before the rule was there stays. `sentence` is how it is done instead.
///
/// Who applied it is known by the managed fields on the server's side, and by kubectl's annotation on the client's.
fn not_applied(field: &str, sentence: &str) -> Rule {
    let set = format!("has(object.spec.{field})");
    let before = format!("(request.operation == 'UPDATE' && has(oldObject.spec.{field}))");
    let by_server = format!(
        "(has(object.metadata.managedFields) && object.metadata.managedFields.exists(fields, \
         fields.operation == 'Apply' && has(fields.fieldsV1) && 'f:spec' in fields.fieldsV1 && \
         'f:{field}' in fields.fieldsV1['f:spec']))"
    );
    let by_client = format!(
        "(has(object.metadata.annotations) && '{LAST_APPLIED}' in object.metadata.annotations && \
         object.metadata.annotations['{LAST_APPLIED}'].contains('\"{field}\":'))"
    );
    rule(Place::Write, format!("!{set} || {before} || !({by_server} || {by_client})"), sentence)
}

/// Where client-side apply keeps what it said last.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A value and what it was before, as expressions.
struct Ends<'a> {
    new: &'a str,
    old: &'a str,
}

/// The value at a place of a schema.
const HERE: Ends<'_> = Ends { new: "self", old: "oldSelf" };
/// The stage of a ticket or delivery.
const STAGE: Ends<'_> = Ends { new: "object.spec.stage", old: "oldObject.spec.stage" };
/// What is wanted of a payment.
const WANTED: Ends<'_> = Ends { new: "object.spec.desired", old: "oldObject.spec.desired" };

/// Only the table's own steps, one at a time.
fn steps<T: Copy + PartialEq + Display>(
    (place, ends): (Place, Ends<'_>),
    what: &str,
    table: &[Step<T>],
    all: &[T],
) -> Rule {
    transitions(place, &ends, what, all, |from| table::next(table, from))
}

/// Whatever the table reaches by one step or several, as in a status whose writer may skip phases.
fn journeys<T: Copy + PartialEq + Display>(
    path: &'static str,
    what: &str,
    table: &[Step<T>],
    all: &[T],
) -> Rule {
    transitions(Place::Schema(path), &HERE, what, all, |from| table::reachable(table, all, from))
}

fn transitions<T: Copy + Display>(
    place: Place,
    Ends { new, old }: &Ends<'_>,
    what: &str,
    all: &[T],
    next: impl Fn(T) -> Vec<T>,
) -> Rule {
    let mut ways = vec![format!("{new} == {old}")];
    for from in all {
        let to: Vec<String> = next(*from).iter().map(|t| format!("'{t}'")).collect();
        if !to.is_empty() {
            ways.push(format!("({old} == '{from}' && {new} in [{}])", to.join(", ")));
        }
    }
    let message = format!("'{what} cannot go from ' + {old} + ' to ' + {new}");
    Rule { place, rule: ways.join(" || "), message: Message::Expression(message) }
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
    vec![
        // What is never an order comes before what may not become of this one: the first that is broken is told.
        rule(Place::Create, "object.metadata.name.size() <= 63", "an order's name has at most 63 characters"),
        rule(
            Place::Write,
            "has(object.spec.payment.token) != has(object.spec.payment.tokenSecretRef)",
            "payment needs exactly one of token and tokenSecretRef",
        ),
        rule(
            Place::Write,
            "!has(object.spec.receiptConfirmed) || object.spec.receiptConfirmed",
            "receiptConfirmed can only be set to true",
        ),
        rule(
            Place::Create,
            "!has(object.spec.receiptConfirmed)",
            "an order is placed without receiptConfirmed: receipt can be confirmed only once the food is delivered",
        ),
        rule(
            Place::Update,
            format!(
                "has(oldObject.spec.receiptConfirmed) || !has(object.spec.receiptConfirmed) || \
                 (has(object.status) && has(object.status.phase) && object.status.phase{})",
                one_of(saga::receipt_phases())
            ),
            "receipt can be confirmed only once the food is delivered",
        ),
        rule(
            Place::Update,
            format!(
                "({} && {}) || \
                 (has(oldObject.status) && has(oldObject.status.phase) && oldObject.status.phase{})",
                is_same("oldObject", "object", "spec.payment.token"),
                is_same("oldObject", "object", "spec.payment.tokenSecretRef"),
                one_of(saga::token_phases())
            ),
            "the payment token can be replaced only while payment is deferred",
        ),
        immutable("spec.customerRef", &format!("customerRef {fixed}")),
        immutable_optional("spec.storeRef", &format!("storeRef {fixed}")),
        immutable("spec.items", &format!("items {fixed}")),
        immutable("spec.delivery", &format!("delivery {fixed}")),
        immutable_optional("spec.couponCode", &format!("couponCode {fixed}")),
        immutable_optional("spec.expectedTotal", &format!("expectedTotal {fixed}")),
        set_once("spec.cancellation", "a cancellation can be neither changed nor taken back"),
        set_once("spec.receiptConfirmed", "a confirmed receipt cannot be taken back"),
        not_applied("cancellation", &patched("cancellation")),
        not_applied("receiptConfirmed", &patched("receiptConfirmed")),
        immutable("spec.payment.providerRef", &format!("payment.providerRef {fixed}")),
        immutable_optional("spec.payment.providerOrderId", &format!("payment.providerOrderId {fixed}")),
        immutable("spec.payment.whenUnavailable", &format!("payment.whenUnavailable {fixed}")),
        journeys("status.phase", "an order", table::ORDER, OrderPhase::ALL),
        set_once_within("status", "cancellation", "the verdict on a cancellation never changes"),
    ]
}

/// How a field that is set once, and stays, is not set.
fn patched(field: &str) -> String {
    format!(
        "{field} is set with kubectl patch, and never applied from a file: it stays for good, and every later apply of the \
         file without it would be refused"
    )
}

/// The rules of Payment.
pub fn payment() -> Vec<Rule> {
    vec![
        immutable("spec.orderRef", "a payment belongs to one order for ever"),
        immutable("spec.quote", "the quote is frozen"),
        immutable("spec.providerRef", "the provider of a payment is fixed"),
        immutable("spec.providerOrderId", "the provider's order id is fixed"),
        immutable("spec.whenUnavailable", "whenUnavailable is fixed"),
        immutable_optional("spec.intent", "the intent of a payment is recorded as it is created"),
        rule(
            Place::Update,
            "has(object.spec.coupon) == has(oldObject.spec.coupon) && (!has(object.spec.coupon) || \
             (object.spec.coupon.name == oldObject.spec.coupon.name && \
             object.spec.coupon.uid == oldObject.spec.coupon.uid && \
             (!has(oldObject.spec.coupon.returned) || !oldObject.spec.coupon.returned || \
             (has(object.spec.coupon.returned) && object.spec.coupon.returned))))",
            "the coupon of a payment is fixed, and is given back once",
        ),
        set_once("spec.reversal", "the reason of a reversal is set once"),
        rule(
            Place::Update,
            "!has(object.spec.resolution) || has(oldObject.spec.resolution) || \
             (has(object.status) && has(object.status.phase) && object.status.phase == 'NeedsReview')",
            "a payment is resolved by hand only in phase NeedsReview",
        ),
        rule(
            Place::Update,
            "!has(object.spec.resolution) || has(oldObject.spec.resolution) || \
             object.spec.resolution.action != 'NotCharged' || !has(object.status) || \
             !has(object.status.capturedAmount) || object.status.capturedAmount == 0",
            "the provider has said that it took the money: the resolution is Refunded, Captured or Retry",
        ),
        rule(
            Place::Update,
            "!has(object.spec.resolution) || !has(oldObject.spec.resolution) || \
             object.spec.resolution == oldObject.spec.resolution",
            "a resolution stands until the operator has acted on it",
        ),
        not_applied(
            "resolution",
            "a resolution is set with kubectl patch, and never applied from a file: the operator removes it once it has acted \
             on it, and every later apply of the file would be refused",
        ),
        steps((Place::Update, WANTED), "what is wanted of a payment", table::DESIRED, PaymentDesired::ALL),
        steps((Place::Schema("status.phase"), HERE), "a payment", table::PAYMENT, PaymentPhase::ALL),
        within(
            "status",
            "!has(self.refundedAmount) || !has(self.capturedAmount) || self.refundedAmount <= self.capturedAmount",
            "no more can be refunded than was captured",
        ),
    ]
}

/// The rules of Ticket.
pub fn ticket() -> Vec<Rule> {
    vec![
        immutable("spec.orderRef", "a ticket belongs to one order for ever"),
        immutable("spec.storeRef", "a ticket stays with its store"),
        immutable("spec.items", "the items of a ticket are fixed"),
        immutable_optional("spec.deadlines", "the deadlines of a ticket are fixed"),
        set_once("spec.reason", "the reason of a ticket's end is set once"),
        rule(
            Place::Write,
            "!has(object.spec.reason) || object.spec.stage in ['Rejected', 'Cancelled', 'Abandoned']",
            "a reason goes with a rejected, cancelled or abandoned ticket",
        ),
        steps((Place::Update, STAGE), "a ticket", table::TICKET, TicketStage::ALL),
    ]
}

/// The rules of Delivery.
pub fn delivery() -> Vec<Rule> {
    vec![
        immutable("spec.orderRef", "a delivery belongs to one order for ever"),
        immutable("spec.pickup", "the pick-up of a delivery is fixed"),
        immutable("spec.dropoff", "the drop-off of a delivery is fixed"),
        immutable_optional("spec.deadlines", "the deadlines of a delivery are fixed"),
        set_once("spec.reason", "the reason of a delivery's end is set once"),
        Rule {
            place: Place::Update,
            rule: "!has(oldObject.spec.riderRef) || !has(object.spec.riderRef) || \
                   object.spec.riderRef == oldObject.spec.riderRef"
                .into(),
            message: Message::Expression(
                "'this delivery is already taken by ' + oldObject.spec.riderRef.name".into(),
            ),
        },
        rule(
            Place::Update,
            "has(object.spec.riderRef) == has(oldObject.spec.riderRef) || \
             (oldObject.spec.stage == 'Waiting' && object.spec.stage == 'Waiting')",
            "a delivery can be taken or given back only while it waits",
        ),
        rule(
            Place::Write,
            "!(object.spec.stage in ['PickedUp', 'Delivered', 'Failed']) || has(object.spec.riderRef)",
            "only a delivery that a rider has taken can be picked up",
        ),
        rule(
            Place::Write,
            "object.spec.stage != 'Cancelled' || !has(object.spec.riderRef)",
            "a delivery that a rider has taken cannot be cancelled",
        ),
        steps((Place::Update, STAGE), "a delivery", table::DELIVERY, DeliveryStage::ALL),
    ]
}

/// The rules of Coupon.
pub fn coupon() -> Vec<Rule> {
    vec![
        within("", "self.metadata.name.size() <= 63", "a coupon's name, its code, has at most 63 characters"),
        within(
            "spec.discount",
            "has(self.percent) != has(self.amount)",
            "a discount is either a percent or an amount",
        ),
        within(
            "spec",
            "!has(self.validFrom) || !has(self.validUntil) || self.validFrom < self.validUntil",
            "validFrom must be before validUntil",
        ),
        within(
            "spec",
            is_same("oldSelf", "self", "perCustomer"),
            "perCustomer is fixed, as what was redeemed before would not be counted; make another coupon",
        ),
    ]
}

/// The rules of CouponUse.
pub fn coupon_use() -> Vec<Rule> {
    vec![
        immutable("spec.couponRef", "whose redemptions it counts is fixed"),
        immutable("spec.customerRef", "whose redemptions it counts is fixed"),
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
        set_once_within("spec", "transport", "the transport of a provider is fixed; make another provider"),
        immutable_within("spec", "endpoint", ENDPOINT_FIXED),
        within("spec", format!("{otherwise}isURL(self.endpoint)"), ENDPOINT_URL),
        within("spec", format!("{otherwise}{HTTPS}"), ENDPOINT_HTTPS),
        within(
            "spec",
            "(self.transport == 'AlimTalk') == has(self.alimTalk)",
            "alimTalk is needed for the transport AlimTalk, and only there",
        ),
    ]
}

/// The rules of PaymentProvider.
pub fn provider() -> Vec<Rule> {
    vec![
        immutable_within("spec", "dialect", "the dialect of a provider is fixed; make another provider"),
        immutable_within("spec", "endpoint", ENDPOINT_FIXED),
        within("spec.endpoint", "isURL(self)", ENDPOINT_URL),
        within("spec", HTTPS, ENDPOINT_HTTPS),
    ]
}

const ENDPOINT_FIXED: &str = "the endpoint of a provider is fixed; make another provider";
const ENDPOINT_URL: &str = "endpoint must be a URL, such as https://api.example.com";
const ENDPOINT_HTTPS: &str = "endpoint must be https; http needs allowPlainHttp: true";

/// Whether an endpoint that is a URL is one by https, or by http where that is allowed.
const HTTPS: &str = "!isURL(self.endpoint) || url(self.endpoint).getScheme() == 'https' || \
     (url(self.endpoint).getScheme() == 'http' && has(self.allowPlainHttp) && self.allowPlainHttp)";
