//! Orders: the reconciler. Gather, decide (in `saga`), apply, and again, until there is nothing to do but to write the
//! status, once.

mod apply;
mod children;
mod gather;
mod gather_related;
mod sources;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use fooddelivery_api::order::OrderStatus;
use fooddelivery_api::{
    Coupon, CouponUse, Customer, Delivery, MessageProvider, Order, Payment, PaymentProvider, Rider, Store,
    Ticket,
};
use fooddelivery_runtime::driver::{Reconcile, Step, drive};
use fooddelivery_runtime::{ContentionBackoff, Debounce, Key, Outcome, ReconcileError, Reconciler};
use fooddelivery_saga::order::steps::step as step_of;
use fooddelivery_saga::order::{ChildKind, Command, OrderState, OrderView, Rest, decide, may_lag};
use fooddelivery_saga::phases::{CancellationVerdict, OrderPhase};
use fooddelivery_saga::quote::{Blocker, Quote};
use kube::ResourceExt;
use tokio::time::Instant;
use tracing::{Span, info};

use crate::names::ControllerName;
use crate::registry::{Controller, Registered, Registration};
use crate::sharding::Shard;
use crate::shared::children::order_key;
use crate::shared::concerns::payment_concerns_order;
use crate::shared::correlation::{correlate, order_span};
use crate::shared::counting::listed;
use crate::shared::machine::{Apply, Resting, step, wake_at};
use crate::shared::waiting::{claimed_by, orders_of_provider, orders_of_store, rivals_of};

use children::Children;
use sources::Sources;

const NAME: ControllerName = ControllerName::Order;

/// The order controller.
pub(crate) const CONTROLLER: Controller = Controller { name: NAME, deadlines_rest_on_it: true, register };

fn register(mut controller: Registration<'_>) -> Registered {
    controller.on::<Order>(|context, change| {
        let mut keys = vec![change.key.clone()];
        // Whose claim came first is known once both orders know of theirs, and they may hear of them the other way round.
        if change.object.is_some_and(|order| order.phase() == OrderPhase::RiderAssigned) {
            keys.extend(rivals_of(context, change.key));
        }
        keys
    });
    controller.on_difference::<Payment>(payment_concerns_order, |_, change| {
        vec![order_key(change.key, change.object)]
    });
    controller.on_spec_change::<Ticket>(|_, change| vec![order_key(change.key, change.object)]);
    controller.on_spec_change::<Delivery>(|context, change| {
        let rider = change.object.and_then(|delivery| delivery.spec.rider_ref.as_ref());
        let claimed = rider.map(|rider| claimed_by(context, &change.key.namespace, &rider.name));
        let mut keys = vec![order_key(change.key, change.object)];
        keys.extend(claimed.into_iter().flatten());
        keys
    });
    controller.on_spec_change::<Store>(|context, change| {
        // Who counts may be gone, or another.
        let mut keys = orders_of_store(context, change.key);
        keys.extend(context.indexes.orders.leaving_in(&change.key.namespace));
        keys
    });
    controller.on::<Store>(|_, change| listed::<Ticket>(change.key, change.object));
    controller.on_spec_change::<Customer>(|context, change| context.indexes.orders.without_store(change.key));
    controller.on::<Rider>(|context, change| {
        // Who carries less than was thought has taken too many.
        let mut keys = claimed_by(context, &change.key.namespace, &change.key.name);
        keys.extend(listed::<Delivery>(change.key, change.object));
        keys
    });
    controller
        .on_spec_change::<Rider>(|context, change| context.indexes.orders.leaving_in(&change.key.namespace));
    controller.on::<Coupon>(|context, change| context.indexes.orders.of_coupon(change.key));
    controller.on::<CouponUse>(|context, change| {
        let Some(own) = change.object else { return Vec::new() };
        context.indexes.orders.of_coupon(&Key::new(&change.key.namespace, &own.spec.coupon_ref.name))
    });
    controller.on::<PaymentProvider>(|context, change| orders_of_provider(context, &change.key.name));
    // What a provider says of itself changes nothing for those who are to be notified; and of the orders, only those that
    // leave wait for that.
    controller.on_spec_change::<MessageProvider>(|context, _| context.indexes.orders.leaving());
    let reconciler = Orders {
        sources: Sources {
            context: controller.context().clone(),
            shared: controller.shared().clone(),
            availability: controller.availability().clone(),
        },
        contention: ContentionBackoff::new(meaning),
        lag: Debounce::new(LAG_MAX),
    };
    controller.run(Shard::OfOrder, reconciler)
}

struct Orders {
    sources: Sources,
    /// One replica may have seen the store close, or the rider come, and another one not yet.
    contention: ContentionBackoff<OrderStatus, Meaning>,
    /// Steps that nobody waits for, and that the next one may overtake.
    lag: Debounce,
}

/// A step that nobody waits for is written when it has stood for so many times what a write takes: under load many pass
/// within that time, and in quiet times none does.
const LAG_IN_WRITES: u32 = 4;
/// Longest time that such a step waits to be written.
const LAG_MAX: Duration = Duration::from_secs(1);

/// What a status says, whenever it was written.
type Meaning = (OrderPhase, Option<String>, Option<CancellationVerdict>);

fn meaning(status: &OrderStatus) -> Meaning {
    (status.phase, status.reason.clone(), status.cancellation)
}

impl Orders {
    /// Writes the status if it differs, by compare-and-set on the copy that was decided on.
    async fn write(&self, key: &Key, order: &Order, rest: Rest) -> Result<Outcome, ReconcileError> {
        let context = &*self.sources.context;
        let old = order.status.clone().unwrap_or_default();
        let new = OrderStatus::from_state(&rest.state, order.metadata.generation, old.messages.clone());
        // A fresh object is not written only to say that it has been seen.
        let unseen = old.observed_generation.is_none();
        let only_seen = unseen && OrderStatus { observed_generation: None, ..new.clone() } == old;
        if let Some(remaining) = self.contention.remaining(key, &old, &new) {
            return Ok(Outcome::After(remaining));
        }
        if new == old || only_seen {
            self.lag.clear(key);
            return Ok(wake_at(&context.clock, rest.wake_at));
        }
        let span = context.api.write_latency().saturating_mul(LAG_IN_WRITES);
        if may_lag(&order.state(), &rest.state)
            && let Some(remaining) = self.lag.remaining_of(key, span)
        {
            return Ok(Outcome::After(remaining));
        }
        let mut new = new;
        self.sources.shared.notifications.put_into(key, order, &mut new, context.clock.now());
        let (fresh, asked) = (&self.sources.shared.fresh_orders, Instant::now());
        let writing = maker(new.phase).map(|maker| fresh.writing(context, maker, key, order));
        let version = context.write_status(&context.caches.orders, order, &old, &new).await?;
        fresh.put(order, version, asked);
        drop(writing);
        self.contention.wrote(key, &new);
        self.lag.clear(key);
        if new.phase != old.phase {
            context.metrics.phase("Order", new.phase.as_str());
            let reason = new.reason.clone().unwrap_or_default();
            info!(from = %old.phase, phase = %new.phase, reason, "order moved");
        }
        for note in &rest.notes {
            info!(reason = %note.reason, message = %note.message, "recording an Event");
            context.record(order, note).await;
        }
        Ok(wake_at(&context.clock, rest.wake_at))
    }
}

impl Reconciler for Orders {
    fn name(&self) -> &'static str {
        NAME.as_str()
    }

    fn span(&self, key: &Key) -> Span {
        order_span(self.name(), key)
    }

    async fn reconcile(&self, key: Key, _tries: u32) -> Result<Outcome, ReconcileError> {
        correlate(self.sources.context.caches.orders.object(&key).and_then(|order| order.uid()));
        drive(self.name(), &key, OrderReconcile { controller: self, key: &key, quote: None }).await
    }

    fn released(&self, key: &Key) {
        self.contention.gone(key);
        self.lag.clear(key);
    }
}

/// One reconcile of one order.
struct OrderReconcile<'a> {
    controller: &'a Orders,
    key: &'a Key,
    /// What its references resolved to, once that was asked for.
    quote: Option<Result<Quote, Blocker>>,
}

/// What was gathered: the view, and the copies that a decision on it is applied to.
struct Gathered {
    view: OrderView,
    order: Arc<Order>,
    children: Children,
}

impl Reconcile for OrderReconcile<'_> {
    type View = Gathered;
    type Command = Apply<Command, OrderState>;
    type Rest = Resting<OrderState>;

    async fn gather(&mut self) -> Result<ControlFlow<Outcome, Gathered>, ReconcileError> {
        let Some(order) = self.controller.sources.context.caches.orders.object(self.key) else {
            self.controller.contention.gone(self.key);
            self.controller.lag.clear(self.key);
            return Ok(ControlFlow::Break(Outcome::Done));
        };
        let quote = self.quote.clone();
        let (view, children) = gather::gather(&self.controller.sources, self.key, &order, quote).await?;
        Ok(ControlFlow::Continue(Gathered { view, order, children }))
    }

    fn decide(&self, gathered: &Gathered) -> Step<Self::Command, Self::Rest> {
        step(decide(&gathered.view, self.controller.sources.context.clock.now()))
    }

    async fn apply(
        &mut self,
        gathered: Gathered,
        what: Self::Command,
    ) -> Result<ControlFlow<Outcome>, ReconcileError> {
        let (context, key) = (&*self.controller.sources.context, self.key);
        let Gathered { order, children, .. } = gathered;
        match what {
            Apply::Write(state) => {
                let rest = Rest { state: *state, notes: Vec::new(), wake_at: None };
                let outcome = self.controller.write(key, &order, rest).await?;
                if outcome != Outcome::Done {
                    return Ok(ControlFlow::Break(outcome));
                }
            }
            Apply::Command(Command::ResolveReferences) => {
                self.quote = Some(gather::resolve(&self.controller.sources, key, &order).await?);
            }
            Apply::Command(command) => {
                // A payment is charged only after another look at the order.
                let is_looked_at_later = matches!(command, Command::CreatePayment(..));
                if is_compare_and_set(&command)
                    || (is_looked_at_later && context.is_new(&*order))
                    || context.is_unchanged(&context.caches.orders, key, &*order).await?
                {
                    apply::apply(&self.controller.sources, key, &order, &children, command).await?;
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    async fn rest(&mut self, gathered: Gathered, rest: Self::Rest) -> Result<Outcome, ReconcileError> {
        match rest.status_or_outcome(&self.controller.sources.context.clock) {
            Ok(rest) => self.controller.write(self.key, &gathered.order, rest).await,
            Err(outcome) => Ok(outcome),
        }
    }
}

/// The controller that makes what the phase's actor acts on.
fn maker(phase: OrderPhase) -> Option<ControllerName> {
    match step_of(phase).acts_on? {
        ChildKind::Ticket => Some(ControllerName::Ticket),
        ChildKind::Delivery => Some(ControllerName::Delivery),
        ChildKind::Payment => None,
    }
}

/// Whether a command is compare-and-set on the order itself, and so on the copy in hand.
fn is_compare_and_set(command: &Command) -> bool {
    matches!(command, Command::AddFinalizer | Command::RemoveFinalizer | Command::DeleteOrder)
}
