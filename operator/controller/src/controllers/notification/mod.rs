//! Notifications: every step of an order is sent to every message provider, one after the other, at least once. It holds
//! nothing up: an order neither waits for it nor hears of it, but that a deleted one goes only when all was sent.
//!
//! Progress is kept in memory and goes along with whatever else is written of the order; on its own it is written once,
//! when the order has ended, or when messages have waited for long.

mod apply;

use std::sync::Arc;
use std::time::Duration;

use fooddelivery_api::{Customer, MessageProvider, Order};
use fooddelivery_runtime::{Debounce, Key, Outcome, ReconcileError, Reconciler};
use fooddelivery_saga::notification::NotificationStatus;
use kube::ResourceExt;
use tokio::time::Instant;
use tracing::Span;

use crate::context::Context;
use crate::names::ControllerName;
use crate::registry::{Controller, Registered, Registration};
use crate::sharding::Shard;
use crate::shared::correlation::{correlate, order_span};
use crate::shared::notification_progress::is_notification_pending;
use crate::shared::notifications::{providers, steps};
use crate::shared::state::Shared;
use crate::shared::waiting::orders_of_customer;

use apply::{Notifier, Sent};

const NAME: ControllerName = ControllerName::Notification;

/// How long the write at the end waits, for the order to write something itself.
const FINAL_WRITE_DELAY: Duration = Duration::from_secs(1);
/// How long messages wait before that is reported in the order's status.
const REPORT_WAITING_AFTER: Duration = Duration::from_secs(30);

/// The notification controller.
pub(crate) const CONTROLLER: Controller = Controller { name: NAME, deadlines_rest_on_it: false, register };

fn register(mut controller: Registration<'_>) -> Registered {
    controller.on::<Order>(|_, change| vec![change.key.clone()]);
    controller.on_spec_change::<Customer>(|context, change| orders_of_customer(context, change.key));
    // What a provider says of itself changes nothing for those who are to be notified.
    controller.on_spec_change::<MessageProvider>(|context, _| context.caches.orders.keys_where(|_| true));
    let reconciler = Notifications::new(controller.context().clone(), controller.shared().clone());
    controller.run(Shard::OfOrder, reconciler)
}

struct Notifications {
    context: Arc<Context>,
    shared: Shared,
    final_write: Debounce,
    waiting: Debounce,
}

impl Notifications {
    fn new(context: Arc<Context>, shared: Shared) -> Self {
        Self {
            context,
            shared,
            final_write: Debounce::new(FINAL_WRITE_DELAY),
            waiting: Debounce::new(REPORT_WAITING_AFTER),
        }
    }

    /// Writes how far notifying came, when the order writes nothing any more, or when it has taken long.
    async fn write_progress(
        &self,
        key: &Key,
        order: &Order,
        waits: bool,
    ) -> Result<Option<Duration>, ReconcileError> {
        let context = &self.context;
        let old = order.status.clone().unwrap_or_default();
        let mut new = old.clone();
        self.shared.notifications.put_into(key, order, &mut new, context.clock.now());
        let due = if waits { &self.waiting } else { &self.final_write };
        let other = if waits { &self.final_write } else { &self.waiting };
        other.clear(key);
        if new == old || !(waits || old.phase.is_terminal() || is_notification_pending(&old)) {
            due.clear(key);
            return Ok(None);
        }
        if let Some(remaining) = due.remaining(key) {
            return Ok(Some(remaining));
        }
        context.write_status(&context.caches.orders, order, &old, &new).await?;
        due.clear(key);
        Ok(None)
    }
}

impl Reconciler for Notifications {
    fn name(&self) -> &'static str {
        NAME.as_str()
    }

    fn span(&self, key: &Key) -> Span {
        order_span(self.name(), key)
    }

    async fn reconcile(&self, key: Key, _tries: u32) -> Result<Outcome, ReconcileError> {
        let (context, progress) = (&self.context, &self.shared.notifications);
        let Some(order) = context.caches.orders.object(&key) else {
            progress.gone(&key);
            return Ok(Outcome::Done);
        };
        correlate(order.uid());
        let providers = providers(context);
        if providers.is_empty() {
            return Ok(Outcome::Done);
        }
        let steps = steps(&order);
        let (mut status, mut later) = (NotificationStatus::Done, None);
        let notifier = Notifier { context, shared: &self.shared };
        for provider in &providers {
            match notifier.notify(&key, &order, &steps, provider).await? {
                Sent::All(end) => status = status.or_worse(end),
                Sent::Later(pause, why) => {
                    status = status.or_worse(NotificationStatus::Waits(why));
                    let sooner = |known: Option<Duration>| match (known, pause) {
                        (Some(known), Some(pause)) => Some(known.min(pause)),
                        (known, pause) => known.or(pause),
                    };
                    later = Some(later.map_or(pause, sooner));
                }
            }
        }
        progress.set_status(&key, &order, status);
        if order.metadata.deletion_timestamp.is_some() && later.is_none() {
            // It may have waited for this.
            context.queues.push_at(ControllerName::Order, key.clone(), Instant::now());
        }
        let write_in = self.write_progress(&key, &order, later.is_some()).await?;
        Ok(match (later, write_in) {
            (None, None) => Outcome::Done,
            (None, Some(remaining)) => Outcome::After(remaining),
            (Some(pause), _) => pause.map_or(Outcome::AskAgain(None), Outcome::After),
        })
    }
}
