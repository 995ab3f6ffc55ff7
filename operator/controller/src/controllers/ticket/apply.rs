//! Carries out what was decided for a ticket.

use std::ops::ControlFlow;

use fooddelivery_api::common::StoreRef;
use fooddelivery_api::ticket::TicketDeadlines;
use fooddelivery_api::{Order, Payment, Store, Ticket, TicketSpec};
use fooddelivery_runtime::api::ApiError;
use fooddelivery_runtime::key::uid_of;
use fooddelivery_runtime::{Key, Outcome, ReconcileError};
use fooddelivery_saga::phases::TicketStage;
use fooddelivery_saga::ticket::Command;
use serde_json::json;
use tracing::info;

use super::TicketReconcile;
use super::gather::Gathered;
use crate::shared::children::{Orphan, is_orphan};
use crate::shared::counting::awaits_count;
use crate::shared::resolve::store_of;

impl TicketReconcile<'_> {
    /// Carries out a step; breaks when the reconcile ends with it.
    pub(super) async fn carry_out(
        &mut self,
        view: Gathered,
        command: Command,
    ) -> Result<ControlFlow<Outcome>, ReconcileError> {
        let (context, key) = (&self.controller.context, self.key);
        match (command, &view.ticket, &view.order) {
            (Command::Create, _, Some(order)) => {
                // A replica that had stalled must not make one for an order that has been undone meanwhile.
                if self.controller.shared.fresh_orders.has(order)
                    || context.is_unchanged(&context.caches.orders, key, &**order).await?
                {
                    self.create(order).await?;
                }
            }
            (Command::Accept, Some(ticket), _) => {
                let change = json!({ "spec": { "stage": TicketStage::Accepted } });
                let written = context.api.patch(&**ticket, change).await?;
                info!("ticket accepted automatically");
                context.caches.tickets.remember(written);
            }
            (Command::CheckStore, Some(ticket), _) => {
                let of = &ticket.spec.store_ref;
                let store =
                    context.refresh(&context.caches.stores, &Key::new(&key.namespace, &of.name)).await?;
                self.replaced = store.filter(|store| uid_of(store) != of.uid).map(|_| of.uid.clone());
            }
            (Command::Withhold, Some(ticket), _) => {
                let written =
                    context.api.patch(&**ticket, json!({ "spec": { "storeReplaced": true } })).await?;
                info!("another store was made under the name of the ticket's: its people move it no more");
                context.caches.tickets.remember(written);
            }
            (Command::CheckOrder, Some(ticket), _) => {
                let whose = ticket.spec.order_ref.clone();
                if !is_orphan(context, key, &whose).await? {
                    return Ok(ControlFlow::Break(Outcome::Done));
                }
                let awaits_count = awaits_count(context, key, &**ticket).await?;
                self.orphan = Some(Orphan { whose, awaits_count });
            }
            (Command::Delete, Some(ticket), _) => {
                context.api.delete(&**ticket).await?;
                context.caches.tickets.forget(key, Some(ticket));
                info!("ticket removed: its order is gone");
                return Ok(ControlFlow::Break(Outcome::Done));
            }
            (Command::Create, _, None)
            | (
                Command::Accept
                | Command::CheckStore
                | Command::Withhold
                | Command::CheckOrder
                | Command::Delete,
                None,
                _,
            ) => {
                return Ok(ControlFlow::Break(Outcome::Done));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    async fn create(&self, order: &Order) -> Result<(), ApiError> {
        let key = self.key;
        let payment = self.controller.context.caches.payments.object(key);
        let ticket = Ticket::new(&key.name, self.spec(key, order, payment.as_deref()));
        // False: a cancel came first (its tombstone), or another replica.
        if self
            .controller
            .context
            .create(&self.controller.context.caches.tickets, key, &ticket)
            .await?
            .is_some()
        {
            info!("ticket created");
        }
        Ok(())
    }

    fn spec(&self, key: &Key, order: &Order, payment: Option<&Payment>) -> TicketSpec {
        let name = store_of(&self.controller.context, key, order, payment).unwrap_or_default();
        let store = self.controller.context.caches.stores.object(&Key::new(&key.namespace, &name));
        let uid = payment.map(|p| p.spec.quote.store_uid.clone()).unwrap_or_default();
        TicketSpec {
            order_ref: order.order_ref(),
            store_ref: StoreRef { name, uid },
            items: order.spec.items.clone(),
            stage: TicketStage::Pending,
            reason: None,
            store_replaced: false,
            deadlines: store.and_then(|s| deadlines(&s)),
        }
    }
}

fn deadlines(store: &Store) -> Option<TicketDeadlines> {
    let of_store = store.spec.deadlines.as_ref()?;
    Some(TicketDeadlines {
        acceptance_seconds: of_store.acceptance_seconds,
        cooking_seconds: of_store.cooking_seconds,
    })
}
