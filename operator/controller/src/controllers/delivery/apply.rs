//! Carries out what was decided for a delivery.

use std::ops::ControlFlow;

use fooddelivery_api::common::StoreRef;
use fooddelivery_api::delivery::DeliveryDeadlines;
use fooddelivery_api::{Delivery, Order, Store};
use fooddelivery_runtime::api::ApiError;
use fooddelivery_runtime::key::uid_of;
use fooddelivery_runtime::{Key, Outcome, ReconcileError};
use fooddelivery_saga::delivery::Command;
use tracing::info;

use super::DeliveryReconcile;
use super::gather::Gathered;
use crate::shared::children::{Orphan, delivery_spec, is_orphan};
use crate::shared::counting::awaits_count;
use crate::shared::resolve::store_of;

impl DeliveryReconcile<'_> {
    /// Carries out a step; breaks when the reconcile ends with it.
    pub(super) async fn carry_out(
        &mut self,
        view: Gathered,
        command: Command,
    ) -> Result<ControlFlow<Outcome>, ReconcileError> {
        let (context, key) = (&self.controller.context, self.key);
        match (command, &view.delivery, &view.order) {
            (Command::Create, _, Some(order)) => {
                // A replica that had stalled must not make one for an order that has been undone meanwhile.
                if self.controller.shared.fresh_orders.has(order)
                    || context.is_unchanged(&context.caches.orders, key, &**order).await?
                {
                    self.create(order).await?;
                }
            }
            (Command::CheckOrder, Some(delivery), _) => {
                let whose = delivery.spec.order_ref.clone();
                if !is_orphan(context, key, &whose).await? {
                    return Ok(ControlFlow::Break(Outcome::Done));
                }
                let awaits_count = awaits_count(context, key, &**delivery).await?;
                self.orphan = Some(Orphan { whose, awaits_count });
            }
            (Command::Delete, Some(delivery), _) => {
                context.api.delete(&**delivery).await?;
                context.caches.deliveries.forget(key, Some(delivery));
                info!("delivery removed: its order is gone");
                return Ok(ControlFlow::Break(Outcome::Done));
            }
            (Command::Create, _, None) | (Command::CheckOrder | Command::Delete, None, _) => {
                return Ok(ControlFlow::Break(Outcome::Done));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    async fn create(&self, order: &Order) -> Result<(), ApiError> {
        let key = self.key;
        let payment = self.controller.context.caches.payments.object(key);
        let name = store_of(&self.controller.context, key, order, payment.as_deref()).unwrap_or_default();
        let store = self.controller.context.caches.stores.object(&Key::new(&key.namespace, &name));
        let pickup = StoreRef { name, uid: store.as_deref().map(uid_of).unwrap_or_default() };
        let spec = delivery_spec(order, pickup, store.as_deref().and_then(deadlines));
        // False: a cancel came first (its tombstone), or another replica.
        let (context, delivery) = (&self.controller.context, Delivery::new(&key.name, spec));
        if context.create(&context.caches.deliveries, key, &delivery).await?.is_some() {
            info!("delivery created");
        }
        Ok(())
    }
}

fn deadlines(store: &Store) -> Option<DeliveryDeadlines> {
    let of_store = store.spec.deadlines.as_ref()?;
    Some(DeliveryDeadlines {
        rider_seconds: of_store.rider_seconds,
        pickup_seconds: of_store.pickup_seconds,
        delivery_seconds: of_store.delivery_seconds,
    })
}
