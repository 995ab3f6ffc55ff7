//! Carries out what was decided for a ticket.

use std::ops::ControlFlow;

use fooddelivery_api::common::{StoreRef, Time};
use fooddelivery_api::ticket::{TicketDeadlines, TicketStatus};
use fooddelivery_api::{Order, Payment, Store, Ticket, TicketSpec};
use fooddelivery_runtime::api::ApiError;
use fooddelivery_runtime::{Key, Outcome, ReconcileError};
use fooddelivery_saga::phases::TicketStage;
use fooddelivery_saga::ticket::Command;
use fooddelivery_saga::view::Mirror;
use serde_json::json;
use tracing::info;

use super::TicketReconcile;
use super::gather::Gathered;
use crate::shared::children::is_orphan;
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
                if context.is_unchanged(&context.caches.orders, key, &**order).await? {
                    self.create(order).await?;
                }
            }
            (Command::Accept, Some(ticket), _) => {
                let change = json!({ "spec": { "stage": TicketStage::Accepted } });
                let written = context.api.patch(&**ticket, change).await?;
                info!("ticket accepted automatically");
                context.caches.tickets.remember(written);
            }
            (Command::CheckOrder, Some(ticket), _) => {
                if !is_orphan(context, key, &ticket.spec.order_ref).await? {
                    return Ok(ControlFlow::Break(Outcome::Done));
                }
                self.gone = Some(ticket.spec.order_ref.clone());
            }
            (Command::Delete, Some(ticket), _) => {
                context.api.delete(&**ticket).await?;
                context.caches.tickets.forget(key, Some(ticket));
                info!("ticket removed: its order is gone");
                return Ok(ControlFlow::Break(Outcome::Done));
            }
            (Command::Create, _, None)
            | (Command::Accept | Command::CheckOrder | Command::Delete, None, _) => {
                self.controller.mirror_delay.clear(key);
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
            deadlines: store.and_then(|s| deadlines(&s)),
        }
    }

    /// Shows the stage in status.
    pub(super) async fn mirror(
        &self,
        ticket: &Ticket,
        mirror: Mirror<TicketStage>,
    ) -> Result<Outcome, ReconcileError> {
        let Mirror { stage, counted } = mirror;
        if let Some(remaining) = self.controller.mirror_delay.remaining(self.key) {
            return Ok(Outcome::After(remaining));
        }
        let old = ticket.status.clone().unwrap_or_default();
        let mut new = mirrored(ticket, &old, stage, Time(self.controller.context.clock.now()));
        new.counted |= counted;
        self.controller
            .context
            .write_status(&self.controller.context.caches.tickets, ticket, &old, &new)
            .await?;
        self.controller.mirror_delay.clear(self.key);
        info!(%stage, "ticket moved");
        Ok(Outcome::Done)
    }
}

/// The status that shows `stage`; times of stages that passed unseen are those of the one seen.
fn mirrored(ticket: &Ticket, old: &TicketStatus, stage: TicketStage, now: Time) -> TicketStatus {
    let mut new = TicketStatus {
        phase: stage,
        reason: ticket.spec.reason.clone(),
        observed_generation: ticket.metadata.generation,
        ..old.clone()
    };
    let reached = |at: &mut Option<Time>| {
        at.get_or_insert(now);
    };
    match stage {
        TicketStage::Accepted => reached(&mut new.accepted_at),
        TicketStage::Cooking => {
            reached(&mut new.accepted_at);
            reached(&mut new.cooking_at);
        }
        TicketStage::Cooked => {
            reached(&mut new.accepted_at);
            reached(&mut new.cooking_at);
            reached(&mut new.cooked_at);
        }
        TicketStage::Rejected | TicketStage::Cancelled | TicketStage::Abandoned => reached(&mut new.ended_at),
        TicketStage::Pending | TicketStage::Unknown => {}
    }
    new
}

fn deadlines(store: &Store) -> Option<TicketDeadlines> {
    let of_store = store.spec.deadlines.as_ref()?;
    Some(TicketDeadlines {
        acceptance_seconds: of_store.acceptance_seconds,
        cooking_seconds: of_store.cooking_seconds,
    })
}
