//! Sharding: which of the orders, coupons, stores and riders this replica works on. The others have the rest.
//!
//! Each replica renews a Lease of its own, and an object's owner follows from its uid and from who is there. It is for
//! speed alone: two replicas that both believe an object to be theirs, for as long as it takes them to hear of each other,
//! are kept apart by compare-and-set, as everywhere.

mod handover;
mod ring;
mod roll;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use fooddelivery_saga::time::Millis;
use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use kube::api::Api;
use kube::core::DeserializeGuard;
use serde_json::json;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::api::{ApiError, ApiServer};
use crate::clock::Clock;
use crate::engine::watch::{Change, Feed, run};
use crate::engine::{Cache, Complaint, Dice, Heard, Key, Pulses};
use crate::settings::Settings;

pub(crate) use handover::take_over;
pub use ring::{Member, Ring};
use roll::Roll;

/// So long a new replica waits to hear of the others before it begins.
const INTRODUCTION: Duration = Duration::from_secs(2);
/// Leases that lapsed longer ago are cleared away: their replicas come back under other names.
const KEPT_AFTER: Millis = Millis::seconds(60);

/// This replica's part of the work.
pub struct Shards {
    api: ApiServer,
    clock: Arc<Clock>,
    /// Where the Leases are.
    namespace: String,
    member: Member,
    /// How long a Lease holds without being renewed; `None`: nothing is shared, and all is this replica's.
    duration: Option<Millis>,
    leases: Arc<Cache<Lease>>,
    listed: AtomicBool,
    /// Whether nobody else is there, which need not be looked up for each object.
    alone: AtomicBool,
    ring: RwLock<Arc<Ring>>,
    roll: Mutex<Roll>,
    own: tokio::sync::Mutex<Option<Lease>>,
    wake: Notify,
    started: Instant,
}

impl Shards {
    /// Before anything is known of others, all is this replica's.
    pub fn new(api: ApiServer, clock: Arc<Clock>, replica: &str, settings: &Settings) -> Self {
        let member = Member {
            name: replica.to_owned(),
            controllers: settings.controllers.iter().map(|name| name.word().to_owned()).collect(),
            namespaces: settings.namespaces.iter().cloned().collect(),
        };
        let ring = RwLock::new(Arc::new(Ring::new(vec![member.clone()])));
        let duration = Millis(i64::from(settings.shard_lease_ms));
        Self {
            api,
            clock,
            namespace: settings.secrets_namespace.clone(),
            member,
            duration: (duration.0 > 0).then_some(duration),
            leases: Arc::default(),
            listed: AtomicBool::new(false),
            alone: AtomicBool::new(true),
            ring,
            roll: Mutex::default(),
            own: tokio::sync::Mutex::default(),
            wake: Notify::new(),
            started: Instant::now(),
        }
    }

    /// Whether the object of a uid is this replica's to work on. One that nobody has is.
    pub fn is_mine(&self, controller: &str, namespace: &str, uid: &str) -> bool {
        let ring = self.ring();
        ring.owner(controller, namespace, uid).is_none_or(|owner| owner == self.member.name)
    }

    /// Whether all is this replica's.
    pub fn is_alone(&self) -> bool {
        self.alone.load(Ordering::SeqCst)
    }

    fn ring(&self) -> Arc<Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn roll(&self) -> MutexGuard<'_, Roll> {
        self.roll.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// Watches the Leases. Who comes or goes is noticed at once.
    pub(crate) fn watch(
        self: &Arc<Self>,
        tasks: &mut JoinSet<()>,
        dice: &Arc<Dice>,
        pulses: &Arc<Pulses>,
        stop: &watch::Receiver<bool>,
    ) {
        if self.duration.is_none() {
            return;
        }
        let pulse = pulses.begin("the watch of replicas".into());
        let api: Api<DeserializeGuard<Lease>> = Api::namespaced(self.api.client(), &self.namespace);
        let (shards, listed) = (self.clone(), self.clone());
        let told = move |change: Change<'_, Lease>| {
            if let Change::Object(key, lease) = change {
                shards.heard_of(key, lease);
            }
        };
        let synced = move || {
            listed.listed.store(true, Ordering::SeqCst);
            listed.wake.notify_one();
        };
        let feed = Feed { api, scope: Some(self.namespace.clone()), cache: self.leases.clone() };
        tasks.spawn(run(feed, told, synced, dice.clone(), pulse, stop.clone()));
    }

    fn heard_of(&self, key: &Key, lease: Option<&Lease>) {
        let holder = lease.and_then(|lease| lease.spec.as_ref()?.holder_identity.as_deref());
        let known = holder.is_some_and(|holder| self.ring().names().contains(&holder));
        let is_there = self.leases.object(key).is_some();
        if key.name.starts_with(roll::PREFIX) && known != is_there {
            self.wake.notify_one();
        }
    }

    /// Gives a sign of life, and finds out who else is there, before the first decision.
    pub(crate) async fn join(&self) {
        if self.duration.is_none() {
            return;
        }
        if let Err(error) = self.renew().await {
            warn!(%error, namespace = %self.namespace, "no Lease can be had: this replica works on everything until it can");
        }
        let patience = Instant::now() + INTRODUCTION;
        while !self.listed.load(Ordering::SeqCst) && Instant::now() < patience {
            let _ = tokio::time::timeout_at(patience, self.wake.notified()).await;
        }
        self.call();
        info!(replicas = ?self.ring().names(), "the work is shared");
    }

    /// Renews, and looks who is there, until `stop` turns true. `changed` is told the ring before and after.
    pub(crate) async fn run(
        self: Arc<Self>,
        changed: impl Fn(&Ring, &Ring) + Send,
        mut stop: watch::Receiver<bool>,
    ) {
        let Some(duration) = self.duration else { return };
        let pause = Duration::from_millis(duration.0.unsigned_abs() / 3);
        let mut complaint = Complaint::default();
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
                match complaint.hear(result.err().map(|error| error.to_string())) {
                    Heard::New(error) => warn!(%error, "the replica's Lease cannot be renewed"),
                    Heard::Over => info!("the replica's Lease is renewed again"),
                    Heard::Known => {}
                }
            }
            let (before, after) = self.call();
            if before != after {
                info!(replicas = ?after.names(), before = ?before.names(), "the work is shared anew");
                changed(&before, &after);
            }
        }
    }

    /// Who is there now; returns the ring before and after.
    fn call(&self) -> (Arc<Ring>, Arc<Ring>) {
        let leases = self.leases_where(|_| true);
        let leases = leases.iter().map(|lease| &**lease);
        let mut there = self.roll().call(leases, self.clock.now(), self.now_ms());
        there.retain(|member| member.name != self.member.name);
        there.push(self.member.clone());
        self.alone.store(there.len() == 1, Ordering::SeqCst);
        let after = Arc::new(Ring::new(there));
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *ring, after.clone());
        (before, after)
    }

    /// The replicas' Leases that `keep` picks; there are others beside them.
    fn leases_where(&self, keep: impl Fn(&Lease) -> bool) -> Vec<Arc<Lease>> {
        let picked = |lease: &Lease| lease.name_any().starts_with(roll::PREFIX) && keep(lease);
        self.leases.objects_in(&self.namespace, picked).into_iter().map(|(_, lease)| lease).collect()
    }

    async fn renew(&self) -> Result<(), ApiError> {
        let result = self.write().await;
        if result.is_err() {
            self.roll().lost();
        } else {
            self.clear_away().await;
        }
        result
    }

    async fn write(&self) -> Result<(), ApiError> {
        let Some(duration) = self.duration else { return Ok(()) };
        let mut own = self.own.lock().await;
        let fresh = roll::lease(&self.member, self.clock.now(), duration);
        let written = match own.take() {
            Some(known) => self.renewed(&known, &fresh).await,
            None => self.api.create(&self.namespace, &fresh).await,
        };
        *own = match written {
            // One of the same name, from before a restart or of a namesake: it is renewed as it stands.
            Err(ApiError::AlreadyExists | ApiError::Conflict | ApiError::NotFound) => {
                let key = Key::new(&self.namespace, &roll::lease_name(&self.member.name));
                match self.api.read::<Lease>(&key).await? {
                    Some(stands) => Some(self.renewed(&stands, &fresh).await?),
                    None => Some(self.api.create(&self.namespace, &fresh).await?),
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
    async fn clear_away(&self) {
        let now = self.clock.now();
        let is_old = |lease: &Lease| {
            let renewed = lease.spec.as_ref().and_then(|spec| spec.renew_time.as_ref());
            renewed.is_none_or(|at| now.0.saturating_sub(at.0.as_millisecond()) > KEPT_AFTER.0)
        };
        for lease in self.leases_where(is_old) {
            if let Err(error) = self.api.delete_as_seen(&*lease).await {
                debug!(%error, "an old Lease stays for now");
            }
        }
    }

    /// Says that this replica is gone, so that the others take over at once.
    pub(crate) async fn leave(&self) {
        let Some(own) = self.own.lock().await.take() else { return };
        match self.api.delete(&own).await {
            Ok(()) => info!("the others have the work now"),
            Err(error) => warn!(%error, "the replica's Lease stays; the others take over when it lapses"),
        }
    }
}
