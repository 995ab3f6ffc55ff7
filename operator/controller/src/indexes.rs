//! What is looked for in the caches, and by what: an index each, so that a look-up costs what it finds, whatever else there
//! is. An index goes by what an object says of itself alone, and who looks up compares the rest.

use std::borrow::Cow;

use fooddelivery_api::order::OrderStatus;
use fooddelivery_api::{CouponUse, Delivery, Order, Payment, convert};
use fooddelivery_runtime::cache::Index;
use fooddelivery_runtime::{Cache, Key};
use fooddelivery_saga::phases::{DeliveryStage, OrderPhase, PaymentDesired, PaymentPhase};
use fooddelivery_saga::time::Timestamp;

/// The term of an index that only says which objects are in it.
const ALL: &str = "";

type Term<'a> = Option<Cow<'a, str>>;

/// All of them.
pub struct Indexes {
    /// Of orders.
    pub(crate) orders: OrderIndexes,
    /// Of payments.
    pub(crate) payments: PaymentIndexes,
    /// Of deliveries.
    pub(crate) deliveries: DeliveryIndexes,
    /// Of customers' counts of coupons.
    pub(crate) coupon_uses: CouponUseIndexes,
}

impl Indexes {
    /// Over these caches, from now on.
    pub fn new(
        orders: &Cache<Order>,
        payments: &Cache<Payment>,
        deliveries: &Cache<Delivery>,
        coupon_uses: &Cache<CouponUse>,
    ) -> Self {
        Self {
            orders: OrderIndexes::new(orders),
            payments: PaymentIndexes::new(payments),
            deliveries: DeliveryIndexes { open_of_rider: deliveries.index(rider_with_an_open_delivery) },
            coupon_uses: CouponUseIndexes { in_progress: coupon_uses.index(coupon_with_a_use_in_progress) },
        }
    }
}

/// Indexes over orders.
pub(crate) struct OrderIndexes {
    open: Index,
    leaving: Index,
    of_customer: Index,
    without_store: Index,
    of_store: Index,
    of_coupon: Index,
    of_provider: Index,
    last_step: Index,
    notification_pending: Index,
}

impl OrderIndexes {
    fn new(orders: &Cache<Order>) -> Self {
        Self {
            open: orders.index(|order| (!order.phase().is_terminal()).then_some(ALL.into())),
            leaving: orders.index(|order| order.is_leaving().then_some(ALL.into())),
            of_customer: orders.index(|order| Some(Cow::Borrowed(&*order.spec.customer_ref.name))),
            without_store: orders.index(customer_who_names_no_store),
            of_store: orders.index(store_that_is_waited_for),
            of_coupon: orders.index(coupon_that_is_waited_for),
            of_provider: orders.index(provider_that_is_waited_for),
            last_step: orders.index(|order| Some(second_of(last_step_at(order)).into())),
            notification_pending: orders.index(|order| {
                let says_so = order.status.as_ref().is_some_and(OrderStatus::is_notification_pending);
                says_so.then_some(ALL.into())
            }),
        }
    }

    /// Those that have not ended, everywhere.
    pub(crate) fn open(&self) -> Vec<Key> {
        self.open.keys(ALL)
    }

    /// Those that have ended and are being deleted, everywhere.
    pub(crate) fn leaving(&self) -> Vec<Key> {
        self.leaving.keys(ALL)
    }

    /// Those that have ended and are being deleted in a namespace.
    pub(crate) fn leaving_in(&self, namespace: &str) -> Vec<Key> {
        self.leaving.keys_in(namespace, ALL)
    }

    /// All of a customer.
    pub(crate) fn of_customer(&self, customer: &Key) -> Vec<Key> {
        self.of_customer.keys_in(&customer.namespace, &customer.name)
    }

    /// Those of a customer that are not paid and name no store.
    pub(crate) fn without_store(&self, customer: &Key) -> Vec<Key> {
        self.without_store.keys_in(&customer.namespace, &customer.name)
    }

    /// Those that rest on a store, and those that rest on whichever their customer prefers.
    pub(crate) fn of_store(&self, store: &Key) -> Vec<Key> {
        let mut keys = self.of_store.keys_in(&store.namespace, &store.name);
        keys.extend(self.of_store.keys_in(&store.namespace, PREFERRED));
        keys.sort();
        keys
    }

    /// Those that name a coupon, and are not paid or leave.
    pub(crate) fn of_coupon(&self, coupon: &Key) -> Vec<Key> {
        self.of_coupon.keys_in(&coupon.namespace, &coupon.name)
    }

    /// Those that are not paid and are to be by a provider, everywhere.
    pub(crate) fn of_provider(&self, provider: &str) -> Vec<Key> {
        self.of_provider.keys(provider)
    }

    /// Those whose last step was at `since` or later, everywhere.
    pub(crate) fn with_a_step_since(&self, since: Timestamp) -> Vec<Key> {
        self.last_step.keys_from(&second_of(since))
    }

    /// Those whose status says that messages wait or cannot be sent, everywhere.
    pub(crate) fn notification_pending(&self) -> Vec<Key> {
        self.notification_pending.keys(ALL)
    }
}

/// No store can be called so.
const PREFERRED: &str = "";

fn customer_who_names_no_store(order: &Order) -> Term<'_> {
    let is_meant = order.phase() == OrderPhase::AwaitingPayment && order.spec.store_ref.is_none();
    is_meant.then_some(Cow::Borrowed(&order.spec.customer_ref.name))
}

/// As `shared::resolve::store_of` has it; what an order names does not change, and its price is that of the store that it
/// names.
fn store_that_is_waited_for(order: &Order) -> Term<'_> {
    let known = || Some(&order.status.as_ref()?.store_ref.as_ref()?.name);
    let named = order.spec.store_ref.as_ref().map(|store| &store.name);
    let is_open = order.phase() == OrderPhase::AwaitingPayment;
    let is_taken_on = matches!(order.phase(), OrderPhase::AwaitingStore | OrderPhase::Accepted);
    let name = named.or_else(|| if is_open { None } else { known() });
    if !is_open && !is_taken_on {
        return None;
    }
    Some(Cow::Borrowed(name.map_or(PREFERRED, String::as_str)))
}

fn coupon_that_is_waited_for(order: &Order) -> Term<'_> {
    let waits = order.phase() == OrderPhase::AwaitingPayment || order.is_leaving();
    order.coupon_name().filter(|_| waits).map(Cow::Owned)
}

fn provider_that_is_waited_for(order: &Order) -> Term<'_> {
    let waits = order.phase() == OrderPhase::AwaitingPayment;
    waits.then_some(Cow::Borrowed(&order.spec.payment.provider_ref.name))
}

/// When an order entered the last of its phases; of one of which nothing was written yet, when it was placed.
pub(crate) fn last_step_at(order: &Order) -> Timestamp {
    let steps = order.status.iter().flat_map(|status| &status.history);
    steps.map(|step| step.at.0).max().unwrap_or_else(|| convert::created_at(&order.metadata))
}

/// A time in full seconds, in a text that sorts as it does.
fn second_of(time: Timestamp) -> String {
    format!("{:011}", time.0.max(0) / 1_000)
}

/// Indexes over payments.
pub(crate) struct PaymentIndexes {
    unsettled: Index,
    giving_back: Index,
}

impl PaymentIndexes {
    fn new(payments: &Cache<Payment>) -> Self {
        Self {
            unsettled: payments.index(provider_of_an_unsettled_payment),
            giving_back: payments.index(coupon_that_is_given_back),
        }
    }

    /// Those with a call to a provider still to come, everywhere.
    pub(crate) fn unsettled_at(&self, provider: &str) -> Vec<Key> {
        self.unsettled.keys(provider)
    }

    /// Those of orders that are undone, which carry a coupon and do not say yet that it was given back.
    pub(crate) fn giving_back(&self, coupon: &Key) -> Vec<Key> {
        self.giving_back.keys_in(&coupon.namespace, &coupon.name)
    }
}

fn provider_of_an_unsettled_payment(payment: &Payment) -> Term<'_> {
    let is_unsettled = matches!(
        payment.phase(),
        PaymentPhase::Pending | PaymentPhase::Deferred | PaymentPhase::Voiding | PaymentPhase::Refunding
    );
    is_unsettled.then_some(Cow::Borrowed(&payment.spec.provider_ref.name))
}

fn coupon_that_is_given_back(payment: &Payment) -> Term<'_> {
    let is_undone = payment.spec.desired != PaymentDesired::Captured || payment.phase().is_over();
    let held = payment.spec.coupon.as_ref().filter(|held| is_undone && !held.returned);
    held.map(|held| Cow::Borrowed(&*held.name))
}

/// Indexes over deliveries.
pub(crate) struct DeliveryIndexes {
    open_of_rider: Index,
}

impl DeliveryIndexes {
    /// Those that a rider has taken and not brought.
    pub(crate) fn open_of_rider(&self, namespace: &str, rider: &str) -> Vec<Key> {
        self.open_of_rider.keys_in(namespace, rider)
    }
}

fn rider_with_an_open_delivery(delivery: &Delivery) -> Term<'_> {
    let is_open = matches!(delivery.spec.stage, DeliveryStage::Waiting | DeliveryStage::PickedUp);
    let rider = delivery.spec.rider_ref.as_ref().filter(|_| is_open)?;
    Some(Cow::Borrowed(&rider.name))
}

/// Indexes over customers' counts of coupons.
pub(crate) struct CouponUseIndexes {
    in_progress: Index,
}

impl CouponUseIndexes {
    /// Those of a coupon, by its uid, that list an order.
    pub(crate) fn in_progress(&self, namespace: &str, coupon_uid: &str) -> Vec<Key> {
        self.in_progress.keys_in(namespace, coupon_uid)
    }
}

fn coupon_with_a_use_in_progress(own: &CouponUse) -> Term<'_> {
    let status = own.status.as_ref()?;
    let lists_any = !status.reserved.is_empty() || !status.releasing.is_empty();
    lists_any.then_some(Cow::Borrowed(&own.spec.coupon_ref.uid))
}
