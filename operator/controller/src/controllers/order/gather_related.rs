//! From caches and live reads to what the rest of the marketplace has to do with an order: its store, its rider, its
//! coupon, and who keeps it from being deleted.

use fooddelivery_api::{Coupon, Customer, Delivery, Order, Payment};
use fooddelivery_runtime::Key;
use fooddelivery_runtime::api::ApiError;
use fooddelivery_runtime::key::uid_of;
use fooddelivery_saga::coupon::{RedemptionState, Redemptions};
use fooddelivery_saga::delivery::{Claim, ClaimStanding, is_surplus};
use fooddelivery_saga::order::admission::{CouponChoice, CouponCounts, StoreChoice};
use fooddelivery_saga::phases::{DeliveryStage, OrderPhase};
use fooddelivery_saga::time::Timestamp;
use fooddelivery_saga::view::{DeletionBlocker, RelatedState};
use tokio::time::Instant;

use super::children::Children;
use super::sources::Sources;
use crate::context::Context;
use crate::names::ControllerName;
use crate::shared::counting::{awaits_count, who_counts};
use crate::shared::coupon_keys::{redemption_record, use_key};
use crate::shared::notifications;
use crate::shared::resolve::store_of;

pub(super) async fn related(
    sources: &Sources,
    key: &Key,
    order: &Order,
    children: &Children,
    terminating: bool,
) -> Result<RelatedState, ApiError> {
    let context = &*sources.context;
    let deleting_since = order.metadata.deletion_timestamp.as_ref();
    Ok(RelatedState {
        store: store_of(context, key, order, children.payment.as_deref()),
        names_coupon: order.spec.coupon_code.is_some(),
        claim_is_surplus: claim_is_surplus(context, key, children.delivery.as_deref()),
        deletion_blockers: if order.is_leaving() {
            deletion_blockers(sources, key, order, children, terminating).await?
        } else {
            Vec::new()
        },
        deleting_since: deleting_since.map(|t| Timestamp(t.0.as_millisecond())),
        time_to_live: context.settings.time_to_live(),
    })
}

/// Whether the rider who has just taken the delivery carries as many as they can. Only a Rider says how many that is.
fn claim_is_surplus(context: &Context, key: &Key, delivery: Option<&Delivery>) -> bool {
    let Some(delivery) = delivery.filter(|d| d.spec.stage == DeliveryStage::Waiting) else { return false };
    let Some(name) = delivery.spec.rider_ref.as_ref().map(|r| r.name.as_str()) else { return false };
    let Some(rider) = context.caches.riders.object(&Key::new(&key.namespace, name)) else { return false };
    let carried =
        context.caches.deliveries.objects(&context.indexes.deliveries.open_of_rider(&key.namespace, name));
    let others = carried.iter().filter(|(other, _)| other != key);
    let mut claims: Vec<Claim> = others.map(|(_, other)| claim(context, key, other)).collect();
    claims.push(claim(context, key, delivery));
    is_surplus(&claims, &delivery.spec.order_ref.uid, rider.spec.capacity)
}

fn claim(context: &Context, key: &Key, delivery: &Delivery) -> Claim {
    let order = context.caches.orders.object(&Key::new(&key.namespace, &delivery.spec.order_ref.name));
    let order = order.filter(|order| uid_of(&**order) == delivery.spec.order_ref.uid);
    let known = order.filter(|order| order.phase() == OrderPhase::RiderAssigned);
    let standing = match known {
        _ if delivery.spec.stage == DeliveryStage::PickedUp => ClaimStanding::PickedUp,
        Some(order) => ClaimStanding::Known(order.state().phase_since(Timestamp(0))),
        None => ClaimStanding::New,
    };
    Claim { standing, order_uid: delivery.spec.order_ref.uid.clone() }
}

/// What an order that has ended, and is being deleted, is still needed for. A namespace on its way out waits for no
/// message.
async fn deletion_blockers(
    sources: &Sources,
    key: &Key,
    order: &Order,
    children: &Children,
    terminating: bool,
) -> Result<Vec<DeletionBlocker>, ApiError> {
    let context = &*sources.context;
    let mut deletion_blockers = Vec::new();
    if let Some(delivery) = &children.delivery
        && awaits_count(context, key, &**delivery).await?
    {
        deletion_blockers.push(DeletionBlocker::DeliveryCount);
    }
    if let Some(ticket) = &children.ticket
        && awaits_count(context, key, &**ticket).await?
    {
        deletion_blockers.push(DeletionBlocker::TicketCount);
    }
    if let Some(payment) = &children.payment
        && blocks_for_coupon(context, key, order, payment).await?
    {
        deletion_blockers.push(DeletionBlocker::Coupon);
    }
    if !terminating && is_to_be_told(sources, key, order, children).await? {
        deletion_blockers.push(DeletionBlocker::Messages);
    }
    Ok(deletion_blockers)
}

/// Whether somebody is still to be notified of the order. Before it goes they are looked for live: when nothing else is left.
async fn is_to_be_told(
    sources: &Sources,
    key: &Key,
    order: &Order,
    children: &Children,
) -> Result<bool, ApiError> {
    let (context, progress) = (&*sources.context, &sources.shared.notifications);
    let is_pending = || notifications::is_pending(context, progress, key, order);
    if is_pending() || !children.is_empty() {
        return Ok(is_pending());
    }
    notifications::read_who_is_notified(context, key, order).await?;
    if is_pending() {
        context.queues.push_at(ControllerName::Notification, key.clone(), Instant::now());
    }
    Ok(is_pending())
}

/// A coupon has to know what became of its redemption before the payment, which is the record of it, may go.
async fn blocks_for_coupon(
    context: &Context,
    key: &Key,
    order: &Order,
    payment: &Payment,
) -> Result<bool, ApiError> {
    let Some(held) = payment.spec.coupon.as_ref().filter(|held| !held.returned) else { return Ok(false) };
    let coupon = who_counts(context, &context.caches.coupons, &Key::new(&key.namespace, &held.name)).await?;
    let Some(coupon) = coupon.filter(|coupon| uid_of(coupon) == held.uid) else { return Ok(false) };
    let id = order.id();
    let own = match coupon.spec.per_customer {
        Some(_) => redemptions_of(context, key, order, &coupon).await?,
        None => None,
    };
    let reserved = coupon.redemptions().is_reserved(&id) || own.is_some_and(|own| own.is_reserved(&id));
    Ok(RedemptionState::of(redemption_record(held, payment)).blocks_deletion(reserved))
}

/// What the customer has made of a coupon, read live.
async fn redemptions_of(
    context: &Context,
    key: &Key,
    order: &Order,
    coupon: &Coupon,
) -> Result<Option<Redemptions>, ApiError> {
    let name = coupon.metadata.name.clone().unwrap_or_default();
    let key = use_key(&key.namespace, &name, &uid_of(coupon), &order.spec.customer_ref.name);
    Ok(context.refresh(&context.caches.coupon_uses, &key).await?.map(|found| found.redemptions()))
}

/// The store that the customer prefers, read live.
pub(super) async fn preferred_store(
    context: &Context,
    key: &Key,
    order: &Order,
) -> Result<StoreChoice, ApiError> {
    let name = &order.spec.customer_ref.name;
    let customer: Option<Customer> =
        context.refresh(&context.caches.customers, &Key::new(&key.namespace, name)).await?;
    let Some(customer) = customer else { return Ok(StoreChoice::NoCustomer) };
    let preferred = customer.spec.preferred_store_ref;
    Ok(preferred.map_or(StoreChoice::NoPreference, |store| StoreChoice::Named(store.name)))
}

/// The order's coupon and its counts, read live.
pub(super) async fn coupon(context: &Context, key: &Key, order: &Order) -> Result<CouponChoice, ApiError> {
    let Some(name) = order.coupon_name() else { return Ok(CouponChoice::None) };
    let found = context.refresh(&context.caches.coupons, &Key::new(&key.namespace, &name)).await?;
    let Some(coupon) = found else { return Ok(CouponChoice::Missing(name)) };
    let redemptions = coupon.redemptions();
    // Those of the customer matter only where one is not reserved for the order yet.
    let of_customer = if coupon.spec.per_customer.is_some() && !redemptions.is_reserved(&order.id()) {
        redemptions_of(context, key, order, &coupon).await?
    } else {
        None
    };
    Ok(CouponChoice::Found(Box::new(CouponCounts {
        terms: coupon.terms(),
        redemptions,
        limit: coupon.spec.max_redemptions,
        per_customer: coupon.spec.per_customer,
        of_customer,
    })))
}
