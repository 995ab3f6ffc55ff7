//! From caches and live reads to what a decision about an order depends on. Reads only.

use std::sync::Arc;

use fooddelivery_api::store::StoreDeadlines;
use fooddelivery_api::{Delivery, Order, Payment, PaymentProvider, Store, Ticket, convert};
use fooddelivery_runtime::Key;
use fooddelivery_runtime::api::ApiError;
use fooddelivery_runtime::key::uid_of;
use fooddelivery_saga::order::admission::{References, StoreChoice, absence_is_believed, admit};
use fooddelivery_saga::order::{ChildKind, OrderView};
use fooddelivery_saga::payment::ProviderSession;
use fooddelivery_saga::phases::{Acceptance, OrderPhase};
use fooddelivery_saga::quote::{Blocker, Quote};
use fooddelivery_saga::reason::Reason;
use fooddelivery_saga::time::{Deadlines, Millis};
use fooddelivery_saga::view::{Child, ControllerAvailability};
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use tokio::time::Instant;

use super::children::Children;
use super::gather_related::{coupon, preferred_store, related};
use super::sources::Sources;
use crate::context::Context;
use crate::names::ControllerName;
use crate::shared::children::{child, seen};

/// What the order's decision sees. A child that should be there but is not in the cache is looked for live: only then
/// its absence is believed. So is every one where nothing can be created any more, and so no tombstone can stand in its
/// place.
pub(super) async fn gather(
    sources: &Sources,
    key: &Key,
    order: &Order,
    quote: Option<Result<Quote, Blocker>>,
) -> Result<(OrderView, Children), ApiError> {
    let context = &*sources.context;
    let uid = uid_of(order);
    let state = order.state();
    let phase = state.phase;
    let deleting = order.metadata.deletion_timestamp.is_some();
    let namespace_terminating = deleting && terminating(context, &key.namespace).await?;
    let must_look = |child| !absence_is_believed(&state, child, namespace_terminating);
    let mut payment = child(&context.caches.payments, key, &uid);
    if payment.is_absent() && must_look(ChildKind::Payment) {
        context.refresh(&context.caches.payments, key).await?;
        payment = child(&context.caches.payments, key, &uid);
    }
    let mut ticket = child(&context.caches.tickets, key, &uid);
    if ticket.is_absent() && must_look(ChildKind::Ticket) {
        context.refresh(&context.caches.tickets, key).await?;
        ticket = child(&context.caches.tickets, key, &uid);
    }
    let mut delivery = child(&context.caches.deliveries, key, &uid);
    if delivery.is_absent() && must_look(ChildKind::Delivery) {
        context.refresh(&context.caches.deliveries, key).await?;
        delivery = child(&context.caches.deliveries, key, &uid);
    }
    let children = Children {
        payment: payment.present().cloned(),
        ticket: ticket.present().cloned(),
        delivery: delivery.present().cloned(),
    };
    let related = related(sources, key, order, &children, namespace_terminating).await?;
    // One that was made again under the name has no say: neither that it is closed, nor that it accepts by itself.
    let is_namesake = ticket.present().is_some_and(|ticket| ticket.spec.store_replaced);
    let store = related.store.as_ref().filter(|_| !is_namesake);
    let store = store.and_then(|name| context.caches.stores.object(&Key::new(&key.namespace, name)));
    let method = &order.spec.payment;
    let token_replaced = payment
        .present()
        .is_some_and(|p| p.spec.token != method.token || p.spec.token_secret_ref != method.token_secret_ref);
    let view = OrderView {
        created_at: convert::created_at(&order.metadata),
        has_finalizer: order.finalizers().iter().any(|f| f == fooddelivery_api::FINALIZER),
        deleting,
        namespace_terminating,
        paused: order.is_paused(),
        cancellation: order.spec.cancellation.as_ref().map(|c| c.reason.clone()),
        receipt_confirmed: order.spec.receipt_confirmed == Some(true),
        when_unavailable: method.when_unavailable,
        token_replaced,
        state,
        // One that is gone opens no more: then there must be an end.
        store_open: store.as_ref().is_none_or(|s| s.spec.open),
        accepts_by_itself: store.as_ref().is_some_and(|s| s.spec.acceptance == Acceptance::Automatic),
        availability: availability(sources, key, phase).await,
        deadlines: deadlines(context, store.as_deref(), &ticket, &delivery),
        payment: seen(&payment, Payment::seen),
        ticket: seen(&ticket, Ticket::seen),
        delivery: seen(&delivery, Delivery::seen),
        session: quote.is_some().then(|| session(sources, order)).flatten(),
        quote,
        watching_since: *context.watching_since.get_or_init(|| context.clock.now()),
        related,
    };
    Ok((view, children))
}

/// The way to the payment provider, where a client of it is at hand. A token in a Secret is read when it is needed.
fn session(sources: &Sources, order: &Order) -> Option<ProviderSession> {
    let (context, method) = (&*sources.context, &order.spec.payment);
    let provider = context.caches.providers.object(&Key::new("", &method.provider_ref.name))?;
    let client = sources.shared.payment_clients.at_hand(&provider)?;
    method.token.as_ref()?;
    Some(client.session(context.clock.now()))
}

/// Availability of the controllers; of no matter for an order whose deadlines are over.
async fn availability(sources: &Sources, key: &Key, phase: OrderPhase) -> ControllerAvailability {
    if phase.is_terminal() || phase == OrderPhase::Cancelling {
        return ControllerAvailability::default();
    }
    sources.availability.of(&key.namespace).await
}

/// In a namespace that is being deleted nothing can be created any more.
async fn terminating(context: &Context, namespace: &str) -> Result<bool, ApiError> {
    let found = context.api.read_cluster::<Namespace>(namespace).await?;
    Ok(found.is_none_or(|n| n.metadata.deletion_timestamp.is_some()))
}

/// What the children carry comes before what the store says now, and that before the operator's configuration.
fn deadlines(
    context: &Context,
    store: Option<&Store>,
    ticket: &Child<Arc<Ticket>>,
    delivery: &Child<Arc<Delivery>>,
) -> Deadlines {
    let configured = context.settings.deadlines.to_deadlines();
    let of_store = store.and_then(|s| s.spec.deadlines.clone()).unwrap_or_default();
    let StoreDeadlines {
        acceptance_seconds,
        cooking_seconds,
        rider_seconds,
        pickup_seconds,
        delivery_seconds,
        confirmation_seconds,
    } = of_store;
    let of_ticket = ticket.present().and_then(|t| t.spec.deadlines.clone()).unwrap_or_default();
    let of_delivery = delivery.present().and_then(|d| d.spec.deadlines.clone()).unwrap_or_default();
    let pick = |first: Option<i64>, second: Option<i64>, otherwise: Millis| {
        first.or(second).map_or(otherwise, Millis::seconds)
    };
    Deadlines {
        payment: configured.payment,
        deferral: configured.deferral,
        acceptance: pick(of_ticket.acceptance_seconds, acceptance_seconds, configured.acceptance),
        cooking: pick(of_ticket.cooking_seconds, cooking_seconds, configured.cooking),
        rider: pick(of_delivery.rider_seconds, rider_seconds, configured.rider),
        pickup: pick(of_delivery.pickup_seconds, pickup_seconds, configured.pickup),
        delivery: pick(of_delivery.delivery_seconds, delivery_seconds, configured.delivery),
        confirmation: pick(confirmation_seconds, None, configured.confirmation),
    }
}

/// Resolves the order's references by live reads, so that files can be applied in any order, and prices it.
pub(super) async fn resolve(
    sources: &Sources,
    key: &Key,
    order: &Order,
) -> Result<Result<Quote, Blocker>, ApiError> {
    let context = &*sources.context;
    let admitted = admit(&references(context, key, order).await?);
    if let (Err(blocker), Some(code)) = (&admitted, order.coupon_name())
        && blocker.reason == Reason::CouponPending
    {
        context.queues.push_at(ControllerName::Coupon, Key::new(&key.namespace, &code), Instant::now());
    }
    if admitted.is_ok() {
        // So that the payment can be made with its intent. Whatever keeps the provider from being called is the payment's to say.
        let (clients, provider) = (&sources.shared.payment_clients, &order.spec.payment.provider_ref.name);
        let _ = clients.open(&context.api, &context.caches.providers, provider).await?;
    }
    Ok(admitted)
}

async fn references(context: &Context, key: &Key, order: &Order) -> Result<References, ApiError> {
    let spec = &order.spec;
    let store = match &spec.store_ref {
        Some(store) => StoreChoice::Named(store.name.clone()),
        None => preferred_store(context, key, order).await?,
    };
    let coupon = coupon(context, key, order).await?;
    let menu = match &store {
        StoreChoice::Named(name) => {
            let store = context.refresh(&context.caches.stores, &Key::new(&key.namespace, name)).await?;
            store.map(|store| store.menu())
        }
        StoreChoice::NoPreference | StoreChoice::NoCustomer => None,
    };
    let provider = &spec.payment.provider_ref.name;
    let cached = context.caches.providers.object(&Key::new("", provider)).is_some();
    Ok(References {
        order: order.id(),
        placed_at: convert::created_at(&order.metadata),
        customer: spec.customer_ref.name.clone(),
        items: order.ordered_items(),
        expected_total: spec.expected_total,
        first_total: order.status.as_ref().and_then(|status| status.first_total),
        store,
        menu,
        coupon,
        provider: provider.clone(),
        provider_exists: cached || context.api.read_cluster::<PaymentProvider>(provider).await?.is_some(),
    })
}
