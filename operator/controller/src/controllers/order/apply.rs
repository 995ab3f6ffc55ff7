//! Carries out one command for an order. A step that somebody else's came before is no error: the child is read again, and
//! the next decision is made on what is there.

use fooddelivery_api::common::{NameRef, StoreRef};
use fooddelivery_api::payment::{PaymentCoupon, PaymentIntent, PaymentQuote, PaymentSpec, ReversalReason};
use fooddelivery_api::{Delivery, FINALIZER, Order, Payment, Ticket, TicketSpec};
use fooddelivery_runtime::api::{ApiError, Namespaced, with_finalizer, without_finalizer};
use fooddelivery_runtime::key::uid_of;
use fooddelivery_runtime::{Cache, Key};
use fooddelivery_saga::order::{ChildKind, Command, Note};
use fooddelivery_saga::payment::Intent;
use fooddelivery_saga::phases::{DeliveryStage, PaymentDesired, TicketStage};
use fooddelivery_saga::quote::Quote;
use fooddelivery_saga::reason::Reason;
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::info;

use super::children::Children;
use super::sources::Sources;
use crate::context::Context;
use crate::shared::children::delivery_spec;
use crate::shared::resolve::store_of;

pub(super) async fn apply(
    sources: &Sources,
    key: &Key,
    order: &Order,
    children: &Children,
    command: Command,
) -> Result<(), ApiError> {
    let context = &*sources.context;
    let Children { payment, ticket, delivery } = children;
    let (payment, ticket, delivery) = (payment.as_deref(), ticket.as_deref(), delivery.as_deref());
    match command {
        // Carried out in the reconciler: what comes of it is part of the next view.
        Command::ResolveReferences => Ok(()),
        Command::AddFinalizer => add_finalizer(context, order).await,
        Command::CreatePayment(quote, intent) => create_payment(sources, key, order, &quote, intent).await,
        Command::CreatePaymentTombstone(why) => {
            let tombstone = payment_of(order, &Quote::nothing(), Some(ReversalReason::from(&why)));
            create(context, &context.caches.payments, key, &tombstone).await
        }
        Command::CreateTicketTombstone(reason) => {
            let store = store_of(context, key, order, payment).unwrap_or_default();
            create(context, &context.caches.tickets, key, &ticket_tombstone(order, store, reason)).await
        }
        Command::CreateDeliveryTombstone(reason) => {
            let store = store_of(context, key, order, payment).unwrap_or_default();
            create(context, &context.caches.deliveries, key, &delivery_tombstone(key, order, store, reason))
                .await
        }
        Command::ReplaceToken => {
            let method = &order.spec.payment;
            let change =
                json!({ "spec": { "token": method.token, "tokenSecretRef": method.token_secret_ref } });
            patch(context, &context.caches.payments, key, payment, change).await
        }
        Command::ReturnMoney(why) => {
            info!(reason = %why.reason, "requesting the refund");
            let why = ReversalReason::from(&why);
            let change = json!({ "spec": { "desired": PaymentDesired::Refunded, "reversal": why } });
            patch(context, &context.caches.payments, key, payment, change).await
        }
        Command::EndTicket { stage, reason } => {
            let change = json!({ "spec": { "stage": stage, "reason": reason } });
            patch(context, &context.caches.tickets, key, ticket, change).await
        }
        Command::EndDelivery { stage, reason } => {
            let change = json!({ "spec": { "stage": stage, "reason": reason } });
            patch(context, &context.caches.deliveries, key, delivery, change).await
        }
        Command::ReleaseClaim => {
            info!("claim released: not picked up in time, or the order is undone");
            release_claim(context, key, delivery).await
        }
        Command::RefuseClaim => refuse_claim(context, key, delivery).await,
        Command::DeleteChild(ChildKind::Delivery) => {
            delete(context, &context.caches.deliveries, key, delivery).await
        }
        Command::DeleteChild(ChildKind::Ticket) => {
            delete(context, &context.caches.tickets, key, ticket).await
        }
        Command::DeleteChild(ChildKind::Payment) => {
            delete(context, &context.caches.payments, key, payment).await
        }
        Command::DeleteOrder => {
            info!("time to live after settling is over; deleting the order");
            delete(context, &context.caches.orders, key, Some(order)).await
        }
        Command::RemoveFinalizer => remove_finalizer(context, key, order).await,
    }
}

async fn create_payment(
    sources: &Sources,
    key: &Key,
    order: &Order,
    quote: &Quote,
    intent: Option<Intent>,
) -> Result<(), ApiError> {
    let (context, asked) = (&*sources.context, Instant::now());
    let mut payment = payment_of(order, quote, None);
    let intents = &sources.shared.intents;
    let _making = intent.is_some().then(|| intents.making(context, key, &uid_of(order)));
    payment.spec.intent = intent.map(PaymentIntent::from);
    if let Some(created) = context.create(&context.caches.payments, key, &payment).await? {
        let has_intent = created.spec.intent.is_some();
        info!(child = %Payment::kind(&()), has_intent, "created");
        if has_intent {
            intents.put(&created, asked);
        }
    }
    Ok(())
}

async fn release_claim(context: &Context, key: &Key, delivery: Option<&Delivery>) -> Result<(), ApiError> {
    let change = json!({ "spec": { "riderRef": null } });
    patch(context, &context.caches.deliveries, key, delivery, change).await
}

/// Releases the claim of a rider at capacity, and records why.
async fn refuse_claim(context: &Context, key: &Key, delivery: Option<&Delivery>) -> Result<(), ApiError> {
    let Some(object) = delivery else { return Err(ApiError::NotFound) };
    let rider = object.spec.rider_ref.as_ref().map(|r| r.name.clone()).unwrap_or_default();
    info!(rider, "claim refused: the rider is at capacity");
    let message = format!("{rider} carries as many deliveries as they can; this one waits for another rider");
    release_claim(context, key, delivery).await?;
    context.record(object, &Note::warning(Reason::RiderAtCapacity, message)).await;
    Ok(())
}

async fn add_finalizer(context: &Context, order: &Order) -> Result<(), ApiError> {
    let written = context.api.patch(order, with_finalizer(order, FINALIZER)).await?;
    context.caches.orders.remember(written);
    Ok(())
}

/// Removes the finalizer when a live look finds no child; else that child is dealt with first.
async fn remove_finalizer(context: &Context, key: &Key, order: &Order) -> Result<(), ApiError> {
    let payment = context.refresh(&context.caches.payments, key).await?.is_some();
    let ticket = context.refresh(&context.caches.tickets, key).await?.is_some();
    let delivery = context.refresh(&context.caches.deliveries, key).await?.is_some();
    if payment || ticket || delivery {
        return Ok(());
    }
    match context.api.patch(order, without_finalizer(order, FINALIZER)).await {
        Ok(_) | Err(ApiError::NotFound) => {
            info!("order removed");
            context.caches.orders.forget(key, Some(order));
            Ok(())
        }
        Err(error) => Err(error),
    }
}

async fn create<K: Namespaced>(
    context: &Context,
    cache: &Cache<K>,
    key: &Key,
    object: &K,
) -> Result<(), ApiError> {
    if context.create(cache, key, object).await?.is_some() {
        info!(child = %K::kind(&()), "created");
    }
    Ok(())
}

async fn patch<K: Namespaced>(
    context: &Context,
    cache: &Cache<K>,
    key: &Key,
    object: Option<&K>,
    change: Value,
) -> Result<(), ApiError> {
    let Some(object) = object else { return Err(ApiError::NotFound) };
    match context.api.patch(object, change).await {
        Ok(written) => {
            cache.remember(written);
            Ok(())
        }
        // An actor was quicker, or the copy was old: what is there now decides.
        Err(ApiError::Conflict | ApiError::NotFound) => context.refresh(cache, key).await.map(drop),
        Err(ApiError::Invalid(why)) => {
            let now = context.refresh(cache, key).await?;
            // Nobody was quicker, so to decide again would give the same: it is tried later. A policy of somebody else's
            // may be about it; an API server that has just started, and has not found the kind of a policy's parameters
            // yet, refuses everything that the policy is about.
            let is_unchanged = now.is_some_and(|now| now.resource_version() == object.resource_version());
            if is_unchanged { Err(ApiError::Invalid(why)) } else { Ok(()) }
        }
        Err(error) => Err(error),
    }
}

/// Deletes exactly what was decided on: an older copy may not show what something still needs it for.
async fn delete<K: Namespaced>(
    context: &Context,
    cache: &Cache<K>,
    key: &Key,
    object: Option<&K>,
) -> Result<(), ApiError> {
    if let Some(object) = object {
        match context.api.delete_unchanged(object).await {
            Ok(()) | Err(ApiError::Conflict) => {}
            Err(error) => return Err(error),
        }
    }
    context.refresh(cache, key).await.map(|_| ())
}

fn payment_of(order: &Order, quote: &Quote, reversal: Option<ReversalReason>) -> Payment {
    let method = &order.spec.payment;
    let spec = PaymentSpec {
        order_ref: order.order_ref(),
        quote: PaymentQuote::from(quote),
        provider_ref: NameRef { name: method.provider_ref.name.clone() },
        provider_order_id: method.provider_order_id.clone().unwrap_or_else(|| uid_of(order)),
        token: method.token.clone(),
        token_secret_ref: method.token_secret_ref.clone(),
        when_unavailable: method.when_unavailable,
        intent: None,
        desired: if reversal.is_some() { PaymentDesired::Refunded } else { PaymentDesired::Captured },
        coupon: quote.coupon.as_ref().map(|c| PaymentCoupon {
            name: c.name.clone(),
            uid: c.uid.clone(),
            returned: false,
        }),
        reversal,
        resolution: None,
    };
    let mut payment = Payment::new(&order.name_any(), spec);
    payment.metadata.finalizers = Some(vec![FINALIZER.into()]);
    payment
}

fn delivery_tombstone(key: &Key, order: &Order, store: String, reason: String) -> Delivery {
    let pickup = StoreRef { name: store, uid: String::new() };
    let mut delivery = Delivery::new(&key.name, delivery_spec(order, pickup, None));
    delivery.spec.stage = DeliveryStage::Cancelled;
    delivery.spec.reason = Some(reason);
    delivery
}

fn ticket_tombstone(order: &Order, store: String, reason: String) -> Ticket {
    let spec = TicketSpec {
        order_ref: order.order_ref(),
        store_ref: StoreRef { name: store, uid: String::new() },
        items: order.spec.items.clone(),
        store_replaced: false,
        stage: TicketStage::Cancelled,
        reason: Some(reason),
        deadlines: None,
    };
    Ticket::new(&order.name_any(), spec)
}
