//! Deliveries: the riders' side. Offers cooked orders, and clears away deliveries whose order is gone.

mod apply;
mod gather;

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;

use fooddelivery_api::{Delivery, Order, Payment, Rider, Ticket};
use fooddelivery_runtime::driver::{Reconcile, Step, drive};
use fooddelivery_runtime::{Key, Outcome, ReconcileError, Reconciler};
use fooddelivery_saga::delivery::{Command, decide};
use kube::ResourceExt;
use tracing::Span;

use crate::context::Context;
use crate::names::ControllerName;
use crate::registry::{Controller, Registered, Registration};
use crate::sharding::Shard;
use crate::shared::children::{Orphan, order_key};
use crate::shared::concerns::{order_concerns_delivery, payment_concerns_children};
use crate::shared::correlation::{correlate, order_span};
use crate::shared::counting::listed;
use crate::shared::machine::{Apply, Resting, step};
use crate::shared::state::Shared;

use gather::{Gathered, gather};

const NAME: ControllerName = ControllerName::Delivery;

/// The delivery controller.
pub(crate) const CONTROLLER: Controller = Controller { name: NAME, deadlines_rest_on_it: true, register };

fn register(mut controller: Registration<'_>) -> Registered {
    controller.on::<Delivery>(|_, change| vec![change.key.clone()]);
    controller.on_difference::<Order>(order_concerns_delivery, |_, change| vec![change.key.clone()]);
    controller.on_difference::<Payment>(payment_concerns_children, |_, change| {
        vec![order_key(change.key, change.object)]
    });
    controller.on_spec_change::<Ticket>(|_, change| vec![order_key(change.key, change.object)]);
    controller.on::<Rider>(|_, change| listed::<Delivery>(change.key, change.object));
    let reconciler =
        Deliveries { context: controller.context().clone(), shared: controller.shared().clone() };
    controller.run(Shard::OfOrder, reconciler)
}

struct Deliveries {
    context: Arc<Context>,
    shared: Shared,
}

impl Reconciler for Deliveries {
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
        let whose = caches.deliveries.object(&key).map(|known| known.spec.order_ref.uid.clone());
        correlate(whose.or_else(|| caches.orders.object(&key)?.uid()));
        let reconcile = DeliveryReconcile { controller: self, key: &key, orphan: None };
        drive(self.name(), &key, reconcile).await
    }
}

/// One reconcile of one delivery.
struct DeliveryReconcile<'a> {
    controller: &'a Deliveries,
    key: &'a Key,
    /// What was found out: by the next look a child of another order with this name may stand here.
    orphan: Option<Orphan>,
}

impl Reconcile for DeliveryReconcile<'_> {
    type View = Gathered;
    type Command = Apply<Command, Infallible>;
    type Rest = Resting<Infallible>;

    async fn gather(&mut self) -> Result<ControlFlow<Outcome, Gathered>, ReconcileError> {
        let context = &self.controller.context;
        Ok(ControlFlow::Continue(gather(context, self.key, self.orphan.as_ref())))
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
