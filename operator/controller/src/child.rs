//! What the controllers of tickets and deliveries share: how they see the order behind a child.

use fooddelivery_api::{Order, OrderRef, Payment};
use fooddelivery_saga::ticket::OrderSeen;

use crate::api::ApiError;
use crate::context::Context;
use crate::engine::Key;
use crate::events::uid_of;
use crate::order::cancel_wanted;

/// The order behind a child, from the cache: `whose` is the child's reference, when there is a child.
pub(crate) fn order_seen(order: Option<&Order>, whose: Option<&OrderRef>) -> OrderSeen {
    match order {
        Some(order) if whose.is_none_or(|reference| reference.uid == uid_of(order)) => {
            OrderSeen::Present { phase: order.state().phase, cancel_wanted: cancel_wanted(order) }
        }
        _ => OrderSeen::Missing,
    }
}

/// Whether the order behind a child is really gone, read live, and its payment too: the payment still needs to know
/// whether the store had begun.
pub(crate) async fn is_orphan(context: &Context, key: &Key, whose: &OrderRef) -> Result<bool, ApiError> {
    let order = context.api.read::<Order>(&Key::new(&key.namespace, &whose.name)).await?;
    if order.is_some_and(|o| uid_of(&o) == whose.uid) {
        return Ok(false);
    }
    let payment = context.api.read::<Payment>(key).await?;
    Ok(payment.is_none_or(|p| p.spec.order_ref.uid != whose.uid))
}
