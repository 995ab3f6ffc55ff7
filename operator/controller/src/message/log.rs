//! Customers: their message log, a view of what stands in their orders, for them to read. It is written at most once per
//! lag and customer, and keeps the latest messages, also of orders that are gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use fooddelivery_api::customer::CustomerMessage;
use fooddelivery_api::{CustomerStatus, Order, convert};
use kube::ResourceExt;
use tracing::debug;

use super::{logged, providers, steps};
use crate::context::Context;
use crate::engine::{Key, Outcome, ReconcileError, Reconciler};
use crate::settings::ControllerName;

/// So many messages are kept, as the schema has it.
const KEPT: usize = 50;

/// The customer controller.
pub struct Customers {
    context: Arc<Context>,
}

impl Customers {
    /// Over the shared context.
    pub fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    /// What was told of the customer's orders that are there.
    fn told(&self, key: &Key) -> Vec<CustomerMessage> {
        let context = &self.context;
        let is_theirs = |order: &Order| order.spec.customer_ref.name == *key.name;
        let mut told = Vec::new();
        for (key, order) in context.orders.objects_in(&key.namespace, is_theirs) {
            self.told_of(&key, &order, &mut told);
        }
        told
    }

    fn told_of(&self, key: &Key, order: &Order, told: &mut Vec<CustomerMessage>) {
        let steps = steps(order);
        for provider in providers(&self.context) {
            let (reached, since) = (
                self.context.told.steps(key, order, &provider.name_any()),
                convert::created_at(&provider.metadata),
            );
            let heard = steps.iter().filter(|step| step.number < reached && step.at >= since);
            told.extend(heard.map(|step| logged(key, order, step)));
        }
    }
}

/// The log with what was told: each message once, the latest kept.
fn merged(known: &[CustomerMessage], told: Vec<CustomerMessage>) -> Vec<CustomerMessage> {
    let all: BTreeMap<String, CustomerMessage> =
        known.iter().cloned().chain(told).map(|message| (message.id.clone(), message)).collect();
    let mut all: Vec<CustomerMessage> = all.into_values().collect();
    let step = |message: &CustomerMessage| {
        message.id.rsplit('-').next().and_then(|step| step.parse::<i64>().ok()).unwrap_or(0)
    };
    all.sort_by(|a, b| (a.at, &a.order, step(a)).cmp(&(b.at, &b.order, step(b))));
    let surplus = all.len().saturating_sub(KEPT);
    all.drain(..surplus);
    all
}

impl Reconciler for Customers {
    fn name(&self) -> &'static str {
        ControllerName::Customer.word()
    }

    /// Each replica logs what it told; what stands in the orders already, one of them.
    fn is_mine(&self, key: &Key) -> bool {
        let context = &self.context;
        !context.told.not_logged(key).is_empty()
            || context.has(ControllerName::Customer, &context.customers, key)
    }

    fn is_of_orders(&self) -> bool {
        false
    }

    async fn reconcile(&self, key: Key, _tries: u32) -> Result<Outcome, ReconcileError> {
        let context = &self.context;
        let noted = context.told.not_logged(&key);
        let count = noted.len();
        let Some(customer) = context.customers.object(&key) else {
            context.told.logged(&key, count);
            return Ok(Outcome::Done);
        };
        let old = customer.status.clone().unwrap_or_default();
        let told = noted.into_iter().chain(self.told(&key)).collect();
        let new = CustomerStatus { messages: merged(&old.messages, told) };
        if new != old {
            context.write_status(&context.customers, &*customer, &old, &new).await?;
            debug!(messages = new.messages.len(), "the customer's log was written");
        }
        context.told.logged(&key, count);
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
        let told = vec![message("a", 10, 5), message("a", 9, 5), message("a", 1, 5), message("b", 0, 3)];
        let steps: Vec<(String, String)> =
            merged(&known, told).into_iter().map(|m| (m.order, m.id)).collect();
        let ids: Vec<&str> = steps.iter().map(|(_, id)| id.as_str()).collect();
        assert_eq!(ids, ["uid-a-0", "uid-b-0", "uid-a-1", "uid-a-9", "uid-a-10"]);
    }

    #[test]
    fn the_log_is_bounded_and_keeps_the_latest() {
        let told = (0..200).map(|n| message("a", n, n)).collect();
        let log = merged(&[], told);
        assert_eq!(
            (log.len(), log[0].at, log[KEPT - 1].at),
            (KEPT, Time(Timestamp(150)), Time(Timestamp(199)))
        );
    }
}
