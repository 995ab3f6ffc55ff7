//! Carries out what was decided for a delivery.

use std::ops::ControlFlow;

use fooddelivery_api::common::{StoreRef, Time};
use fooddelivery_api::delivery::{DeliveryDeadlines, DeliveryStatus};
use fooddelivery_api::{Delivery, Order, Store};
use fooddelivery_runtime::api::ApiError;
use fooddelivery_runtime::key::uid_of;
use fooddelivery_runtime::{Key, Outcome, ReconcileError};
use fooddelivery_saga::delivery::Command;
use fooddelivery_saga::phases::DeliveryStage;
use fooddelivery_saga::view::Mirror;
use tracing::info;

use super::DeliveryReconcile;
use super::gather::Gathered;
use crate::shared::children::{delivery_spec, is_orphan};
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
                if context.is_unchanged(&context.caches.orders, key, &**order).await? {
                    self.create(order).await?;
                }
            }
            (Command::CheckOrder, Some(delivery), _) => {
                if !is_orphan(context, key, &delivery.spec.order_ref).await? {
                    return Ok(ControlFlow::Break(Outcome::Done));
                }
                self.gone = Some(delivery.spec.order_ref.clone());
            }
            (Command::Delete, Some(delivery), _) => {
                context.api.delete(&**delivery).await?;
                context.caches.deliveries.forget(key, Some(delivery));
                info!("delivery removed: its order is gone");
                return Ok(ControlFlow::Break(Outcome::Done));
            }
            (Command::Create, _, None) | (Command::CheckOrder | Command::Delete, None, _) => {
                self.controller.mirror_delay.clear(key);
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

    /// Shows the stage in status.
    pub(super) async fn mirror(
        &self,
        delivery: &Delivery,
        mirror: Mirror<DeliveryStage>,
    ) -> Result<Outcome, ReconcileError> {
        let Mirror { stage, counted } = mirror;
        if let Some(remaining) = self.controller.mirror_delay.remaining(self.key) {
            return Ok(Outcome::After(remaining));
        }
        let old = delivery.status.clone().unwrap_or_default();
        let mut new = mirrored(delivery, &old, stage, Time(self.controller.context.clock.now()));
        new.counted |= counted;
        self.controller
            .context
            .write_status(&self.controller.context.caches.deliveries, delivery, &old, &new)
            .await?;
        self.controller.mirror_delay.clear(self.key);
        info!(%stage, "delivery moved");
        Ok(Outcome::Done)
    }
}

/// The status that shows `stage`; times of stages that passed unseen are those of the one seen.
fn mirrored(delivery: &Delivery, old: &DeliveryStatus, stage: DeliveryStage, now: Time) -> DeliveryStatus {
    let mut new =
        DeliveryStatus { phase: stage, observed_generation: delivery.metadata.generation, ..old.clone() };
    match stage {
        DeliveryStage::PickedUp => new.picked_up_at = new.picked_up_at.or(Some(now)),
        DeliveryStage::Delivered => {
            new.picked_up_at = new.picked_up_at.or(Some(now));
            new.delivered_at = new.delivered_at.or(Some(now));
        }
        DeliveryStage::Failed | DeliveryStage::Cancelled => new.ended_at = new.ended_at.or(Some(now)),
        DeliveryStage::Waiting | DeliveryStage::Unknown => {}
    }
    new
}

fn deadlines(store: &Store) -> Option<DeliveryDeadlines> {
    let of_store = store.spec.deadlines.as_ref()?;
    Some(DeliveryDeadlines {
        rider_seconds: of_store.rider_seconds,
        pickup_seconds: of_store.pickup_seconds,
        delivery_seconds: of_store.delivery_seconds,
    })
}
