//! From the caches and, where something is to change, live reads to what a decision about a coupon depends on. Reads only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fooddelivery_api::{Coupon, CouponStatus, CouponUse, Order, Payment, convert};
use fooddelivery_runtime::Key;
use fooddelivery_runtime::api::ApiError;
use fooddelivery_runtime::key::uid_of;
use fooddelivery_saga::counter::OrderId;
use fooddelivery_saga::coupon::Counts;
use fooddelivery_saga::order::admission::{Candidate, may_wait_for_coupon};
use fooddelivery_saga::quote::price;
use fooddelivery_saga::redemption::{Case, CouponView, PaymentSeen, is_believed, sort, standing};
use fooddelivery_saga::time::Timestamp;

use crate::context::Context;
use crate::shared::coupon_keys::{redemption_record, use_key};
use crate::shared::resolve::store_of;

/// What was gathered: the view, and the copies that a decision on it is applied to. What is applied is put into it, so that
/// the next decision is made on what stands then.
pub(super) struct Gathered {
    pub(super) view: CouponView,
    pub(super) coupon: Arc<Coupon>,
    /// By customer.
    pub(super) uses: BTreeMap<String, Arc<CouponUse>>,
    /// By the uid of the order.
    pub(super) payments: BTreeMap<String, Arc<Payment>>,
}

/// What the coupon's decision sees. The copies of the counts are taken before any order is read live: see `saga::counter`.
pub(super) async fn gather(context: &Context, key: &Key, coupon: Arc<Coupon>) -> Result<Gathered, ApiError> {
    let orders = orders(context, key, &coupon);
    let uses = uses(context, key, &coupon, &orders);
    let counts = Counts {
        redemptions: coupon.redemptions(),
        limit: coupon.spec.max_redemptions,
        per_customer: coupon.spec.per_customer,
        of_customers: uses.iter().map(|(customer, own)| (customer.clone(), own.redemptions())).collect(),
    };
    let known = cases(context, key, &coupon, &orders, &uses);
    let mut payments: BTreeMap<String, Arc<Payment>> = BTreeMap::new();
    let mut cached = Vec::new();
    for (case, payment) in known {
        payments.extend(payment.map(|payment| (case.order.uid.clone(), payment)));
        cached.push(case);
    }
    sort(&mut cached);
    let mut view = CouponView { counts, cases: cached, marked: BTreeSet::new(), more: false };
    view.keep_what_changes();
    for case in &mut view.cases {
        if !is_believed(case.state) {
            let (live, payment) = case_live(context, key, &coupon, case).await?;
            payments.remove(&live.order.uid);
            payments.extend(payment.map(|payment| (live.order.uid.clone(), payment)));
            *case = live;
        }
    }
    Ok(Gathered { view, coupon, uses, payments })
}

/// Customers' counts of a coupon, by customer: those that list an order, and those of the customers of `orders`. What the
/// others count changes for nobody.
fn uses(
    context: &Context,
    key: &Key,
    coupon: &Coupon,
    orders: &[(Key, Arc<Order>)],
) -> BTreeMap<String, Arc<CouponUse>> {
    if coupon.spec.per_customer.is_none() {
        return BTreeMap::new();
    }
    let uid = uid_of(coupon);
    let mut keys = context.indexes.coupon_uses.in_progress(&key.namespace, &uid);
    let of_customer = |order: &Order| use_key(&key.namespace, &key.name, &uid, &order.spec.customer_ref.name);
    keys.extend(orders.iter().map(|(_, order)| of_customer(order)));
    let own = context.caches.coupon_uses.objects(&keys).into_iter().map(|(_, own)| own);
    let own = own.filter(|own| own.spec.coupon_ref.uid == uid);
    own.map(|own| (own.spec.customer_ref.name.clone(), own)).collect()
}

/// The orders that may change what is counted of a coupon, beside those that only their customers' counts list: those that
/// it lists, those that wait for it, those that leave, and those that give it back. Of any other it is counted already that
/// its payment has begun.
fn orders(context: &Context, key: &Key, coupon: &Coupon) -> Vec<(Key, Arc<Order>)> {
    let mut keys: BTreeSet<Key> = context.indexes.orders.of_coupon(key).into_iter().collect();
    keys.extend(context.indexes.payments.giving_back(key));
    keys.extend(coupon.status.iter().flat_map(listed).map(|id| Key::new(&key.namespace, &id.name)));
    let keys: Vec<Key> = keys.into_iter().collect();
    let mut orders = context.caches.orders.objects(&keys);
    orders.retain(|(_, order)| order.coupon_name().as_deref() == Some(&*key.name));
    orders
}

/// These orders and those that are listed, and their payments.
fn cases(
    context: &Context,
    key: &Key,
    coupon: &Coupon,
    orders: &[(Key, Arc<Order>)],
    uses: &BTreeMap<String, Arc<CouponUse>>,
) -> Vec<(Case, Option<Arc<Payment>>)> {
    let mut ids: BTreeMap<OrderId, Option<&str>> = BTreeMap::new();
    ids.extend(coupon.status.iter().flat_map(listed).map(|id| (id, None)));
    for (customer, own) in uses {
        ids.extend(own.status.iter().flat_map(listed).map(|id| (id, Some(customer.as_str()))));
    }
    ids.extend(orders.iter().map(|(_, order)| (order.id(), None)));
    let case_of = |(id, customer): (OrderId, Option<&str>)| {
        let key = Key::new(&key.namespace, &id.name);
        // Somebody who is listed and not to be seen may be gone; whether they are is read live.
        let order = context.caches.orders.object(&key).filter(|order| uid_of(&**order) == id.uid);
        let payment = order.as_ref().and_then(|_| context.caches.payments.object(&key));
        case(context, coupon, &id, order.as_deref(), payment, customer)
    };
    ids.into_iter().map(case_of).collect()
}

/// Everybody in the lists: one that gave the coupon back and is gone has to leave them, too, once they are long.
fn listed(status: &CouponStatus) -> Vec<OrderId> {
    let mut ids = convert::ids(&status.reserved);
    ids.extend(convert::ids(&status.releasing));
    ids
}

/// How it stands with one order, read live.
async fn case_live(
    context: &Context,
    key: &Key,
    coupon: &Coupon,
    of: &Case,
) -> Result<(Case, Option<Arc<Payment>>), ApiError> {
    let id = &of.order;
    let key = Key::new(&key.namespace, &id.name);
    let order = context.refresh(&context.caches.orders, &key).await?.filter(|order| uid_of(order) == id.uid);
    let payment = context.refresh(&context.caches.payments, &key).await?.map(Arc::new);
    Ok(case(context, coupon, id, order.as_ref(), payment, of.customer.as_deref()))
}

fn case(
    context: &Context,
    coupon: &Coupon,
    id: &OrderId,
    order: Option<&Order>,
    payment: Option<Arc<Payment>>,
    customer: Option<&str>,
) -> (Case, Option<Arc<Payment>>) {
    let payment = payment.filter(|payment| payment.spec.order_ref.uid == id.uid);
    let seen = payment.as_ref().map_or(PaymentSeen::Absent, |payment| payment_seen(coupon, payment));
    let requests = || order.is_some_and(|order| requests(context, coupon, order));
    let case = Case {
        order: id.clone(),
        placed_at: order.map_or(Timestamp(0), |order| convert::created_at(&order.metadata)),
        customer: order.map(|order| order.spec.customer_ref.name.as_str()).or(customer).map(str::to_owned),
        state: standing(order.is_some(), seen, requests),
    };
    (case, payment)
}

fn payment_seen(coupon: &Coupon, payment: &Payment) -> PaymentSeen {
    match &payment.spec.coupon {
        Some(held) if held.uid == uid_of(coupon) => PaymentSeen::Carries(redemption_record(held, payment)),
        Some(_) | None => PaymentSeen::Without,
    }
}

/// Whether an order would be paid if it had the coupon.
fn requests(context: &Context, coupon: &Coupon, order: &Order) -> bool {
    let candidate = Candidate {
        phase: order.phase(),
        deleting: order.metadata.deletion_timestamp.is_some(),
        cancel_wanted: order.cancel_wanted(),
        paused: order.is_paused(),
    };
    may_wait_for_coupon(candidate, || has_price(context, coupon, order))
}

fn has_price(context: &Context, coupon: &Coupon, order: &Order) -> bool {
    let key = Key::of(order);
    let Some(store) = store_of(context, &key, order, None) else { return false };
    let Some(store) = context.caches.stores.object(&Key::new(&key.namespace, &store)) else { return false };
    let placed_at = convert::created_at(&order.metadata);
    let expected = order.spec.expected_total;
    price(&order.ordered_items(), &store.menu(), Some(&coupon.terms()), expected, placed_at).is_ok()
}
