//! Availability of controllers: which of them run, in whichever process, and since when without a gap.
//!
//! Each process renews a Lease per controller that it runs. The renewals are the only writes that recur; replicas share
//! them, because one is made only when the last is old. All that is known is read with one list per tick, never per
//! object.

mod record;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fooddelivery_units::{Millis, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::api::{ApiError, ApiServer};
use crate::clock::Clock;
use crate::log_on_change::{Change, LogOnChange};

use record::{LeaseRecord, LeaseTerms};

/// Minimum time between two live looks at what seems out of date.
const REFRESH_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// Which Leases there are, and where.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of this process, as the holder.
    pub holder: String,
    /// Where the Leases are.
    pub namespace: String,
    /// Label on every one of them.
    pub label: (&'static str, &'static str),
    /// How their names begin.
    pub prefix: &'static str,
    /// The controllers whose Leases this process renews.
    pub controllers: Vec<&'static str>,
    /// The namespaces that they watch; empty: all.
    pub watched: Vec<String>,
    /// Maximum age of a heartbeat; a controller without one for longer was away.
    pub gap: Millis,
}

#[derive(Default)]
struct Known {
    /// By the Lease's name.
    records: HashMap<String, LeaseRecord>,
    /// When the API server last answered, and when it was last asked.
    read_at: Option<Instant>,
    asked_at: Option<Instant>,
    /// The availability that was last published, by the Lease's name.
    published: HashMap<String, Option<Timestamp>>,
}

/// Renews the Leases of this process's controllers, and knows those of all.
pub struct ControllerLeases {
    api: ApiServer,
    clock: Arc<Clock>,
    settings: Settings,
    /// The Leases that this process renews, by name.
    own: Vec<String>,
    terms: LeaseTerms,
    known: Mutex<Known>,
    asking: tokio::sync::Mutex<()>,
}

/// Whose availability has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Names of the Leases, sorted.
    pub leases: Vec<String>,
}

impl Changed {
    /// Whether controllers that watch a namespace are among them.
    pub fn concerns(&self, namespace: &str) -> bool {
        self.leases.iter().any(|lease| namespace_of(lease).is_none_or(|of| of == namespace))
    }
}

/// The name of a controller's Lease: for one namespace, or for all.
fn lease_name(prefix: &str, controller: &str, namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) => format!("{prefix}{controller}.{namespace}"),
        None => format!("{prefix}{controller}"),
    }
}

/// The namespace that a Lease is about, `None` when it is about all.
fn namespace_of(lease: &str) -> Option<&str> {
    lease.split_once('.').map(|(_, namespace)| namespace)
}

fn own_leases(settings: &Settings) -> Vec<String> {
    let scopes: Vec<Option<&str>> = match settings.watched.as_slice() {
        [] => vec![None],
        named => named.iter().map(|namespace| Some(namespace.as_str())).collect(),
    };
    let of = |controller: &&str| {
        let names = scopes.iter().map(|scope| lease_name(settings.prefix, controller, *scope));
        names.collect::<Vec<_>>()
    };
    settings.controllers.iter().flat_map(of).collect()
}

impl ControllerLeases {
    /// Nothing is known before the first tick.
    pub fn new(api: ApiServer, clock: Arc<Clock>, settings: Settings) -> Self {
        Self {
            api,
            clock,
            own: own_leases(&settings),
            terms: LeaseTerms::of(settings.gap),
            settings,
            known: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time between two ticks.
    pub fn interval(&self) -> Duration {
        Duration::from_millis(self.terms.renewal.0.unsigned_abs() / 2)
    }

    /// Since when each of `controllers` has been available for `namespace`, without a gap; `None` for one that is not.
    /// When one is not and all that is known is old (the API server could not be reached), it is read anew first.
    pub async fn available_since<const N: usize>(
        &self,
        controllers: [&str; N],
        namespace: &str,
    ) -> [Option<Timestamp>; N] {
        let known = self.judge(controllers, namespace);
        if known.iter().all(Option::is_some) || !self.is_outdated() {
            return known;
        }
        let asking = self.asking.lock().await;
        let asked = self.lock().asked_at.is_some_and(|at| at.elapsed() < REFRESH_INTERVAL_MIN);
        if !asked && let Err(error) = self.refresh().await {
            debug!(%error, "cannot list controller Leases");
        }
        drop(asking);
        self.judge(controllers, namespace)
    }

    fn is_outdated(&self) -> bool {
        let age = self.lock().read_at.map(|at| at.elapsed());
        age.is_none_or(|age| age > self.interval() * 2)
    }

    fn judge<const N: usize>(&self, controllers: [&str; N], namespace: &str) -> [Option<Timestamp>; N] {
        let (now, known, prefix) = (self.clock.now(), self.lock(), self.settings.prefix);
        controllers.map(|controller| {
            let names =
                [lease_name(prefix, controller, None), lease_name(prefix, controller, Some(namespace))];
            // One that watches all namespaces and one that watches this: either is enough.
            names.iter().filter_map(|name| known.records.get(name)?.available_since(now, self.terms)).min()
        })
    }

    /// Reads all Leases, and renews those of this process's controllers.
    ///
    /// # Errors
    /// When the API server cannot be asked, or refuses.
    pub async fn tick(&self) -> Result<(), ApiError> {
        let _asking = self.asking.lock().await;
        self.refresh().await
    }

    async fn refresh(&self) -> Result<(), ApiError> {
        self.lock().asked_at = Some(Instant::now());
        let listed = self.api.list::<Lease>(&self.settings.namespace, self.settings.label).await;
        if matches!(listed, Err(ApiError::Forbidden(_))) {
            // That is an answer, too: it is not asked for again and again.
            self.lock().read_at = Some(Instant::now());
        }
        let leases = listed?;
        let leases: HashMap<String, Lease> = leases.into_iter().map(|l| (l.name_any(), l)).collect();
        let mut records: HashMap<String, LeaseRecord> =
            leases.iter().filter_map(|(name, lease)| Some((name.clone(), LeaseRecord::of(lease)?))).collect();
        let mut failure = Ok(());
        for name in &self.own {
            let known = records.get(name).copied();
            let Some(record) = LeaseRecord::renewed(known, self.clock.now(), self.terms) else { continue };
            match self.write(name, leases.get(name), record).await {
                Ok(()) => drop(records.insert(name.clone(), record)),
                // Another replica was quicker; what it wrote is read with the next tick.
                Err(ApiError::Conflict | ApiError::AlreadyExists | ApiError::NotFound) => {
                    records.insert(name.clone(), record);
                }
                Err(error) => failure = Err(error),
            }
        }
        let mut known = self.lock();
        known.records = records;
        known.read_at = Some(Instant::now());
        failure
    }

    async fn write(&self, name: &str, old: Option<&Lease>, record: LeaseRecord) -> Result<(), ApiError> {
        let spec = record.spec(&self.settings.holder, self.terms);
        let Some(old) = old else {
            let (label, value) = self.settings.label;
            let metadata = ObjectMeta {
                name: Some(name.to_owned()),
                labels: Some([(label.to_owned(), value.to_owned())].into()),
                ..ObjectMeta::default()
            };
            let lease = Lease { metadata, spec: Some(spec) };
            return self.api.create(&self.settings.namespace, &lease).await.map(drop);
        };
        self.api.patch(old, json!({ "spec": spec })).await.map(drop)
    }

    /// The Leases whose controllers came, went, or had been away since this was last asked.
    fn changed(&self) -> Changed {
        let (now, mut known) = (self.clock.now(), self.lock());
        let published: HashMap<String, Option<Timestamp>> = known
            .records
            .iter()
            .map(|(name, record)| (name.clone(), record.available_since(now, self.terms)))
            .collect();
        let before = std::mem::replace(&mut known.published, published);
        let news = known.published.iter().filter(|(name, now)| before.get(*name) != Some(*now));
        let gone = before.iter().filter(|(name, was)| was.is_some() && !known.published.contains_key(*name));
        let mut leases: Vec<String> = news.chain(gone).map(|(name, _)| name.clone()).collect();
        leases.sort();
        Changed { leases }
    }

    /// Ticks until `stop` turns true; `on_change` hears of controllers that came or went.
    pub async fn run(self: Arc<Self>, on_change: impl Fn(&Changed) + Send, mut stop: watch::Receiver<bool>) {
        let mut log = LogOnChange::default();
        self.changed();
        loop {
            tokio::select! {
                biased;
                _ = stop.changed() => return,
                () = tokio::time::sleep(self.interval()) => {}
            }
            let result = self.tick().await;
            match log.observe(result.err().map(|error| error.to_string())) {
                Change::New(error) => {
                    let namespace = &self.settings.namespace;
                    warn!(%error, %namespace, "cannot renew controller Leases; deadlines are suspended");
                }
                Change::Over => info!("controller Leases renewed again"),
                Change::Unchanged => {}
            }
            if self.is_outdated() {
                continue;
            }
            let changed = self.changed();
            if !changed.leases.is_empty() {
                on_change(&changed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_named_after_its_controller_and_the_namespace_that_it_watches() {
        assert_eq!(lease_name("operator-", "alpha", None), "operator-alpha");
        assert_eq!(lease_name("operator-", "alpha", Some("food")), "operator-alpha.food");
        assert_eq!(namespace_of("operator-alpha.food"), Some("food"));
        assert_eq!(namespace_of("operator-alpha"), None);
    }

    #[test]
    fn a_change_concerns_the_namespace_of_its_lease_or_all() {
        let of = |lease: &str| Changed { leases: vec![lease.to_owned()] };
        assert!(of("operator-alpha").concerns("food") && of("operator-alpha.food").concerns("food"));
        assert!(!of("operator-alpha.elsewhere").concerns("food"));
    }
}
