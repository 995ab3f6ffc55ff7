//! Availability of the controllers that a deadline rests on, in whichever process.
//!
//! A deadline must not run while the controller that would have heard of somebody's step was away, and nobody can tell
//! afterwards but by a record: the Leases that each process renews for its controllers (`runtime::leases`).

use std::sync::Arc;

use fooddelivery_runtime::Jitter;
use fooddelivery_runtime::api::ApiServer;
use fooddelivery_runtime::clock::Clock;
use fooddelivery_runtime::leases::{Changed, ControllerLeases, Settings as LeaseSettings};
use fooddelivery_saga::time::Millis;
use fooddelivery_saga::view::ControllerAvailability;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::debug;

use crate::context::Context;
use crate::names::ControllerName;
use crate::settings::Settings;

/// On every one of the Leases.
const LABEL: (&str, &str) = ("app.kubernetes.io/part-of", "fooddelivery");
/// How their names begin.
const PREFIX: &str = "fooddelivery-";

/// Which controllers are available, and since when without a gap.
#[derive(Clone)]
pub(crate) struct Availability {
    leases: Arc<ControllerLeases>,
}

impl Availability {
    /// Renews Leases for `controllers`. Nothing is known before the first tick.
    pub(crate) fn new(
        api: ApiServer,
        clock: Arc<Clock>,
        replica: &str,
        controllers: Vec<&'static str>,
        settings: &Settings,
    ) -> Self {
        let settings = LeaseSettings {
            holder: replica.to_owned(),
            namespace: settings.secrets_namespace.clone(),
            label: LABEL,
            prefix: PREFIX,
            controllers,
            watched: settings.namespaces.clone(),
            gap: Millis(i64::from(settings.availability_gap_ms)),
        };
        Self { leases: Arc::new(ControllerLeases::new(api, clock, settings)) }
    }

    /// Since when each controller has been available for the orders of `namespace`.
    pub(crate) async fn of(&self, namespace: &str) -> ControllerAvailability {
        let names = [
            ControllerName::Order,
            ControllerName::Payment,
            ControllerName::Ticket,
            ControllerName::Delivery,
            ControllerName::Coupon,
        ];
        let since = self.leases.available_since(names.map(ControllerName::as_str), namespace).await;
        let [order, payment, ticket, delivery, coupon] = since;
        ControllerAvailability { order, payment, ticket, delivery, coupon }
    }

    /// Renews this process's Leases and reads the others before the first decision, and from then on until `stop` turns
    /// true. When a controller came or went, the orders that may be waiting for it are looked at, one after the other
    /// rather than all at once.
    pub(crate) async fn start(
        &self,
        tasks: &mut JoinSet<()>,
        context: &Arc<Context>,
        jitter: &Arc<Jitter>,
        stop: &watch::Receiver<bool>,
    ) {
        // What goes wrong here is logged by the task, which tries again.
        let _ = self.leases.tick().await;
        let (context, jitter, interval) = (context.clone(), jitter.clone(), self.leases.interval());
        let on_change = move |changed: &Changed| {
            let Some(queue) = context.queues.of(ControllerName::Order) else { return };
            let mut keys = context.indexes.orders.open();
            keys.retain(|key| changed.concerns(&key.namespace));
            debug!(leases = ?changed.leases, orders = keys.len(), "controller availability changed");
            for key in keys {
                queue.push_at(key, Instant::now() + interval.mul_f64(jitter.fraction()));
            }
        };
        tasks.spawn(self.leases.clone().run(on_change, stop.clone()));
    }
}
