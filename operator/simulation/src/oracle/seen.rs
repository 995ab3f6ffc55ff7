//! What the oracle keeps of an object.

use serde_json::Value;

use super::kind::{Kind, Promises};
use crate::objects::text;

/// An object as it was last seen. Fields that a kind does not have are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    pub(crate) version: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) dying: bool,
    /// The uid of the order that a child is of; of a customer's counts: of the coupon.
    pub(crate) of: String,
    pub(crate) phase: String,
    pub(crate) reason: String,
    /// Of an order.
    pub(crate) verdict: String,
    pub(crate) cancel_asked: bool,
    pub(crate) settled: bool,
    /// Of a payment.
    pub(crate) desired: String,
    pub(crate) reversal: String,
    pub(crate) attempt: i64,
    /// Whether it was created with the intent to charge.
    pub(crate) intent_from_birth: bool,
    /// Of a ticket or delivery.
    pub(crate) stage: String,
    pub(crate) rider: String,
    pub(crate) paused: bool,
    /// The store that an order goes to, or a ticket is of, or whose prices a payment has: its name and uid.
    pub(crate) store: (String, String),
    /// Of an order or payment: what it costs, and what its coupon takes off.
    pub(crate) total: Option<i64>,
    pub(crate) discount: Option<i64>,
    /// The uid of the coupon that a payment has.
    pub(crate) coupon: String,
    /// Of an order, and of a customer's counts of a coupon.
    pub(crate) customer: String,
    /// Of what counts orders.
    pub(crate) count: Count,
}

/// The counts of a store, a rider, a coupon, or of a customer's use of a coupon.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// How many orders.
    pub(crate) orders: i64,
    /// How many portions.
    pub(crate) portions: i64,
    /// How many of these orders it keeps.
    pub(crate) kept: i64,
    /// How many of the portions.
    pub(crate) portions_kept: i64,
    /// The orders that it lists, by uid: those that depart, or that one is kept for.
    pub(crate) listed: Vec<String>,
    /// The orders that gave one back.
    pub(crate) releasing: Vec<String>,
    /// How many there may be.
    pub(crate) limit: Option<i64>,
    /// How many there may be for each customer.
    pub(crate) limit_each: Option<i64>,
}

impl Count {
    fn of(object: &Value) -> Self {
        let (spec, status) = (&object["spec"], &object["status"]);
        let number = |value: &Value| value.as_i64();
        let uids = |list: &Value| {
            let list = list.as_array().into_iter().flatten();
            list.map(|order| text(&order["uid"]).to_owned()).collect()
        };
        let dishes = |counts: &Value, field: &str| {
            let dishes = counts["ordersByMenuItem"].as_array().into_iter().flatten();
            dishes.filter_map(|dish| dish[field].as_i64()).sum::<i64>()
        };
        let departed = &status["departed"];
        let others = number(&status["deliveries"]).or(number(&status["redeemed"]));
        Self {
            orders: others.unwrap_or_else(|| dishes(status, "orders")),
            portions: dishes(status, "quantity"),
            kept: number(departed).unwrap_or_else(|| dishes(departed, "orders")),
            portions_kept: dishes(departed, "quantity"),
            listed: uids(if status["reserved"].is_array() {
                &status["reserved"]
            } else {
                &status["departing"]
            }),
            releasing: uids(&status["releasing"]),
            limit: number(&spec["maxRedemptions"]).or(number(&spec["capacity"])),
            limit_each: number(&spec["perCustomer"]),
        }
    }
}

impl Seen {
    pub(super) fn of(kind: Kind, object: &Value, version: &str) -> Self {
        let (metadata, spec, status) = (&object["metadata"], &object["spec"], &object["status"]);
        let conditions = status["conditions"].as_array();
        let settled = conditions
            .into_iter()
            .flatten()
            .any(|condition| condition["type"] == "Settled" && condition["status"] == "True");
        Self {
            version: version.to_owned(),
            namespace: text(&metadata["namespace"]).to_owned(),
            name: text(&metadata["name"]).to_owned(),
            dying: metadata["deletionTimestamp"].is_string(),
            of: text(&spec[if kind == Kind::CouponUse { "couponRef" } else { "orderRef" }]["uid"]).to_owned(),
            phase: text(&status["phase"]).to_owned(),
            reason: text(&status["reason"]).to_owned(),
            verdict: text(&status["cancellation"]).to_owned(),
            cancel_asked: spec["cancellation"].is_object(),
            settled,
            desired: text(&spec["desired"]).to_owned(),
            reversal: text(&spec["reversal"]["reason"]).to_owned(),
            attempt: status["attempt"].as_i64().unwrap_or(0),
            intent_from_birth: spec["intent"].is_object(),
            stage: text(&spec["stage"]).to_owned(),
            rider: text(&spec["riderRef"]["name"]).to_owned(),
            paused: text(&metadata["annotations"][fooddelivery_api::PAUSED_ANNOTATION]) == "true",
            customer: text(&spec["customerRef"]["name"]).to_owned(),
            count: if kind.counts() { Count::of(object) } else { Count::default() },
            ..Self::priced(kind, spec, status)
        }
    }

    /// What it costs, by whose prices.
    fn priced(kind: Kind, spec: &Value, status: &Value) -> Self {
        let words = |name: &Value, uid: &Value| (text(name).to_owned(), text(uid).to_owned());
        match kind.promises() {
            Promises::Order => Self {
                store: words(&status["storeRef"]["name"], &Value::Null),
                total: status["total"].as_i64(),
                discount: status["discount"].as_i64(),
                ..Self::default()
            },
            Promises::Payment => Self {
                store: words(&spec["quote"]["storeName"], &spec["quote"]["storeUid"]),
                total: spec["quote"]["total"].as_i64(),
                discount: spec["quote"]["discount"].as_i64().filter(|_| spec["coupon"].is_object()),
                coupon: text(&spec["coupon"]["uid"]).to_owned(),
                ..Self::default()
            },
            Promises::Ticket => {
                Self { store: words(&spec["storeRef"]["name"], &spec["storeRef"]["uid"]), ..Self::default() }
            }
            Promises::Delivery
            | Promises::Store
            | Promises::Rider
            | Promises::Coupon
            | Promises::CouponUse
            | Promises::Nothing => Self::default(),
        }
    }

    /// Of an order: whether it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.phase.as_str(), "Completed" | "Cancelled" | "Rejected" | "PaymentFailed")
    }

    /// Of an order: whether it is undone, or somebody wants it to be and has had no answer.
    pub(super) fn is_undone(&self) -> bool {
        let wanted = (self.cancel_asked || self.dying) && self.verdict.is_empty();
        wanted || self.phase == "Cancelling" || self.has_ended()
    }
}
