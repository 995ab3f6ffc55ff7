//! Deliveries: the riders' side. Offers cooked orders, mirrors the stage into status, and clears away deliveries whose
//! order is gone.

mod apply;
mod gather;

use std::ops::ControlFlow;
use std::sync::Arc;

use fooddelivery_api::{Delivery, Order, OrderRef, Payment, Rider, Ticket};
use fooddelivery_runtime::driver::{Reconcile, Step, drive};
use fooddelivery_runtime::{Debounce, Key, Outcome, ReconcileError, Reconciler};
use fooddelivery_saga::delivery::{Command, decide};
use fooddelivery_saga::phases::DeliveryStage;
use fooddelivery_saga::view::Mirror;
use kube::ResourceExt;
use tracing::Span;

use crate::context::Context;
use crate::names::ControllerName;
use crate::registry::{Controller, Registered, Registration};
use crate::sharding::Shard;
use crate::shared::children::order_key;
use crate::shared::concerns::{order_concerns_delivery, payment_concerns_children, ticket_concerns_others};
use crate::shared::correlation::{correlate, order_span};
use crate::shared::machine::{Apply, Resting, step};
use crate::shared::waiting::listed;

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
    controller.on_difference::<Ticket>(ticket_concerns_others, |_, change| {
        vec![order_key(change.key, change.object)]
    });
    controller.on::<Rider>(|_, change| {
        let status = change.object.and_then(|rider| rider.status.as_ref());
        listed(change.key, status.map(|status| &*status.recently_counted))
    });
    let reconciler = Deliveries::new(controller.context().clone());
    controller.run(Shard::OfOrder, reconciler)
}

struct Deliveries {
    context: Arc<Context>,
    mirror_delay: Debounce,
}

impl Deliveries {
    fn new(context: Arc<Context>) -> Self {
        let mirror_delay = Debounce::new(context.settings.mirror_lag());
        Self { context, mirror_delay }
    }
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
        let whose = caches.deliveries.object(&key).map(|known| known.spec.order_ref.uid.clone());
        correlate(whose.or_else(|| caches.orders.object(&key)?.uid()));
        let reconcile = DeliveryReconcile { controller: self, key: &key, gone: None };
        drive(self.name(), &key, reconcile).await
    }
}

/// One reconcile of one delivery.
struct DeliveryReconcile<'a> {
    controller: &'a Deliveries,
    key: &'a Key,
    /// The order that was found to be gone: by the next look a child of another order with this name may stand here.
    gone: Option<OrderRef>,
}

impl Reconcile for DeliveryReconcile<'_> {
    type View = Gathered;
    type Command = Apply<Command, Mirror<DeliveryStage>>;
    type Rest = Resting<Mirror<DeliveryStage>>;

    async fn gather(&mut self) -> Result<ControlFlow<Outcome, Gathered>, ReconcileError> {
        let context = &self.controller.context;
        Ok(ControlFlow::Continue(gather(context, self.key, self.gone.as_ref())))
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
            Apply::Write(mirror) => {
                let Some(delivery) = &gathered.delivery else { return Ok(ControlFlow::Break(Outcome::Done)) };
                self.mirror(delivery, *mirror).await.map(ControlFlow::Break)
            }
        }
    }

    async fn rest(&mut self, gathered: Gathered, resting: Self::Rest) -> Result<Outcome, ReconcileError> {
        let outcome = match (resting.status_or_outcome(&self.controller.context.clock), &gathered.delivery) {
            (Ok(rest), Some(delivery)) => return self.mirror(delivery, rest.state).await,
            (Ok(_), None) => Outcome::Done,
            (Err(outcome), _) => outcome,
        };
        self.controller.mirror_delay.clear(self.key);
        Ok(outcome)
    }
}
