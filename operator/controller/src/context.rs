//! What all controllers share: the API server, the caches, time, measurements and the settings. Nothing of a single
//! controller stands here: that is in its own folder, and what several share is in `shared`.

use std::fmt::Debug;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fooddelivery_api::for_each_kind;
use fooddelivery_runtime::api::{ApiError, ApiServer, Namespaced};
use fooddelivery_runtime::clock::Clock;
use fooddelivery_runtime::events::{Events, Note};
use fooddelivery_runtime::{Cache, Key};
use fooddelivery_saga::order;
use fooddelivery_saga::time::Timestamp;
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::indexes::Indexes;
use crate::keeping;
use crate::metrics::Metrics;
use crate::queues::Queues;
use crate::settings::Settings;

/// Maximum time between a copy of an object, as the API server had it, and what is done on the strength of it elsewhere: a call
/// of a provider, or the creation of a child.
pub(crate) const COPY_AGE_MAX: Duration = Duration::from_secs(2);

/// A kind that is watched.
pub(crate) trait Kind:
    Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
    /// Its cache.
    fn cache(caches: &Caches) -> &Arc<Cache<Self>>;
}

macro_rules! caches {
    ($($kind:ident: $field:ident, $plural:literal, $scope:ident, { $($facts:tt)* };)+) => {
        /// One cache per kind.
        pub struct Caches {
            $(
                #[doc = concat!("All ", $plural, ".")]
                pub $field: Arc<Cache<fooddelivery_api::$kind>>,
            )+
        }

        impl Caches {
            fn of_any_kind() -> Self {
                Self { $($field: Arc::new(Cache::new(keeping::any())),)+ }
            }
        }

        $(
            impl Kind for fooddelivery_api::$kind {
                fn cache(caches: &Caches) -> &Arc<Cache<Self>> {
                    &caches.$field
                }
            }
        )+
    };
}
for_each_kind!(caches);

impl Default for Caches {
    fn default() -> Self {
        Self {
            orders: Arc::new(Cache::new(keeping::orders())),
            payments: Arc::new(Cache::new(keeping::payments())),
            tickets: Arc::new(Cache::new(keeping::tickets())),
            deliveries: Arc::new(Cache::new(keeping::deliveries())),
            customers: Arc::new(Cache::new(keeping::customers())),
            coupon_uses: Arc::new(Cache::new(keeping::coupon_uses())),
            ..Self::of_any_kind()
        }
    }
}

/// Shared by all controllers.
pub struct Context {
    /// The API server.
    pub api: ApiServer,
    /// Event recorder.
    pub events: Events,
    /// Prometheus metrics.
    pub metrics: Arc<Metrics>,
    /// Clock, corrected by the API server's.
    pub clock: Arc<Clock>,
    /// What the watches and the operator's own writes brought.
    pub caches: Caches,
    /// What is looked for in them.
    pub(crate) indexes: Indexes,
    /// Keys to be looked at, per controller.
    pub queues: Queues,
    /// Every setting.
    pub settings: Settings,
    /// Name of this replica.
    pub replica: Arc<str>,
    /// Start of this process's watches.
    pub watching_since: OnceLock<Timestamp>,
}

impl Context {
    /// Records an Event about an object.
    pub async fn record<K: Resource<DynamicType = ()>>(&self, object: &K, note: &order::Note) {
        let note = Note { warning: note.warning, reason: &note.reason, message: &note.message };
        self.events.record(object, note).await;
    }

    /// Reads an object live and puts what was found into the cache.
    ///
    /// # Errors
    /// As [`ApiServer::read`].
    pub async fn refresh<K: Namespaced>(&self, cache: &Cache<K>, key: &Key) -> Result<Option<K>, ApiError> {
        let before = cache.object(key);
        let found = self.api.read::<K>(key).await?;
        match &found {
            Some(object) => cache.remember(object.clone()),
            None => cache.forget(key, before.as_deref()),
        }
        Ok(found)
    }

    /// Whether an object is still the one that was decided on, read live. Steps on an order's children carry the children's
    /// resourceVersions, not the order's: without this, a replica with an old copy would undo an order that has ended.
    ///
    /// # Errors
    /// As [`ApiServer::read`].
    pub async fn is_unchanged<K: Namespaced>(
        &self,
        cache: &Cache<K>,
        key: &Key,
        object: &K,
    ) -> Result<bool, ApiError> {
        let live = self.refresh(cache, key).await?;
        Ok(live.is_some_and(|live| live.resource_version() == object.resource_version()))
    }

    /// Whether an object was created at most [`COPY_AGE_MAX`] ago, so that whatever copy there is of it stood at the API server
    /// since then. Enough for a step after which it is read live.
    pub(crate) fn is_new<K: Namespaced>(&self, object: &K) -> bool {
        let created = object.meta().creation_timestamp.as_ref().map(|at| at.0.as_millisecond());
        let age = created.map(|at| self.clock.now().0.saturating_sub(at));
        age.is_some_and(|age| (0..=i64::try_from(COPY_AGE_MAX.as_millis()).unwrap_or(0)).contains(&age))
    }

    /// Writes a status, puts what was written into the cache and returns its resourceVersion. When somebody wrote first, what
    /// they wrote is read: until the watch brings it, every further try would be in vain.
    ///
    /// # Errors
    /// As [`ApiServer::write_status`].
    pub async fn write_status<K: Namespaced>(
        &self,
        cache: &Cache<K>,
        object: &K,
        old: &impl Serialize,
        new: &impl Serialize,
    ) -> Result<Option<String>, ApiError> {
        match self.api.write_status(object, old, new).await {
            Ok(written) => {
                let version = written.resource_version();
                cache.remember(written);
                Ok(version)
            }
            Err(error @ (ApiError::Conflict | ApiError::NotFound)) => {
                self.refresh(cache, &Key::of(object)).await?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Creates a child, and returns it when it was this call that did. When one of its name is there already (a tombstone,
    /// another replica's, a child of an earlier order with this name), that one is read.
    ///
    /// # Errors
    /// As [`ApiServer::create`], but for the name being taken.
    pub async fn create<K: Namespaced>(
        &self,
        cache: &Cache<K>,
        key: &Key,
        object: &K,
    ) -> Result<Option<K>, ApiError> {
        match self.api.create(&key.namespace, object).await {
            Ok(created) => {
                cache.remember(created.clone());
                Ok(Some(created))
            }
            Err(ApiError::AlreadyExists) => self.refresh(cache, key).await.map(|_| None),
            Err(error) => Err(error),
        }
    }
}
