//! Customers: their message log, a view of what stands in their orders, for them to read. It is written at most once per
//! delay and customer, and keeps the latest messages, also of orders that are gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use fooddelivery_api::customer::CustomerMessage;
use fooddelivery_api::{Customer, CustomerStatus, Order, convert};
use fooddelivery_runtime::{Key, Outcome, ReconcileError, Reconciler};
use kube::ResourceExt;
use tracing::debug;

use crate::context::Context;
use crate::names::ControllerName;
use crate::registry::{Controller, Registered, Registration};
use crate::sharding::Shard;
use crate::shared::notification_progress::NotificationProgress;
use crate::shared::notifications::{logged, providers, steps};

const NAME: ControllerName = ControllerName::Customer;

/// Maximum number of messages in the log, as the schema has it.
const MESSAGES_MAX: usize = 50;

/// The customer controller.
pub(crate) const CONTROLLER: Controller = Controller { name: NAME, deadlines_rest_on_it: false, register };

fn register(mut controller: Registration<'_>) -> Registered {
    let notifications = controller.shared().notifications.clone();
    // Each replica logs what it sent; what stands in the orders already, one of them.
    controller.also_mine({
        let notifications = notifications.clone();
        move |key| !notifications.unlogged_of(key).is_empty()
    });
    controller.on::<Customer>(|_, change| vec![change.key.clone()]);
    let reconciler = Customers { context: controller.context().clone(), notifications };
    controller.run(Shard::own::<Customer>(), reconciler)
}

struct Customers {
    context: Arc<Context>,
    notifications: Arc<NotificationProgress>,
}

impl Customers {
    /// What was sent of the customer's orders that are there.
    fn sent(&self, key: &Key) -> Vec<CustomerMessage> {
        let context = &self.context;
        let is_theirs = |order: &Order| order.spec.customer_ref.name == *key.name;
        let mut sent = Vec::new();
        for (key, order) in context.caches.orders.objects_in(&key.namespace, is_theirs) {
            self.sent_of(&key, &order, &mut sent);
        }
        sent
    }

    fn sent_of(&self, key: &Key, order: &Order, sent: &mut Vec<CustomerMessage>) {
        let steps = steps(order);
        for provider in providers(&self.context) {
            let (reached, since) = (
                self.notifications.steps(key, order, &provider.name_any()),
                convert::created_at(&provider.metadata),
            );
            let sent_steps = steps.iter().filter(|step| step.number < reached && step.at >= since);
            sent.extend(sent_steps.map(|step| logged(key, order, step)));
        }
    }
}

/// The log with what was sent: each message once, the latest kept.
fn merged(known: &[CustomerMessage], sent: Vec<CustomerMessage>) -> Vec<CustomerMessage> {
    let all: BTreeMap<String, CustomerMessage> =
        known.iter().cloned().chain(sent).map(|message| (message.id.clone(), message)).collect();
    let mut all: Vec<CustomerMessage> = all.into_values().collect();
    let step = |message: &CustomerMessage| {
        message.id.rsplit('-').next().and_then(|step| step.parse::<i64>().ok()).unwrap_or(0)
    };
    all.sort_by(|a, b| (a.at, &a.order, step(a)).cmp(&(b.at, &b.order, step(b))));
    let surplus = all.len().saturating_sub(MESSAGES_MAX);
    all.drain(..surplus);
    all
}

impl Reconciler for Customers {
    fn name(&self) -> &'static str {
        NAME.as_str()
    }

    async fn reconcile(&self, key: Key, _tries: u32) -> Result<Outcome, ReconcileError> {
        let context = &self.context;
        let noted = self.notifications.unlogged_of(&key);
        let count = noted.len();
        let Some(customer) = context.caches.customers.object(&key) else {
            self.notifications.mark_logged(&key, count);
            return Ok(Outcome::Done);
        };
        let old = customer.status.clone().unwrap_or_default();
        let sent = noted.into_iter().chain(self.sent(&key)).collect();
        let new = CustomerStatus { messages: merged(&old.messages, sent) };
        if new != old {
            context.write_status(&context.caches.customers, &*customer, &old, &new).await?;
            debug!(messages = new.messages.len(), "customer message log written");
        }
        self.notifications.mark_logged(&key, count);
        Ok(Outcome::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fooddelivery_api::common::Time;
    use fooddelivery_saga::time::Timestamp;

    fn message(order: &str, step: i64, at: i64) -> CustomerMessage {
        CustomerMessage {
            id: format!("uid-{order}-{step}"),
            order: order.into(),
            phase: "Cooking".into(),
            at: Time(Timestamp(at)),
        }
    }

    #[test]
    fn a_message_stands_in_the_log_once_and_in_order() {
        let known = vec![message("a", 0, 1), message("a", 1, 5)];
        let sent = vec![message("a", 10, 5), message("a", 9, 5), message("a", 1, 5), message("b", 0, 3)];
        let steps: Vec<(String, String)> =
            merged(&known, sent).into_iter().map(|m| (m.order, m.id)).collect();
        let ids: Vec<&str> = steps.iter().map(|(_, id)| id.as_str()).collect();
        assert_eq!(ids, ["uid-a-0", "uid-b-0", "uid-a-1", "uid-a-9", "uid-a-10"]);
    }

    #[test]
    fn the_log_is_bounded_and_keeps_the_latest() {
        let sent = (0..200).map(|n| message("a", n, n)).collect();
        let log = merged(&[], sent);
        assert_eq!(
            (log.len(), log[0].at, log[MESSAGES_MAX - 1].at),
            (MESSAGES_MAX, Time(Timestamp(150)), Time(Timestamp(199)))
        );
    }
}
