//! Tickets: the store's side. Puts paid orders into the store's queue, accepts on the store's behalf where it wants
//! that, and clears away tickets whose order is gone.

mod apply;
mod gather;

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;

use fooddelivery_api::{Order, Payment, Store, Ticket};
use fooddelivery_runtime::driver::{Reconcile, Step, drive};
use fooddelivery_runtime::{Key, Outcome, ReconcileError, Reconciler};
use fooddelivery_saga::ticket::{Command, decide};
use kube::ResourceExt;
use tracing::Span;

use crate::context::Context;
use crate::names::ControllerName;
use crate::registry::{Controller, Registered, Registration};
use crate::sharding::Shard;
use crate::shared::children::{Orphan, order_key};
use crate::shared::concerns::{order_concerns_ticket, payment_concerns_children};
use crate::shared::correlation::{correlate, order_span};
use crate::shared::counting::listed;
use crate::shared::machine::{Apply, Resting, step};
use crate::shared::state::Shared;
use crate::shared::waiting::orders_of_store;

use gather::{Gathered, gather};

const NAME: ControllerName = ControllerName::Ticket;

/// The ticket controller.
pub(crate) const CONTROLLER: Controller = Controller { name: NAME, deadlines_rest_on_it: true, register };

fn register(mut controller: Registration<'_>) -> Registered {
    controller.on::<Ticket>(|_, change| vec![change.key.clone()]);
    controller.on_difference::<Order>(order_concerns_ticket, |_, change| vec![change.key.clone()]);
    controller.on_difference::<Payment>(payment_concerns_children, |_, change| {
        vec![order_key(change.key, change.object)]
    });
    // Its counts are nothing that an order waits for.
    controller.on_spec_change::<Store>(|context, change| orders_of_store(context, change.key));
    controller.on::<Store>(|_, change| listed::<Ticket>(change.key, change.object));
    let reconciler = Tickets { context: controller.context().clone(), shared: controller.shared().clone() };
    controller.run(Shard::OfOrder, reconciler)
}

struct Tickets {
    context: Arc<Context>,
    shared: Shared,
}

impl Reconciler for Tickets {
    fn name(&self) -> &'static str {
        NAME.as_str()
    }

    fn span(&self, key: &Key) -> Span {
        order_span(self.name(), key)
    }

    async fn reconcile(&self, key: Key, _tries: u32) -> Result<Outcome, ReconcileError> {
        let caches = &self.context.caches;
        if caches.orders.object(&key).is_some_and(|order| self.shared.fresh_orders.is_being_written(&order)) {
            return Ok(Outcome::Done);
        }
        let whose = caches.tickets.object(&key).map(|known| known.spec.order_ref.uid.clone());
        correlate(whose.or_else(|| caches.orders.object(&key)?.uid()));
        let reconcile = TicketReconcile { controller: self, key: &key, orphan: None, replaced: None };
        drive(self.name(), &key, reconcile).await
    }
}

/// One reconcile of one ticket.
struct TicketReconcile<'a> {
    controller: &'a Tickets,
    key: &'a Key,
    /// What was found out: by the next look a child of another order with this name may stand here.
    orphan: Option<Orphan>,
    /// The uid of a store of which it was found out that another one was made under its name.
    replaced: Option<String>,
}

impl Reconcile for TicketReconcile<'_> {
    type View = Gathered;
    type Command = Apply<Command, Infallible>;
    type Rest = Resting<Infallible>;

    async fn gather(&mut self) -> Result<ControlFlow<Outcome, Gathered>, ReconcileError> {
        let context = &self.controller.context;
        Ok(ControlFlow::Continue(gather(context, self.key, self.orphan.as_ref(), self.replaced.as_deref())))
    }

    fn decide(&self, gathered: &Gathered) -> Step<Self::Command, Self::Rest> {
        step(decide(&gathered.view))
    }

    async fn apply(
        &mut self,
        gathered: Gathered,
        command: Self::Command,
    ) -> Result<ControlFlow<Outcome>, ReconcileError> {
        match command {
            Apply::Command(command) => self.carry_out(gathered, command).await,
            Apply::Write(never) => match *never {},
        }
    }

    async fn rest(&mut self, _: Gathered, resting: Self::Rest) -> Result<Outcome, ReconcileError> {
        match resting.status_or_outcome(&self.controller.context.clock) {
            Ok(rest) => match rest.state {},
            Err(outcome) => Ok(outcome),
        }
    }
}
