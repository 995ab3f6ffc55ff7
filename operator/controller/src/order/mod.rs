//! Orders: the reconciler. Observe, decide (in `saga`), act, and again, until there is nothing to do but to write the
//! status, once.

mod act;
mod contested;
mod market;
mod observe;

pub(crate) use act::order_ref;

use std::sync::Arc;
use std::time::Duration;

use fooddelivery_api::order::OrderStatus;
use fooddelivery_api::{Order, Payment};
use fooddelivery_saga::machine::RetryAfter;
use fooddelivery_saga::order::{Command, Decision, Rest, decide};
use fooddelivery_saga::phases::OrderPhase;
use kube::ResourceExt;
use tracing::{debug, error, info};

use crate::api::ApiError;
use crate::context::Context;
use crate::engine::{Category, Key, Outcome, ReconcileError, Reconciler};
use crate::events::{correlate, uid_of};
use crate::planted::{self, Bug};
use crate::settings::ControllerName;

use contested::Contested;

/// More steps than any order needs in one go; beyond it something is wrong.
const ROUNDS: usize = 16;

/// The order controller.
pub struct Orders {
    context: Arc<Context>,
    contested: Contested,
}

impl Orders {
    /// Over the shared context.
    pub fn new(context: Arc<Context>) -> Self {
        Self { context, contested: Contested::default() }
    }

    async fn rest(&self, key: &Key, order: &Order, rest: Rest) -> Result<Outcome, ReconcileError> {
        let old = order.status.clone().unwrap_or_default();
        let new = OrderStatus::from_state(&rest.state, order.metadata.generation, old.messages.clone());
        // A fresh object is not written only to say that it has been seen.
        let unseen = old.observed_generation.is_none();
        let only_seen = unseen && OrderStatus { observed_generation: None, ..new.clone() } == old;
        if let Some(left) = self.contested.left(key, &old, &new) {
            return Ok(Outcome::After(left));
        }
        if new != old && !only_seen {
            let mut new = new;
            self.context.told.put_into(key, order, &mut new, self.context.clock.now());
            self.context.write_status(&self.context.orders, order, &old, &new).await?;
            self.contested.wrote(key, &new);
            if new.phase != old.phase {
                self.context.metrics.phase("Order", new.phase.as_str());
                let reason = new.reason.clone().unwrap_or_default();
                info!(from = %old.phase, phase = %new.phase, reason, "order moved");
            }
            for note in &rest.notes {
                info!(reason = %note.reason, message = %note.message, "told people");
                self.context.events.tell(order, note).await;
            }
        }
        Ok(rest.wake_at.map_or(Outcome::Done, |at| Outcome::After(self.context.clock.until(at))))
    }
}

impl Reconciler for Orders {
    fn name(&self) -> &'static str {
        ControllerName::Order.word()
    }

    fn is_mine(&self, key: &Key) -> bool {
        self.context.has_order(ControllerName::Order, key)
    }

    async fn reconcile(&self, key: Key, _tries: u32) -> Result<Outcome, ReconcileError> {
        let context = &self.context;
        let mut quote = None;
        let mut tombstone_forgotten = false;
        correlate(context.orders.object(&key).and_then(|order| order.uid()));
        for _ in 0..ROUNDS {
            let Some(order) = context.orders.object(&key) else {
                self.contested.gone(&key);
                return Ok(Outcome::Done);
            };
            let (mut view, children) = observe::observe(context, &key, &order, quote.clone()).await?;
            if tombstone_forgotten {
                view.ticket = planted::tombstone(context.clock.now());
            }
            if planted::has(Bug::LetGoEarly) && view.deleting && view.state.phase == OrderPhase::Cancelling {
                act::let_go(context, &key, &order).await?;
                return Ok(Outcome::Done);
            }
            match decide(&view, context.clock.now()) {
                Decision::Skip => {
                    debug!("hands off: from another version, or stopped while it is undone");
                    return Ok(Outcome::Done);
                }
                Decision::Act(Command::ResolveReferences) => {
                    quote = Some(observe::resolve(context, &key, &order).await?);
                }
                Decision::Act(Command::CreateTicketTombstone(_)) if planted::has(Bug::NoTombstone) => {
                    tombstone_forgotten = true;
                }
                Decision::Act(command) => {
                    if guards_itself(&command) || is_as_seen(context, &key, &order).await? {
                        act::act(context, &key, &order, &children, command).await?;
                    }
                }
                Decision::Halt(violation) => {
                    error!(%violation, "a decision about an order breaks a rule: nothing is done");
                    return Ok(Outcome::Done);
                }
                Decision::Rest(rest) => return self.rest(&key, &order, rest).await,
                Decision::Write(state) => {
                    self.rest(&key, &order, Rest { state: *state, notes: Vec::new(), wake_at: None }).await?;
                }
                Decision::Wait(at) => {
                    return Ok(at.map_or(Outcome::Done, |at| Outcome::After(context.clock.until(at))));
                }
                Decision::Retry(RetryAfter::Soon) => return Ok(Outcome::AskAgain(None)),
                Decision::Retry(RetryAfter::After(ms)) => {
                    return Ok(Outcome::AskAgain(Some(Duration::from_millis(ms))));
                }
            }
        }
        let message = format!("order {} does not come to rest", key.name);
        Err(ReconcileError { category: Category::Transient, message })
    }
}

/// Steps on the order itself are compare-and-set on the copy in hand.
fn guards_itself(command: &Command) -> bool {
    matches!(command, Command::AddFinalizer | Command::RemoveFinalizer | Command::DeleteOrder)
}

/// Whether the order is still the one that was decided on, read live. Steps on its children carry the children's
/// resourceVersions, not the order's: without this, a replica with an old copy would undo an order that has ended.
pub(crate) async fn is_as_seen(context: &Context, key: &Key, order: &Order) -> Result<bool, ApiError> {
    if planted::has(Bug::NewestCopy) {
        return Ok(true);
    }
    let live = context.refresh(&context.orders, key).await?;
    Ok(live.is_some_and(|live| live.resource_version() == order.resource_version()))
}

/// The name of the store that an order goes to, as far as is known: as it was priced; as the order says; as the customer
/// prefers.
pub(crate) fn store_of(
    context: &Context,
    key: &Key,
    order: &Order,
    payment: Option<&Payment>,
) -> Option<String> {
    let priced = payment
        .filter(|payment| payment.spec.order_ref.uid == uid_of(order))
        .map(|payment| payment.spec.quote.store_name.clone())
        .filter(|name| !name.is_empty());
    let named = || order.spec.store_ref.as_ref().map(|store| store.name.clone());
    let known = || order.status.as_ref()?.store_ref.as_ref().map(|store| store.name.clone());
    let preferred = || {
        let customer = context.customers.object(&Key::new(&key.namespace, &order.spec.customer_ref.name))?;
        customer.spec.preferred_store_ref.as_ref().map(|store| store.name.clone())
    };
    let is_open = phase_of(order) == OrderPhase::AwaitingPayment;
    priced.or_else(named).or_else(|| if is_open { preferred() } else { known() })
}

/// Where an order stands.
pub(crate) fn phase_of(order: &Order) -> OrderPhase {
    order.status.as_ref().map_or(OrderPhase::AwaitingPayment, |status| status.phase)
}

/// Whether a person stopped an order where it is.
pub(crate) fn is_paused(order: &Order) -> bool {
    order.annotations().get(fooddelivery_api::PAUSED_ANNOTATION).is_some_and(|value| value == "true")
}

/// Whether somebody wants an order undone and has not been refused.
pub(crate) fn cancel_wanted(order: &Order) -> bool {
    let asked = order.spec.cancellation.is_some() || order.metadata.deletion_timestamp.is_some();
    asked && order.status.as_ref().is_none_or(|s| s.cancellation.is_none())
}
