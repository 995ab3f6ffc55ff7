//! Starts and crashes of replicas.

use std::sync::Arc;
use std::time::Duration;

use fooddelivery_controller::replica::{Parts, Replica};
use fooddelivery_controller::settings::Settings;
use fooddelivery_runtime::Jitter;
use fooddelivery_runtime::clock::Clock;
use fooddelivery_runtime::watch::FirstList;
use tokio::sync::watch;

use super::Scheduler;
use super::replicas::{Frozen, KEPT_SECONDS, Running, SHARD_LEASE_MS, Virtual, name};
use crate::{ports, transport};

impl Scheduler {
    /// Starts a replica, anew where one of its number has run before.
    pub(super) fn start(&mut self, number: usize) {
        let clock = {
            let world = self.shared.lock();
            Arc::new(Clock::new(Virtual(world.start())))
        };
        let settings = Settings {
            replica: Some(name(number).replace(' ', "-")),
            count_lag_ms: if self.plan.counts_at_once { 20 } else { self.settings.count_lag_ms },
            shard_lease_ms: if self.plan.shares { SHARD_LEASE_MS } else { self.settings.shard_lease_ms },
            ttl_after_settled: self.plan.removes.then_some(KEPT_SECONDS),
            ..self.settings.clone()
        };
        let jitter = Jitter::seeded(self.case.seed ^ (self.crashes << 8) ^ number as u64);
        let parts = Parts {
            clock,
            jitter: Arc::new(jitter),
            ports: ports::payments(&self.shared, number),
            messages: ports::messages(&self.shared, number),
            // A list is what is played old after a restart.
            first_list: FirstList::Whole,
        };
        let (stop, stopping) = watch::channel(false);
        let replica = Replica::new(transport::client(&self.shared, number), settings, parts, stopping);
        let context = replica.context().clone();
        let running = Running { context, frozen: Frozen::No, task: tokio::spawn(replica.run()), _stop: stop };
        match self.replicas.get_mut(number) {
            Some(place) => *place = running,
            None => self.replicas.push(running),
        }
    }

    /// A replica stops where it stands, and another one takes its place. What it had sent is on its way still.
    pub(super) async fn crash(&mut self, number: usize) {
        let Some(running) = self.replicas.get(number) else { return };
        running.task.abort();
        self.crashes += 1;
        self.shared.lock().say(name(number), || "crashes".into());
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.start(number);
    }
}
