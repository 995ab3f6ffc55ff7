//! Sharding: which objects this replica works on. The others have the rest.
//!
//! Each replica renews a Lease of its own, and an object's owner follows from its uid and from the live replicas. It is for
//! speed alone: two replicas that both believe an object to be theirs, for as long as it takes them to hear of each other,
//! are kept apart by compare-and-set, as everywhere.

mod membership;
mod rendezvous;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use fooddelivery_units::Millis;
use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use kube::api::Api;
use serde_json::json;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::api::{ApiError, ApiServer};
use crate::cache::Cache;
use crate::clock::Clock;
use crate::guard::Guarded;
use crate::jitter::Jitter;
use crate::key::Key;
use crate::log_on_change::{Change, LogOnChange};
use crate::watch::{Feed, FirstList, ObjectChange, run};
use crate::watchdog::LoopWatchdogs;

pub use membership::LeaseNames;
pub use rendezvous::{Member, Rendezvous};

use membership::Membership;

/// How long a new replica waits to hear of the others before it begins.
const INTRODUCTION_TIMEOUT: Duration = Duration::from_secs(2);

/// How the work is shared.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the Leases are.
    pub namespace: String,
    /// How long a Lease holds without being renewed; `None`: nothing is shared, and all is this replica's.
    pub duration: Option<Millis>,
    /// What the Leases are called and carry.
    pub names: LeaseNames,
}

/// This replica's part of the work.
pub struct Sharding {
    api: ApiServer,
    clock: Arc<Clock>,
    member: Member,
    settings: Settings,
    leases: Arc<Cache<Lease>>,
    listed: AtomicBool,
    /// Whether the members were read since the Leases were listed.
    met: AtomicBool,
    /// Whether no other replica is live, which need not be looked up for each object.
    alone: AtomicBool,
    rendezvous: RwLock<Arc<Rendezvous>>,
    membership: Mutex<Membership>,
    own: tokio::sync::Mutex<Option<Lease>>,
    wake: Notify,
    started: Instant,
}

impl Sharding {
    /// Before anything is known of others, all is this replica's.
    pub fn new(api: ApiServer, clock: Arc<Clock>, member: Member, settings: Settings) -> Self {
        let rendezvous = RwLock::new(Arc::new(Rendezvous::new(vec![member.clone()])));
        let membership = Mutex::new(Membership::new(settings.names));
        Self {
            api,
            clock,
            member,
            settings,
            leases: Arc::default(),
            listed: AtomicBool::new(false),
            met: AtomicBool::new(false),
            alone: AtomicBool::new(true),
            rendezvous,
            membership,
            own: tokio::sync::Mutex::default(),
            wake: Notify::new(),
            started: Instant::now(),
        }
    }

    /// This replica's name.
    pub fn replica(&self) -> &str {
        &self.member.name
    }

    /// Whether the object of a uid is this replica's to work on. One that nobody has is.
    pub fn is_mine(&self, controller: &str, namespace: &str, uid: &str) -> bool {
        let rendezvous = self.rendezvous();
        rendezvous.owner(controller, namespace, uid).is_none_or(|owner| owner == self.member.name)
    }

    /// Whether all is this replica's.
    pub fn is_alone(&self) -> bool {
        self.alone.load(Ordering::SeqCst)
    }

    /// The names of the replicas that are live, this one's among them; `None` while they are not known, and where nothing is
    /// shared.
    pub fn live(&self) -> Option<BTreeSet<String>> {
        let is_known = self.settings.duration.is_some() && self.met.load(Ordering::SeqCst);
        is_known.then(|| self.rendezvous().names().into_iter().map(str::to_owned).collect())
    }

    fn rendezvous(&self) -> Arc<Rendezvous> {
        self.rendezvous.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn membership(&self) -> MutexGuard<'_, Membership> {
        self.membership.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// Watches the Leases, so that replicas that come or go are noticed at once.
    pub fn watch(
        self: &Arc<Self>,
        tasks: &mut JoinSet<()>,
        jitter: &Arc<Jitter>,
        watchdogs: &Arc<LoopWatchdogs>,
        stop: &watch::Receiver<bool>,
    ) {
        if self.settings.duration.is_none() {
            return;
        }
        let watchdog = watchdogs.register("the watch of replicas".into());
        let api: Api<Guarded<Lease>> = Api::namespaced(self.api.client(), &self.settings.namespace);
        let (sharding, listed) = (self.clone(), self.clone());
        let listener = move |change: ObjectChange<'_, Lease>| match change {
            ObjectChange::Object(key, lease) => sharding.lease_changed(key, lease),
            ObjectChange::Listed(key, lease) => sharding.lease_changed(key, Some(lease)),
            ObjectChange::Malformed(..) => {}
        };
        let synced = move || {
            listed.listed.store(true, Ordering::SeqCst);
            listed.wake.notify_one();
        };
        let (scope, cache) = (Some(self.settings.namespace.clone()), self.leases.clone());
        // They are few.
        let feed = Feed { api, scope, cache, first_list: FirstList::Whole };
        tasks.spawn(run(feed, listener, synced, jitter.clone(), watchdog, stop.clone()));
    }

    fn lease_changed(&self, key: &Key, lease: Option<&Lease>) {
        let holder = lease.and_then(|lease| lease.spec.as_ref()?.holder_identity.as_deref());
        let known = holder.is_some_and(|holder| self.rendezvous().names().contains(&holder));
        let is_there = self.leases.object(key).is_some();
        if key.name.starts_with(self.settings.names.prefix) && known != is_there {
            self.wake.notify_one();
        }
    }

    /// Renews the Lease, and finds out which other replicas are live, before the first decision.
    pub async fn join(&self) {
        if self.settings.duration.is_none() {
            return;
        }
        if let Err(error) = self.renew().await {
            warn!(%error, namespace = %self.settings.namespace, "cannot acquire the shard Lease; working on everything until it is acquired");
        }
        let deadline = Instant::now() + INTRODUCTION_TIMEOUT;
        while !self.listed.load(Ordering::SeqCst) && Instant::now() < deadline {
            let _ = tokio::time::timeout_at(deadline, self.wake.notified()).await;
        }
        self.update_members();
        info!(replicas = ?self.rendezvous().names(), "shard membership known");
    }

    /// Renews the Lease and follows the members, until `stop` turns true. `changed` is called with the members before and after,
    /// also when they are the same and known only now.
    pub async fn run(
        self: Arc<Self>,
        changed: impl Fn(&Rendezvous, &Rendezvous) + Send,
        mut stop: watch::Receiver<bool>,
    ) {
        let Some(duration) = self.settings.duration else { return };
        let pause = Duration::from_millis(duration.0.unsigned_abs() / 3);
        let mut log = LogOnChange::default();
        let mut renew_at = Instant::now() + pause;
        loop {
            // Often enough that a Lease is found to have lapsed soon after it has.
            let look_at = renew_at.min(Instant::now() + pause / 3);
            tokio::select! {
                biased;
                _ = stop.changed() => return,
                () = self.wake.notified() => {}
                () = tokio::time::sleep_until(look_at) => {}
            }
            if Instant::now() >= renew_at {
                renew_at = Instant::now() + pause;
                let result = self.renew().await;
                match log.observe(result.err().map(|error| error.to_string())) {
                    Change::New(error) => warn!(%error, "cannot renew the shard Lease"),
                    Change::Over => info!("shard Lease renewed again"),
                    Change::Unchanged => {}
                }
            }
            let had_met = self.met.load(Ordering::SeqCst);
            let (before, after) = self.update_members();
            if before != after || had_met != self.met.load(Ordering::SeqCst) {
                info!(replicas = ?after.names(), before = ?before.names(), "shard membership changed");
                changed(&before, &after);
            }
        }
    }

    /// Reads the members anew; returns them before and after.
    fn update_members(&self) -> (Arc<Rendezvous>, Arc<Rendezvous>) {
        let listed = self.listed.load(Ordering::SeqCst);
        let leases = self.leases_where(|_| true);
        let leases = leases.iter().map(|lease| &**lease);
        let mut there = self.membership().members(leases, self.clock.now(), self.now_ms());
        there.retain(|member| member.name != self.member.name);
        there.push(self.member.clone());
        self.alone.store(there.len() == 1, Ordering::SeqCst);
        let after = Arc::new(Rendezvous::new(there));
        let mut rendezvous = self.rendezvous.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *rendezvous, after.clone());
        self.met.store(listed, Ordering::SeqCst);
        (before, after)
    }

    /// The replicas' Leases that `keep` picks; there are others beside them.
    fn leases_where(&self, keep: impl Fn(&Lease) -> bool) -> Vec<Arc<Lease>> {
        let picked =
            |_: &Key, lease: &Lease| lease.name_any().starts_with(self.settings.names.prefix) && keep(lease);
        self.leases.walk(picked).into_iter().map(|(_, lease)| lease).collect()
    }

    async fn renew(&self) -> Result<(), ApiError> {
        let result = self.write().await;
        if result.is_err() {
            self.membership().api_unreachable();
        } else {
            self.remove_lapsed().await;
        }
        result
    }

    async fn write(&self) -> Result<(), ApiError> {
        let Some(duration) = self.settings.duration else { return Ok(()) };
        let mut own = self.own.lock().await;
        let fresh = membership::lease(self.settings.names, &self.member, self.clock.now(), duration);
        let written = match own.take() {
            Some(known) => self.renewed(&known, &fresh).await,
            None => self.api.create(&self.settings.namespace, &fresh).await,
        };
        *own = match written {
            // One of the same name, from before a restart or of a namesake: it is renewed as it stands.
            Err(ApiError::AlreadyExists | ApiError::Conflict | ApiError::NotFound) => {
                let key = Key::new(
                    &self.settings.namespace,
                    &membership::lease_name(self.settings.names, &self.member.name),
                );
                match self.api.read::<Lease>(&key).await? {
                    Some(stands) => Some(self.renewed(&stands, &fresh).await?),
                    None => Some(self.api.create(&self.settings.namespace, &fresh).await?),
                }
            }
            written => Some(written?),
        };
        Ok(())
    }

    async fn renewed(&self, lease: &Lease, fresh: &Lease) -> Result<Lease, ApiError> {
        let annotations = &fresh.metadata.annotations;
        let change = json!({ "metadata": { "annotations": annotations }, "spec": fresh.spec });
        self.api.patch(lease, change).await
    }

    /// Leases of replicas that are long gone are removed, by whoever sees them.
    async fn remove_lapsed(&self) {
        let now = self.clock.now();
        for lease in self.leases_where(|lease| membership::is_abandoned(lease, now)) {
            if let Err(error) = self.api.delete_unchanged(&*lease).await {
                debug!(%error, "cannot remove a lapsed shard Lease");
            }
        }
    }

    /// Releases the Lease, so that the others take over at once.
    pub async fn leave(&self) {
        let Some(own) = self.own.lock().await.take() else { return };
        match self.api.delete(&own).await {
            Ok(()) => info!("released the shard Lease"),
            Err(error) => {
                warn!(%error, "cannot release the shard Lease; the others take over when it lapses");
            }
        }
    }
}
