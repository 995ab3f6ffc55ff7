//! Attendance: which of the operator's controllers are at work, in whichever process, and since when without a gap.
//!
//! A deadline must not run while the controller that would have heard of somebody's step was away, and nobody can tell
//! afterwards but by a record: each process renews a Lease per controller that it runs. The renewals are the only
//! writes that recur; replicas share them, because one is made only when the last is old. All that is known is read
//! with one list per tick, never per order.

mod shift;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fooddelivery_api::Order;
use fooddelivery_saga::time::{Millis, Timestamp};
use fooddelivery_saga::view::ControllerAvailability as Attended;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::api::{ApiError, ApiServer};
use crate::clock::Clock;
use crate::engine::{Cache, Complaint, Dice, Heard, Key, Queue};
use crate::settings::{ControllerName, Settings};

use shift::{Shift, Terms};

/// On every one of the Leases.
const LABEL: (&str, &str) = ("app.kubernetes.io/part-of", "fooddelivery");
/// How their names begin.
const PREFIX: &str = "fooddelivery-";
/// What is known is not looked up again sooner than this when it seems old.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Known {
    /// By the Lease's name.
    shifts: HashMap<String, Shift>,
    /// When the API server last answered, and when it was last asked.
    read_at: Option<Instant>,
    asked_at: Option<Instant>,
    /// What the orders were last decided on, by the Lease's name.
    published: HashMap<String, Option<Timestamp>>,
}

/// Keeps the Leases of this process's controllers, and knows those of all.
pub struct Attendance {
    api: ApiServer,
    clock: Arc<Clock>,
    dice: Arc<Dice>,
    holder: String,
    /// Where the Leases are.
    namespace: String,
    /// The Leases that this process renews, by name.
    own: Vec<String>,
    terms: Terms,
    known: Mutex<Known>,
    asking: tokio::sync::Mutex<()>,
}

/// The name of a controller's Lease: for one namespace, or for all.
fn lease_name(controller: &str, namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) => format!("{PREFIX}{controller}.{namespace}"),
        None => format!("{PREFIX}{controller}"),
    }
}

/// The namespace that a Lease speaks of, `None` when of all.
fn namespace_of(lease: &str) -> Option<&str> {
    lease.split_once('.').map(|(_, namespace)| namespace)
}

fn own_leases(settings: &Settings) -> Vec<String> {
    let words = settings.controllers.iter().filter_map(|name| match name {
        ControllerName::Order => Some("order"),
        ControllerName::Payment => Some("payment"),
        ControllerName::Ticket => Some("ticket"),
        ControllerName::Delivery => Some("delivery"),
        ControllerName::Coupon => Some("coupon"),
        // Nobody's deadline rests on them.
        ControllerName::Provider
        | ControllerName::Store
        | ControllerName::Rider
        | ControllerName::Message
        | ControllerName::Customer
        | ControllerName::MessageProvider => None,
    });
    let scopes: Vec<Option<&str>> = match settings.namespaces.as_slice() {
        [] => vec![None],
        named => named.iter().map(|namespace| Some(namespace.as_str())).collect(),
    };
    words.flat_map(|word| scopes.iter().map(move |scope| lease_name(word, *scope))).collect()
}

impl Attendance {
    /// For the controllers of the settings. Nothing is known before the first tick.
    pub fn new(
        api: ApiServer,
        clock: Arc<Clock>,
        dice: Arc<Dice>,
        holder: &str,
        settings: &Settings,
    ) -> Self {
        Self {
            api,
            clock,
            dice,
            holder: holder.to_owned(),
            namespace: settings.secrets_namespace.clone(),
            own: own_leases(settings),
            terms: Terms::of(Millis(i64::from(settings.attendance_gap_ms))),
            known: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pause(&self) -> Duration {
        Duration::from_millis(self.terms.renewal.0.unsigned_abs() / 2)
    }

    /// Who has been at work for the orders of `namespace`, and since when. When all that is known is old (the API
    /// server could not be reached), it is asked first.
    pub async fn of(&self, namespace: &str) -> Attended {
        let known = self.judge(namespace);
        let Attended { order, payment, ticket, delivery, coupon } = known;
        let all_there = [order, payment, ticket, delivery, coupon].iter().all(Option::is_some);
        if all_there || !self.is_outdated() {
            return known;
        }
        let asking = self.asking.lock().await;
        let asked = self.lock().asked_at.is_some_and(|at| at.elapsed() < PATIENCE);
        if !asked && let Err(error) = self.ask().await {
            debug!(%error, "who is at work cannot be read");
        }
        drop(asking);
        self.judge(namespace)
    }

    fn is_outdated(&self) -> bool {
        let age = self.lock().read_at.map(|at| at.elapsed());
        age.is_none_or(|age| age > self.pause() * 2)
    }

    fn judge(&self, namespace: &str) -> Attended {
        let (now, known) = (self.clock.now(), self.lock());
        let since = |controller| {
            let names = [lease_name(controller, None), lease_name(controller, Some(namespace))];
            // One that watches all namespaces and one that watches this: either is enough.
            names.iter().filter_map(|name| known.shifts.get(name)?.attended(now, self.terms)).min()
        };
        Attended {
            order: since("order"),
            payment: since("payment"),
            ticket: since("ticket"),
            delivery: since("delivery"),
            coupon: since("coupon"),
        }
    }

    /// Looks who is there, and gives this process's own signs of life.
    ///
    /// # Errors
    /// When the API server cannot be asked, or refuses.
    pub async fn tick(&self) -> Result<(), ApiError> {
        let _asking = self.asking.lock().await;
        self.ask().await
    }

    async fn ask(&self) -> Result<(), ApiError> {
        self.lock().asked_at = Some(Instant::now());
        let listed = self.api.list::<Lease>(&self.namespace, LABEL).await;
        if matches!(listed, Err(ApiError::Forbidden(_))) {
            // That is an answer, too: it is not asked for again and again.
            self.lock().read_at = Some(Instant::now());
        }
        let leases = listed?;
        let leases: HashMap<String, Lease> = leases.into_iter().map(|l| (l.name_any(), l)).collect();
        let mut shifts: HashMap<String, Shift> =
            leases.iter().filter_map(|(name, lease)| Some((name.clone(), Shift::of(lease)?))).collect();
        let mut failure = Ok(());
        for name in &self.own {
            let Some(shift) = Shift::renewed(shifts.get(name).copied(), self.clock.now(), self.terms) else {
                continue;
            };
            match self.write(name, leases.get(name), shift).await {
                Ok(()) => drop(shifts.insert(name.clone(), shift)),
                // Another replica was quicker; what it wrote is read with the next tick.
                Err(ApiError::Conflict | ApiError::AlreadyExists | ApiError::NotFound) => {
                    shifts.insert(name.clone(), shift);
                }
                Err(error) => failure = Err(error),
            }
        }
        let mut known = self.lock();
        known.shifts = shifts;
        known.read_at = Some(Instant::now());
        failure
    }

    async fn write(&self, name: &str, old: Option<&Lease>, shift: Shift) -> Result<(), ApiError> {
        let spec = shift.spec(&self.holder, self.terms);
        let Some(old) = old else {
            let metadata = ObjectMeta {
                name: Some(name.to_owned()),
                labels: Some([(LABEL.0.to_owned(), LABEL.1.to_owned())].into()),
                ..ObjectMeta::default()
            };
            return self.api.create(&self.namespace, &Lease { metadata, spec: Some(spec) }).await.map(drop);
        };
        self.api.patch(old, json!({ "spec": spec })).await.map(drop)
    }

    /// The Leases of which something else is to be said than before: somebody came, went, or had been away.
    fn changed(&self) -> Vec<String> {
        let (now, mut known) = (self.clock.now(), self.lock());
        let said: HashMap<String, Option<Timestamp>> = known
            .shifts
            .iter()
            .map(|(name, shift)| (name.clone(), shift.attended(now, self.terms)))
            .collect();
        let before = std::mem::replace(&mut known.published, said);
        let news = known.published.iter().filter(|(name, now)| before.get(*name) != Some(*now));
        let gone = before.iter().filter(|(name, was)| was.is_some() && !known.published.contains_key(*name));
        news.chain(gone).map(|(name, _)| name.clone()).collect()
    }

    /// Ticks until `stop` turns true. When somebody came or went, the orders that may be waiting for it are looked at,
    /// one after the other rather than all at once.
    pub async fn run(
        self: Arc<Self>,
        orders: Arc<Cache<Order>>,
        queue: Option<Arc<Queue>>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut complaint = Complaint::default();
        self.changed();
        loop {
            tokio::select! {
                biased;
                _ = stop.changed() => return,
                () = tokio::time::sleep(self.pause()) => {}
            }
            let result = self.tick().await;
            match complaint.hear(result.err().map(|error| error.to_string())) {
                Heard::New(error) => {
                    warn!(%error, namespace = %self.namespace, "no sign of life can be given in a Lease: deadlines do not run");
                }
                Heard::Over => info!("the signs of life are given again"),
                Heard::Known => {}
            }
            if self.is_outdated() {
                continue;
            }
            let changed = self.changed();
            if let Some(queue) = &queue {
                self.have_looked_at(&changed, &orders, queue);
            }
        }
    }

    fn have_looked_at(&self, changed: &[String], orders: &Cache<Order>, queue: &Queue) {
        let everywhere = changed.iter().any(|name| namespace_of(name).is_none());
        let concerned = |order: &Order| {
            let namespace = order.metadata.namespace.as_deref();
            let there = everywhere || changed.iter().any(|name| namespace_of(name) == namespace);
            there && !order.state().phase.is_terminal()
        };
        if changed.is_empty() {
            return;
        }
        let keys: Vec<Key> = orders.keys_where(concerned);
        debug!(leases = ?changed, orders = keys.len(), "somebody came or went");
        for key in keys {
            let later = self.pause().mul_f64(self.dice.share());
            queue.push_at(key, Instant::now() + later);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_named_after_its_controller_and_the_namespace_that_it_watches() {
        assert_eq!(lease_name("ticket", None), "fooddelivery-ticket");
        assert_eq!(lease_name("ticket", Some("food")), "fooddelivery-ticket.food");
        assert_eq!(namespace_of("fooddelivery-ticket.food"), Some("food"));
        assert_eq!(namespace_of("fooddelivery-ticket"), None);
    }
}
