//! From the caches to what a decision about a ticket depends on. Reads only.

use std::sync::Arc;

use fooddelivery_api::{Order, Payment, Ticket};
use fooddelivery_runtime::Key;
use fooddelivery_runtime::key::uid_of;
use fooddelivery_saga::ticket::{OrderSeen, StoreSeen, TicketView};
use fooddelivery_saga::view::Child;

use crate::context::Context;
use crate::shared::children::{Orphan, child, order_seen, seen};

/// What was gathered: the view, and the copies that a decision on it is carried out on.
pub(super) struct Gathered {
    pub(super) view: TicketView,
    pub(super) order: Option<Arc<Order>>,
    pub(super) ticket: Option<Arc<Ticket>>,
}

/// What the ticket's decision sees. `orphan` is what was found out about a child whose order is gone, and `replaced` the uid of
/// a store of which it was found out that another one was made under its name.
pub(super) fn gather(
    context: &Context,
    key: &Key,
    orphan: Option<&Orphan>,
    replaced: Option<&str>,
) -> Gathered {
    let order = context.caches.orders.object(key);
    let ticket = context.caches.tickets.object(key);
    let uid = order.as_deref().map(uid_of).unwrap_or_default();
    let whose = ticket.as_ref().map(|known| known.spec.order_ref.clone());
    let orphan = orphan.filter(|orphan| whose.as_ref() == Some(&orphan.whose));
    let view = TicketView {
        order: if orphan.is_some() { OrderSeen::Gone } else { order_seen(order.as_deref(), whose.as_ref()) },
        payment: seen(&child(&context.caches.payments, key, &uid), Payment::seen),
        ticket: match (&ticket, context.caches.tickets.get(key)) {
            (Some(ticket), _) => Child::Present(ticket.spec.stage),
            (None, Some(_)) => Child::Unreadable,
            (None, None) => Child::Absent,
        },
        store: ticket.as_ref().map_or(StoreSeen::Absent, |ticket| store_seen(context, key, ticket, replaced)),
        store_replaced: ticket.as_ref().is_some_and(|ticket| ticket.spec.store_replaced),
        awaits_count: orphan.is_some_and(|orphan| orphan.awaits_count),
        paused: order.as_deref().is_some_and(Order::is_paused),
        deleting: ticket.as_ref().is_some_and(|t| t.metadata.deletion_timestamp.is_some()),
    };
    Gathered { view, order, ticket }
}

/// The store of a ticket: by its uid, as another one may have been made under its name.
fn store_seen(context: &Context, key: &Key, ticket: &Ticket, replaced: Option<&str>) -> StoreSeen {
    let of = &ticket.spec.store_ref;
    match context.caches.stores.object(&Key::new(&key.namespace, &of.name)) {
        _ if replaced == Some(&*of.uid) => StoreSeen::Replaced,
        None => StoreSeen::Absent,
        Some(store) if uid_of(&*store) == of.uid => StoreSeen::Present(store.spec.acceptance),
        Some(_) => StoreSeen::Another,
    }
}
