//! Feeds a cache from a watch, and tells a listener which keys changed.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use kube::Resource;
use kube::api::Api;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as start};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tracing::{debug, info, warn};

use crate::cache::{Cache, Malformed};
use crate::causes::with_root_cause;
use crate::guard::Guarded;
use crate::jitter::Jitter;
use crate::key::Key;
use crate::log_on_change::{Change, LogOnChange};
use crate::watchdog::LoopWatchdog;

/// What a watch brought.
pub enum ObjectChange<'a, K> {
    /// This object is new or changed, or was just deleted.
    Object(&'a Key, Option<&'a K>),
    /// This object was there as a watch began.
    Listed(&'a Key, &'a K),
    /// This object has a shape that this version does not know.
    Malformed(&'a Key, &'a Malformed),
}

/// How a watch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstList {
    /// With a list, which both sides hold as a whole.
    Whole,
    /// With what there is as a part of the watch, object by object; where the API server refuses that, with a list.
    Streamed,
}

/// Where a watch looks, and what it feeds.
pub struct Feed<K: kube::ResourceExt> {
    /// What it watches.
    pub api: Api<Guarded<K>>,
    /// The namespace that it covers; `None`: all.
    pub scope: Option<String>,
    /// What holds what it brings.
    pub cache: Arc<Cache<K>>,
    /// How it begins, and begins anew.
    pub first_list: FirstList,
}

/// First pause after a watch broke; doubles up to [`LONGEST_PAUSE`], until the watch brings something again.
const FIRST_PAUSE: Duration = Duration::from_millis(800);
/// Longest pause before a watch is started again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The pauses of one watch, with jitter.
struct Pauses {
    jitter: Arc<Jitter>,
    next: Duration,
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.next;
        self.next = pause.saturating_mul(2).min(LONGEST_PAUSE);
        Some(self.jitter.jittered(pause))
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.next = FIRST_PAUSE;
    }
}

/// Watches until `stop` turns true. `synced` is called whenever a list is complete, the first one or a new one. One
/// malformed object harms nothing but itself.
pub async fn run<K>(
    feed: Feed<K>,
    listener: impl Fn(ObjectChange<'_, K>) + Send,
    synced: impl Fn() + Send,
    jitter: Arc<Jitter>,
    watchdog: LoopWatchdog,
    mut stop: watch::Receiver<bool>,
) where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static,
{
    let Feed { api, scope, cache, mut first_list } = feed;
    let kind = K::kind(&()).to_string();
    let begin = |first_list| {
        let config = match first_list {
            FirstList::Whole => watcher::Config::default(),
            FirstList::Streamed => watcher::Config::default().streaming_lists(),
        };
        start(api.clone(), config).backoff(Pauses { jitter: jitter.clone(), next: FIRST_PAUSE }).boxed()
    };
    let mut events = begin(first_list);
    let mut log = LogOnChange::default();
    loop {
        let event = tokio::select! {
            biased;
            _ = stop.changed() => return watchdog.stop(),
            event = events.try_next() => event,
        };
        watchdog.stall_point().await;
        match event {
            Ok(Some(event)) => {
                if log.observe(None) == Change::Over {
                    info!(kind, "watch recovered");
                }
                watchdog.iteration(|| take_in(event, scope.as_deref(), &cache, &listener, &synced));
            }
            Ok(None) => return,
            Err(error) if first_list == FirstList::Streamed && is_refused(&error) => {
                debug!(kind, %error, "the API server begins no watch with what there is; listing that");
                first_list = FirstList::Whole;
                events = begin(first_list);
            }
            Err(error) => {
                if let Change::New(error) = log.observe(Some(with_root_cause(&error))) {
                    warn!(kind, %error, "watch failed; restarting it");
                }
            }
        }
    }
}

/// Whether the API server knows no watch that begins so: it is older than 1.34, or its feature is off.
fn is_refused(error: &watcher::Error) -> bool {
    let watcher::Error::WatchStartFailed(kube::Error::Api(status)) = error else { return false };
    matches!(status.code, 400 | 422)
}

fn take_in<K: Resource<DynamicType = ()> + Clone>(
    event: Event<Guarded<K>>,
    scope: Option<&str>,
    cache: &Cache<K>,
    listener: &impl Fn(ObjectChange<'_, K>),
    synced: &impl Fn(),
) {
    match event {
        Event::Init => cache.relist_begins(scope),
        Event::InitApply(Guarded(Ok(object))) => {
            let (key, object) = cache.apply(object);
            listener(ObjectChange::Listed(&key, &object));
        }
        Event::Apply(Guarded(Ok(object))) => {
            let (key, object) = cache.apply(object);
            listener(ObjectChange::Object(&key, Some(&object)));
        }
        Event::InitApply(Guarded(Err(malformed))) | Event::Apply(Guarded(Err(malformed))) => {
            let (key, malformed) = cache.apply_malformed(*malformed);
            listener(ObjectChange::Malformed(&key, &malformed));
        }
        Event::Delete(object) => {
            let (metadata, key) = (object.meta().clone(), Key::of(&object));
            cache.delete(&metadata, &key);
            listener(ObjectChange::Object(&key, object.0.as_ref().ok()));
        }
        Event::InitDone => {
            for key in cache.relist_ends(scope) {
                listener(ObjectChange::Object(&key, None));
            }
            synced();
        }
    }
}
