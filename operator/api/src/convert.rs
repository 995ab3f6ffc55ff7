//! Between the API's types and the domain's: the only place that knows both.

use fooddelivery_saga::counter::{Count, Deliveries, DishCount, Dishes, OrderId};
use fooddelivery_saga::coupon::{Redemptions, Terms};
use fooddelivery_saga::message_log::Message;
use fooddelivery_saga::order::{Condition as SagaCondition, OrderState, PhaseEntry};
use fooddelivery_saga::payment::{Intent, PaymentState};
use fooddelivery_saga::phases::{OrderPhase, PaymentPhase};
use fooddelivery_saga::quote::{self, CURRENCY, Menu, OrderedItem, Quote};
use fooddelivery_saga::time::Timestamp;
use fooddelivery_saga::view::{DeliverySeen, PaymentSeen, Reversal, TicketSeen};

use crate::common::{Condition, Item, NameRef, OrderRef, Time};
use crate::coupon::CouponStatus;
use crate::customer::CustomerMessage;
use crate::order::{MessageProgress, OrderStatus, PhaseChange};
use crate::payment::{PaymentIntent, PaymentQuote, PaymentStatus, QuoteLine, ReversalReason};
use crate::rider::RiderStatus;
use crate::store::{DepartedCounts, MenuItemCount, RetiredCount, StoreStatus};
use crate::{Coupon, CouponUse, Delivery, Order, PAUSED_ANNOTATION, Payment, Store, Ticket};

/// The longest message that a status takes.
const MESSAGE_LIMIT: usize = 1_000;

/// The type of the condition with the state of an order's notifications.
pub const NOTIFIED_CONDITION: &str = "Notified";

impl OrderStatus {
    /// Whether it says that notifications wait, or cannot be made.
    pub fn is_notification_pending(&self) -> bool {
        self.conditions.iter().any(|c| c.type_ == NOTIFIED_CONDITION && c.status == "False")
    }

    /// As the domain sees it.
    pub fn to_state(&self) -> OrderState {
        let history = |c: &PhaseChange| PhaseEntry { phase: c.phase.clone(), at: c.at.0 };
        let condition = |c: &Condition| SagaCondition {
            kind: c.type_.clone(),
            holds: c.status == "True",
            reason: c.reason.clone(),
            message: c.message.clone(),
            since: c.last_transition_time.0,
        };
        OrderState {
            phase: self.phase,
            reason: self.reason.clone().unwrap_or_default(),
            message: self.message.clone().unwrap_or_default(),
            store: self.store_ref.as_ref().map(|store| store.name.clone()),
            total: self.total,
            discount: self.discount,
            first_total: self.first_total,
            cancellation: self.cancellation,
            history: self.history.iter().map(history).collect(),
            dropped: self.history_dropped,
            deadline: self.deadline.map(|t| t.0),
            conditions: self.conditions.iter().map(condition).collect(),
        }
    }

    /// As it is written for the generation that was decided on; what the message providers were told is not the
    /// domain's.
    pub fn from_state(state: &OrderState, generation: Option<i64>, messages: Vec<MessageProgress>) -> Self {
        let history = |e: &PhaseEntry| PhaseChange { phase: e.phase.clone(), at: Time(e.at) };
        Self {
            phase: state.phase,
            reason: filled(&state.reason),
            message: filled(&bounded(&state.message)),
            store_ref: state.store.clone().map(|name| NameRef { name }),
            total: state.total,
            discount: state.discount,
            first_total: state.first_total,
            cancellation: state.cancellation,
            history: state.history.iter().map(history).collect(),
            history_dropped: state.dropped,
            messages,
            deadline: state.deadline.map(Time),
            observed_generation: generation,
            conditions: state.conditions.iter().map(to_condition).collect(),
        }
    }
}

fn to_condition(c: &SagaCondition) -> Condition {
    Condition {
        type_: c.kind.clone(),
        status: if c.holds { "True" } else { "False" }.into(),
        reason: c.reason.clone(),
        message: bounded(&c.message),
        last_transition_time: Time(c.since),
    }
}

impl PaymentStatus {
    /// As the domain sees it.
    pub fn to_state(&self) -> PaymentState {
        PaymentState {
            phase: self.phase,
            reason: self.reason.clone().unwrap_or_default(),
            message: self.message.clone().unwrap_or_default(),
            attempt: self.attempt,
            first_attempt_at: self.first_attempt_at.map(|t| t.0),
            deferrals: self.deferrals,
            next_attempt_at: self.next_attempt_at.map(|t| t.0),
            payment_id: self.provider_payment_id.clone(),
            provider_uid: self.provider_uid.clone(),
            credential: self.credential_fingerprint.clone(),
            captured: self.captured_amount,
            refunded: self.refunded_amount,
            refund_attempt: self.refund_attempt,
        }
    }

    /// As it is written for the generation that was decided on.
    pub fn from_state(state: &PaymentState, generation: Option<i64>) -> Self {
        Self {
            phase: state.phase,
            reason: filled(&state.reason),
            message: filled(&bounded(&state.message)),
            attempt: state.attempt,
            first_attempt_at: state.first_attempt_at.map(Time),
            deferrals: state.deferrals,
            next_attempt_at: state.next_attempt_at.map(Time),
            provider_payment_id: state.payment_id.clone(),
            provider_uid: state.provider_uid.clone(),
            credential_fingerprint: state.credential.clone(),
            captured_amount: state.captured,
            refunded_amount: state.refunded,
            refund_attempt: state.refund_attempt,
            observed_generation: generation,
        }
    }
}

impl PaymentIntent {
    /// As the domain sees it.
    pub fn to_intent(&self) -> Intent {
        Intent {
            provider_uid: self.provider_uid.clone(),
            credential: self.credential_fingerprint.clone(),
            at: self.recorded_at.0,
        }
    }
}

impl From<Intent> for PaymentIntent {
    fn from(intent: Intent) -> Self {
        Self {
            provider_uid: intent.provider_uid,
            credential_fingerprint: intent.credential,
            recorded_at: Time(intent.at),
        }
    }
}

impl Order {
    /// Its state; that of a fresh order when nothing has been written yet.
    pub fn state(&self) -> OrderState {
        self.status.as_ref().map(OrderStatus::to_state).unwrap_or_default()
    }

    /// The name of the coupon that it names: names are in lower case, and people type codes as they like.
    pub fn coupon_name(&self) -> Option<String> {
        self.spec.coupon_code.as_ref().map(|code| code.to_lowercase())
    }

    /// Where it stands.
    pub fn phase(&self) -> OrderPhase {
        self.status.as_ref().map_or(OrderPhase::AwaitingPayment, |status| status.phase)
    }

    /// Whether a person stopped it where it is.
    pub fn is_paused(&self) -> bool {
        let annotations = self.metadata.annotations.as_ref();
        annotations.and_then(|all| all.get(PAUSED_ANNOTATION)).is_some_and(|value| value == "true")
    }

    /// Whether somebody wants it undone and has not been refused.
    pub fn cancel_wanted(&self) -> bool {
        let requested = self.spec.cancellation.is_some() || self.metadata.deletion_timestamp.is_some();
        requested && self.status.as_ref().is_none_or(|status| status.cancellation.is_none())
    }

    /// Whether it has ended and is being deleted.
    pub fn is_leaving(&self) -> bool {
        self.metadata.deletion_timestamp.is_some() && self.phase().is_terminal()
    }

    /// A reference to it, for its children.
    pub fn order_ref(&self) -> OrderRef {
        OrderRef {
            name: self.metadata.name.clone().unwrap_or_default(),
            uid: self.metadata.uid.clone().unwrap_or_default(),
        }
    }

    /// Its name and uid, as lists of counts have them.
    pub fn id(&self) -> OrderId {
        OrderId::from(&self.order_ref())
    }

    /// Its items, for pricing.
    pub fn ordered_items(&self) -> Vec<OrderedItem> {
        let item = |i: &Item| OrderedItem {
            menu_item: i.menu_item.clone(),
            quantity: i.quantity,
            options: i.options.clone(),
        };
        self.spec.items.iter().map(item).collect()
    }
}

impl Payment {
    /// Its state; that of a fresh payment when nothing has been written yet.
    pub fn state(&self) -> PaymentState {
        if self.is_as_created()
            && let Some(intent) = &self.spec.intent
        {
            return PaymentState::intended(&intent.to_intent());
        }
        self.status.as_ref().map(PaymentStatus::to_state).unwrap_or_default()
    }

    /// Where its money stands.
    pub fn phase(&self) -> PaymentPhase {
        self.status.as_ref().map_or(PaymentPhase::Pending, |status| status.phase)
    }

    /// Whether it was created with an intent, and nobody has written its status yet: the API server fills in the defaults.
    pub fn is_as_created(&self) -> bool {
        let is_written = self.status.as_ref().is_some_and(|status| status.observed_generation.is_some());
        self.spec.intent.is_some() && !is_written
    }

    /// As its order sees it.
    pub fn seen(&self) -> PaymentSeen {
        let state = self.state();
        PaymentSeen {
            desired: self.spec.desired,
            phase: state.phase,
            total: self.spec.quote.total,
            discount: self.spec.coupon.as_ref().map(|_| self.spec.quote.discount),
            reason: state.reason,
            message: state.message,
            reversal: self.spec.reversal.as_ref().map(Reversal::from),
            deleting: self.metadata.deletion_timestamp.is_some(),
        }
    }
}

impl Ticket {
    /// As its order sees it.
    pub fn seen(&self) -> TicketSeen {
        TicketSeen {
            stage: self.spec.stage,
            reason: self.spec.reason.clone().unwrap_or_default(),
            created_at: created_at(&self.metadata),
            deleting: self.metadata.deletion_timestamp.is_some(),
        }
    }
}

impl Delivery {
    /// As its order sees it.
    pub fn seen(&self) -> DeliverySeen {
        DeliverySeen {
            stage: self.spec.stage,
            rider: self.spec.rider_ref.as_ref().map(|r| r.name.clone()),
            reason: self.spec.reason.clone().unwrap_or_default(),
            deleting: self.metadata.deletion_timestamp.is_some(),
        }
    }
}

impl Store {
    /// Its menu, for pricing.
    pub fn menu(&self) -> Menu {
        Menu {
            store_name: self.metadata.name.clone().unwrap_or_default(),
            store_uid: self.metadata.uid.clone().unwrap_or_default(),
            open: self.spec.open && self.metadata.deletion_timestamp.is_none(),
            minimum_order: self.spec.minimum_order,
            items: self
                .spec
                .menu
                .iter()
                .map(|m| quote::MenuItem {
                    name: m.name.clone(),
                    price: m.price,
                    available: m.available,
                    options: m.options.iter().map(|o| (o.name.clone(), o.price)).collect(),
                })
                .collect(),
        }
    }
}

impl From<&ReversalReason> for Reversal {
    fn from(why: &ReversalReason) -> Self {
        Self { reason: why.reason.clone(), message: why.message.clone() }
    }
}

impl From<&Reversal> for ReversalReason {
    fn from(why: &Reversal) -> Self {
        Self { reason: why.reason.clone(), message: bounded(&why.message) }
    }
}

impl From<&Quote> for PaymentQuote {
    fn from(quote: &Quote) -> Self {
        let line = |l: &quote::QuoteLine| QuoteLine {
            menu_item: l.menu_item.clone(),
            quantity: l.quantity,
            options: l.options.clone(),
            unit_price: l.unit_price,
            amount: l.amount,
        };
        Self {
            store_name: quote.store_name.clone(),
            store_uid: quote.store_uid.clone(),
            lines: quote.lines.iter().map(line).collect(),
            discount: quote.discount,
            total: quote.total,
            currency: CURRENCY.into(),
        }
    }
}

impl Coupon {
    /// What it grants.
    pub fn terms(&self) -> Terms {
        let spec = &self.spec;
        Terms {
            name: self.metadata.name.clone().unwrap_or_default(),
            uid: self.metadata.uid.clone().unwrap_or_default(),
            percent: spec.discount.percent,
            amount: spec.discount.amount,
            minimum_order: spec.minimum_order,
            valid_from: spec.valid_from.map(|t| t.0),
            valid_until: spec.valid_until.map(|t| t.0),
        }
    }
}

impl Coupon {
    /// Its redemptions; none when nothing has been written yet.
    pub fn redemptions(&self) -> Redemptions {
        self.status.as_ref().map(CouponStatus::to_redemptions).unwrap_or_default()
    }
}

impl CouponUse {
    /// The customer's redemptions; none when nothing has been written yet.
    pub fn redemptions(&self) -> Redemptions {
        self.status.as_ref().map(CouponStatus::to_redemptions).unwrap_or_default()
    }
}

impl CouponStatus {
    /// As the domain sees it.
    pub fn to_redemptions(&self) -> Redemptions {
        Redemptions {
            redeemed: self.redeemed,
            reserved: ids(&self.reserved),
            releasing: ids(&self.releasing),
        }
    }

    /// As it is written.
    pub fn from_redemptions(counts: &Redemptions) -> Self {
        Self {
            redeemed: counts.redeemed,
            reserved: references(&counts.reserved),
            releasing: references(&counts.releasing),
        }
    }
}

impl StoreStatus {
    /// The counts, as the domain sees them.
    pub fn to_count(&self) -> Count<Dishes> {
        let departed = self.departed.as_ref();
        Count {
            shown: dishes(&self.orders_by_menu_item, self.retired),
            base: departed.map(|of| dishes(&of.orders_by_menu_item, of.retired)).unwrap_or_default(),
            departing: ids(&self.departing),
        }
    }

    /// As they are written.
    pub fn from_count(count: &Count<Dishes>) -> Self {
        let (orders_by_menu_item, retired) = menu_item_counts(&count.shown);
        let (departed, departed_retired) = menu_item_counts(&count.base);
        let kept = DepartedCounts { orders_by_menu_item: departed, retired: departed_retired };
        Self {
            orders_by_menu_item,
            retired,
            departed: (kept != DepartedCounts::default()).then_some(kept),
            departing: references(&count.departing),
        }
    }
}

fn dishes(listed: &[MenuItemCount], retired: Option<RetiredCount>) -> Dishes {
    let dish =
        |c: &MenuItemCount| (c.menu_item.clone(), DishCount { orders: c.orders, quantity: c.quantity });
    let retired = retired.unwrap_or_default();
    Dishes {
        listed: listed.iter().map(dish).collect(),
        retired: DishCount { orders: retired.orders, quantity: retired.quantity },
    }
}

fn menu_item_counts(dishes: &Dishes) -> (Vec<MenuItemCount>, Option<RetiredCount>) {
    let count = |(name, d): (&String, &DishCount)| MenuItemCount {
        menu_item: name.clone(),
        orders: d.orders,
        quantity: d.quantity,
    };
    let DishCount { orders, quantity } = dishes.retired;
    let retired = (dishes.retired != DishCount::default()).then_some(RetiredCount { orders, quantity });
    (dishes.listed.iter().map(count).collect(), retired)
}

impl RiderStatus {
    /// The count, as the domain sees it.
    pub fn to_count(&self) -> Count<Deliveries> {
        Count {
            shown: Deliveries(self.deliveries),
            base: Deliveries(self.departed),
            departing: ids(&self.departing),
        }
    }

    /// As it is written.
    pub fn from_count(count: &Count<Deliveries>) -> Self {
        let (Deliveries(deliveries), Deliveries(departed)) = (count.shown, count.base);
        Self { deliveries, departed, departing: references(&count.departing) }
    }
}

impl From<&CustomerMessage> for Message {
    fn from(shown: &CustomerMessage) -> Self {
        let CustomerMessage { id, order, phase, at } = shown.clone();
        Self { id, order, phase, at: at.0 }
    }
}

impl From<Message> for CustomerMessage {
    fn from(message: Message) -> Self {
        let Message { id, order, phase, at } = message;
        Self { id, order, phase, at: Time(at) }
    }
}

impl From<&OrderRef> for OrderId {
    fn from(order: &OrderRef) -> Self {
        Self { name: order.name.clone(), uid: order.uid.clone() }
    }
}

impl From<&OrderId> for OrderRef {
    fn from(order: &OrderId) -> Self {
        Self { name: order.name.clone(), uid: order.uid.clone() }
    }
}

/// Orders, as the domain names them.
pub fn ids(orders: &[OrderRef]) -> Vec<OrderId> {
    orders.iter().map(OrderId::from).collect()
}

/// Orders, as the API names them.
pub fn references(orders: &[OrderId]) -> Vec<OrderRef> {
    orders.iter().map(OrderRef::from).collect()
}

/// When an object was created; the epoch when the API server has not said.
pub fn created_at(metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> Timestamp {
    metadata.creation_timestamp.as_ref().map_or(Timestamp(0), |t| Timestamp(t.0.as_millisecond()))
}

fn filled(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn bounded(text: &str) -> String {
    text.chars().take(MESSAGE_LIMIT).collect()
}
