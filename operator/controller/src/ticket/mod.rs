//! Tickets: the store's side. Puts paid orders into the store's queue, accepts on the store's behalf where it wants
//! that, mirrors the stage into status, and clears away tickets whose order is gone.

use std::sync::Arc;

use fooddelivery_api::common::{OrderRef, StoreRef, Time};
use fooddelivery_api::ticket::{TicketDeadlines, TicketStatus};
use fooddelivery_api::{Order, Payment, Store, Ticket, TicketSpec};
use fooddelivery_saga::phases::TicketStage;
use fooddelivery_saga::ticket::{Command, Decision, OrderSeen, TicketView, decide};
use fooddelivery_saga::view::{Child, Mirror};
use kube::ResourceExt;
use serde_json::json;
use tracing::{error, info};

use crate::api::ApiError;
use crate::child::{is_orphan, order_seen};
use crate::context::{Context, child, seen};
use crate::counts::Counted;
use crate::engine::{Category, Key, Outcome, ReconcileError, Reconciler};
use crate::events::{correlate, uid_of};
use crate::lag::Lag;
use crate::order::{is_as_seen, is_paused, order_ref, store_of};
use crate::settings::ControllerName;

/// More steps than any ticket needs in one go.
const ROUNDS: usize = 8;

/// The ticket controller.
pub struct Tickets {
    context: Arc<Context>,
    lag: Lag,
}

impl Tickets {
    /// Over the shared context.
    pub fn new(context: Arc<Context>) -> Self {
        let lag = Lag::new(context.mirror_lag);
        Self { context, lag }
    }

    async fn create(&self, key: &Key, order: &Order) -> Result<(), ApiError> {
        let payment = self.context.payments.object(key);
        let ticket = Ticket::new(&key.name, self.spec(key, order, payment.as_deref()));
        // False: a cancel came first (its tombstone), or another replica.
        if self.context.create(&self.context.tickets, key, &ticket).await? {
            info!("the order is in the store's queue");
        }
        Ok(())
    }

    fn spec(&self, key: &Key, order: &Order, payment: Option<&Payment>) -> TicketSpec {
        let name = store_of(&self.context, key, order, payment).unwrap_or_default();
        let store = self.context.stores.object(&Key::new(&key.namespace, &name));
        let uid = payment.map(|p| p.spec.quote.store_uid.clone()).unwrap_or_default();
        TicketSpec {
            order_ref: order_ref(order),
            store_ref: StoreRef { name, uid },
            items: order.spec.items.clone(),
            stage: TicketStage::Pending,
            reason: None,
            deadlines: store.and_then(|s| deadlines(&s)),
        }
    }

    async fn mirror(
        &self,
        key: &Key,
        ticket: &Ticket,
        shown: Mirror<TicketStage>,
    ) -> Result<Outcome, ReconcileError> {
        if let Some(left) = self.lag.left(key) {
            return Ok(Outcome::After(left));
        }
        let old = ticket.status.clone().unwrap_or_default();
        let Mirror { stage, counted } = shown;
        let mut new = mirrored(ticket, &old, stage, Time(self.context.clock.now()));
        new.counted |= counted;
        self.context.write_status(&self.context.tickets, ticket, &old, &new).await?;
        self.lag.settled(key);
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

impl Reconciler for Tickets {
    fn name(&self) -> &'static str {
        ControllerName::Ticket.word()
    }

    fn is_mine(&self, key: &Key) -> bool {
        self.context.has_order(ControllerName::Ticket, key)
    }

    async fn reconcile(&self, key: Key, _tries: u32) -> Result<Outcome, ReconcileError> {
        let context = &self.context;
        // The order that was found to be gone: by the next look a namesake's child may stand here.
        let mut gone = None;
        correlate(
            context
                .tickets
                .object(&key)
                .map(|c| c.spec.order_ref.uid.clone())
                .or_else(|| context.orders.object(&key)?.uid()),
        );
        for _ in 0..ROUNDS {
            let order = context.orders.object(&key);
            let ticket = context.tickets.object(&key);
            let view = view(context, &key, order.as_deref(), ticket.as_deref(), gone.as_ref());
            match (decide(&view), &ticket, &order) {
                (Decision::Act(Command::Create), _, Some(order)) => {
                    // A replica that had stalled must not make one for an order that has been undone meanwhile.
                    if is_as_seen(context, &key, order).await? {
                        self.create(&key, order).await?;
                    }
                }
                (Decision::Act(Command::Accept), Some(ticket), _) => {
                    let change = json!({ "spec": { "stage": TicketStage::Accepted } });
                    let written = context.api.patch(&**ticket, change).await?;
                    info!("accepted on the store's behalf");
                    context.tickets.remember(written);
                }
                (Decision::Rest(rest), Some(ticket), _) => {
                    return self.mirror(&key, ticket, rest.state).await;
                }
                (Decision::Halt(violation), ..) => {
                    error!(%violation, "a decision about a ticket breaks a rule: nothing is done");
                    return Ok(Outcome::Done);
                }
                (Decision::Act(Command::CheckOrder), Some(ticket), _) => {
                    if !is_orphan(context, &key, &ticket.spec.order_ref).await? {
                        return Ok(Outcome::Done);
                    }
                    gone = Some(ticket.spec.order_ref.clone());
                }
                (Decision::Act(Command::Delete), Some(ticket), _) => {
                    context.api.delete(&**ticket).await?;
                    context.tickets.forget(&key, Some(ticket));
                    info!("cleared away: its order is gone");
                    return Ok(Outcome::Done);
                }
                // Nothing is to be done, or what it was to be done to is gone.
                (
                    Decision::Act(_)
                    | Decision::Rest(_)
                    | Decision::Skip
                    | Decision::Write(_)
                    | Decision::Wait(_)
                    | Decision::Retry(_),
                    ..,
                ) => {
                    self.lag.settled(&key);
                    return Ok(Outcome::Done);
                }
            }
        }
        let message = format!("ticket {} does not come to rest", key.name);
        Err(ReconcileError { category: Category::Transient, message })
    }
}

/// What the ticket's decision sees; `gone` is an order that was found to be gone.
fn view(
    context: &Context,
    key: &Key,
    order: Option<&Order>,
    ticket: Option<&Ticket>,
    gone: Option<&OrderRef>,
) -> TicketView {
    let uid = order.map(uid_of).unwrap_or_default();
    let whose = ticket.map(|t| t.spec.order_ref.clone());
    let orphan = whose.is_some() && gone == whose.as_ref();
    TicketView {
        order: if orphan { OrderSeen::Gone } else { order_seen(order, whose.as_ref()) },
        payment: seen(&child(&context.payments, key, &uid), Payment::seen),
        ticket: match (ticket, context.tickets.get(key)) {
            (Some(ticket), _) => Child::Present((ticket.spec.stage, shown(ticket))),
            (None, Some(_)) => Child::Unreadable,
            (None, None) => Child::Absent,
        },
        acceptance: ticket.and_then(|t| {
            let store = context.stores.object(&Key::new(&key.namespace, &t.spec.store_ref.name))?;
            Some(store.spec.acceptance)
        }),
        counted: ticket.is_some_and(|t| t.is_listed(context)),
        is_marked: ticket.is_some_and(Counted::is_marked),
        list_is_long: ticket.is_some_and(|t| t.list_is_long(context)),
        paused: order.is_some_and(is_paused),
        deleting: ticket.is_some_and(|t| t.metadata.deletion_timestamp.is_some()),
    }
}

fn shown(ticket: &Ticket) -> TicketStage {
    ticket.status.as_ref().map_or(TicketStage::Pending, |s| s.phase)
}
