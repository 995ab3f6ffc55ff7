//! Deliveries: the riders' side. Offers cooked orders, mirrors the stage into status, and clears away deliveries whose
//! order is gone.

use std::sync::Arc;

use fooddelivery_api::common::{OrderRef, StoreRef, Time};
use fooddelivery_api::delivery::{DeliveryDeadlines, DeliveryStatus};
use fooddelivery_api::{Delivery, DeliverySpec, Order, Payment, Store, Ticket};
use fooddelivery_saga::delivery::{Command, Decision, DeliveryView, decide};
use fooddelivery_saga::phases::DeliveryStage;
use fooddelivery_saga::ticket::OrderSeen;
use fooddelivery_saga::view::{Child, Mirror};
use kube::ResourceExt;
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

/// More steps than any delivery needs in one go.
const ROUNDS: usize = 8;

/// The delivery controller.
pub struct Deliveries {
    context: Arc<Context>,
    lag: Lag,
}

impl Deliveries {
    /// Over the shared context.
    pub fn new(context: Arc<Context>) -> Self {
        let lag = Lag::new(context.mirror_lag);
        Self { context, lag }
    }

    async fn create(&self, key: &Key, order: &Order) -> Result<(), ApiError> {
        let payment = self.context.payments.object(key);
        let name = store_of(&self.context, key, order, payment.as_deref()).unwrap_or_default();
        let store = self.context.stores.object(&Key::new(&key.namespace, &name));
        let pickup = StoreRef { name, uid: store.as_deref().map(uid_of).unwrap_or_default() };
        let spec = delivery_spec(order, pickup, store.as_deref().and_then(deadlines));
        // False: a cancel came first (its tombstone), or another replica.
        if self.context.create(&self.context.deliveries, key, &Delivery::new(&key.name, spec)).await? {
            info!("the food is offered to riders");
        }
        Ok(())
    }

    async fn mirror(
        &self,
        key: &Key,
        delivery: &Delivery,
        shown: Mirror<DeliveryStage>,
    ) -> Result<Outcome, ReconcileError> {
        if let Some(left) = self.lag.left(key) {
            return Ok(Outcome::After(left));
        }
        let old = delivery.status.clone().unwrap_or_default();
        let Mirror { stage, counted } = shown;
        let mut new = mirrored(delivery, &old, stage, Time(self.context.clock.now()));
        new.counted |= counted;
        self.context.write_status(&self.context.deliveries, delivery, &old, &new).await?;
        self.lag.settled(key);
        info!(%stage, "delivery moved");
        Ok(Outcome::Done)
    }
}

/// A delivery for an order, waiting for its rider.
pub(crate) fn delivery_spec(
    order: &Order,
    pickup: StoreRef,
    deadlines: Option<DeliveryDeadlines>,
) -> DeliverySpec {
    DeliverySpec {
        order_ref: order_ref(order),
        pickup,
        dropoff: order.spec.delivery.clone(),
        rider_ref: None,
        stage: DeliveryStage::Waiting,
        reason: None,
        deadlines,
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

impl Reconciler for Deliveries {
    fn name(&self) -> &'static str {
        ControllerName::Delivery.word()
    }

    fn is_mine(&self, key: &Key) -> bool {
        self.context.has_order(ControllerName::Delivery, key)
    }

    async fn reconcile(&self, key: Key, _tries: u32) -> Result<Outcome, ReconcileError> {
        let context = &self.context;
        // The order that was found to be gone: by the next look a namesake's child may stand here.
        let mut gone = None;
        correlate(
            context
                .deliveries
                .object(&key)
                .map(|c| c.spec.order_ref.uid.clone())
                .or_else(|| context.orders.object(&key)?.uid()),
        );
        for _ in 0..ROUNDS {
            let order = context.orders.object(&key);
            let delivery = context.deliveries.object(&key);
            let view = view(context, &key, order.as_deref(), delivery.as_deref(), gone.as_ref());
            match (decide(&view), &delivery, &order) {
                (Decision::Act(Command::Create), _, Some(order)) => {
                    // A replica that had stalled must not make one for an order that has been undone meanwhile.
                    if is_as_seen(context, &key, order).await? {
                        self.create(&key, order).await?;
                    }
                }
                (Decision::Rest(rest), Some(delivery), _) => {
                    return self.mirror(&key, delivery, rest.state).await;
                }
                (Decision::Halt(violation), ..) => {
                    error!(%violation, "a decision about a delivery breaks a rule: nothing is done");
                    return Ok(Outcome::Done);
                }
                (Decision::Act(Command::CheckOrder), Some(delivery), _) => {
                    if !is_orphan(context, &key, &delivery.spec.order_ref).await? {
                        return Ok(Outcome::Done);
                    }
                    gone = Some(delivery.spec.order_ref.clone());
                }
                (Decision::Act(Command::Delete), Some(delivery), _) => {
                    context.api.delete(&**delivery).await?;
                    context.deliveries.forget(&key, Some(delivery));
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
        let message = format!("delivery {} does not come to rest", key.name);
        Err(ReconcileError { category: Category::Transient, message })
    }
}

/// What the delivery's decision sees; `gone` is an order that was found to be gone.
fn view(
    context: &Context,
    key: &Key,
    order: Option<&Order>,
    delivery: Option<&Delivery>,
    gone: Option<&OrderRef>,
) -> DeliveryView {
    let uid = order.map(uid_of).unwrap_or_default();
    let whose = delivery.map(|d| d.spec.order_ref.clone());
    let orphan = whose.is_some() && gone == whose.as_ref();
    DeliveryView {
        order: if orphan { OrderSeen::Gone } else { order_seen(order, whose.as_ref()) },
        payment: seen(&child(&context.payments, key, &uid), Payment::seen),
        ticket: seen(&child(&context.tickets, key, &uid), Ticket::seen),
        delivery: match (delivery, context.deliveries.get(key)) {
            (Some(delivery), _) => Child::Present((delivery.spec.stage, shown(delivery))),
            (None, Some(_)) => Child::Unreadable,
            (None, None) => Child::Absent,
        },
        counted: delivery.is_some_and(|d| d.is_listed(context)),
        is_marked: delivery.is_some_and(Counted::is_marked),
        paused: order.is_some_and(is_paused),
        deleting: delivery.is_some_and(|d| d.metadata.deletion_timestamp.is_some()),
    }
}

fn shown(delivery: &Delivery) -> DeliveryStage {
    delivery.status.as_ref().map_or(DeliveryStage::Waiting, |s| s.phase)
}
