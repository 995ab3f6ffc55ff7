//! How it stands with a coupon's orders, from the caches and, where something is to change, read live.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fooddelivery_api::{Coupon, CouponStatus, CouponUse, Order, Payment, convert};
use fooddelivery_runtime::Key;
use fooddelivery_runtime::api::ApiError;
use fooddelivery_runtime::key::uid_of;
use fooddelivery_saga::counter::OrderId;
use fooddelivery_saga::coupon::{Counts, RedemptionState};
use fooddelivery_saga::order::admission::{Candidate, may_wait_for_coupon};
use fooddelivery_saga::quote::price;
use fooddelivery_saga::time::Timestamp;

use crate::context::Context;
use crate::shared::coupon_keys::redemption_record;
use crate::shared::resolve::store_of;

/// An order, as far as its coupon goes.
pub(super) struct Case {
    pub(super) id: OrderId,
    placed_at: Timestamp,
    /// Known while the order is there, or listed in the customer's own counts.
    pub(super) customer: Option<String>,
    pub(super) holder: RedemptionState,
    pub(super) payment: Option<Arc<Payment>>,
}

/// The customers' counts of a coupon, by customer.
pub(super) fn uses(context: &Context, key: &Key, coupon: &Coupon) -> BTreeMap<String, Arc<CouponUse>> {
    let uid = uid_of(coupon);
    if coupon.spec.per_customer.is_none() {
        return BTreeMap::new();
    }
    let own = context.caches.coupon_uses.objects_in(&key.namespace, |own| own.spec.coupon_ref.uid == uid);
    own.into_iter().map(|(_, own)| (own.spec.customer_ref.name.clone(), own)).collect()
}

/// All orders that have to do with a coupon, those that were placed first before the others.
pub(super) fn cases(
    context: &Context,
    key: &Key,
    coupon: &Coupon,
    uses: &BTreeMap<String, Arc<CouponUse>>,
) -> Vec<Case> {
    let named = |order: &Order| order.coupon_name().as_deref() == Some(&*key.name);
    let orders = context.caches.orders.objects_in(&key.namespace, named);
    let mut cases: Vec<Case> = orders
        .iter()
        .map(|(key, order)| {
            let payment = context.caches.payments.object(key);
            case(context, coupon, &order.id(), Some(order), payment, None)
        })
        .collect();
    let known: BTreeSet<String> = cases.iter().map(|case| case.id.uid.clone()).collect();
    // Somebody who is listed and not to be seen may be gone; whether they are is read live.
    let mut lost: BTreeMap<OrderId, Option<&str>> = BTreeMap::new();
    for id in coupon.status.iter().flat_map(listed) {
        lost.insert(id, None);
    }
    for (customer, own) in uses {
        for id in own.status.iter().flat_map(listed) {
            lost.insert(id, Some(customer));
        }
    }
    let lost = lost.into_iter().filter(|(id, _)| !known.contains(&id.uid));
    cases.extend(lost.map(|(id, customer)| case(context, coupon, &id, None, None, customer)));
    // Who only leaves a list makes room for the others.
    let stays = |case: &Case| !matches!(case.holder, RedemptionState::Released | RedemptionState::None);
    cases.sort_by(|a, b| (stays(a), a.placed_at, &a.id).cmp(&(stays(b), b.placed_at, &b.id)));
    cases
}

/// Everybody in the lists: one that gave the coupon back and is gone has to leave them, too, once they are long.
fn listed(status: &CouponStatus) -> Vec<OrderId> {
    let mut ids = convert::ids(&status.reserved);
    ids.extend(convert::ids(&status.releasing));
    ids
}

/// How it stands with one order, read live.
pub(super) async fn case_live(
    context: &Context,
    key: &Key,
    coupon: &Coupon,
    of: &Case,
) -> Result<Case, ApiError> {
    let id = &of.id;
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
) -> Case {
    let payment = payment.filter(|payment| payment.spec.order_ref.uid == id.uid);
    let holder = match (&payment, order) {
        // Without its order a payment is one that was made too late: it never held the coupon.
        (_, None) => RedemptionState::None,
        (Some(payment), Some(_)) => of_payment(coupon, payment),
        (None, Some(order)) if requests(context, coupon, order) => RedemptionState::Requested,
        (None, Some(_)) => RedemptionState::Undetermined,
    };
    Case {
        id: id.clone(),
        placed_at: order.map_or(Timestamp(0), |order| convert::created_at(&order.metadata)),
        customer: order.map(|order| order.spec.customer_ref.name.as_str()).or(customer).map(str::to_owned),
        holder,
        payment,
    }
}

fn of_payment(coupon: &Coupon, payment: &Payment) -> RedemptionState {
    match &payment.spec.coupon {
        Some(held) if held.uid == uid_of(coupon) => RedemptionState::of(redemption_record(held, payment)),
        _ => RedemptionState::None,
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

/// Leaves the cases that would change some counts, at most `limit`; returns whether there were more.
pub(super) fn keep_what_changes(
    coupon: &Coupon,
    uses: &BTreeMap<String, Arc<CouponUse>>,
    cases: &mut Vec<Case>,
    limit: usize,
) -> bool {
    let mut counts = Counts {
        redemptions: coupon.redemptions(),
        limit: coupon.spec.max_redemptions,
        per_customer: coupon.spec.per_customer,
        of_customers: uses.iter().map(|(customer, own)| (customer.clone(), own.redemptions())).collect(),
    };
    cases.retain(|case| counts.take_in(&case.id, case.customer.as_deref(), case.holder));
    let more = cases.len() > limit;
    cases.truncate(limit);
    more
}
