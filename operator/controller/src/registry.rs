//! The registry of controllers. Each registers itself in its own folder: its name, whose shard a key is, and which changes
//! of which kinds have which of its keys look again. From this follow the watches, the runners, the Leases and the takeover
//! of shards.

use std::sync::Arc;

use fooddelivery_api::for_each_kind;
use fooddelivery_runtime::cache::{Difference, Malformed};
use fooddelivery_runtime::events::{Note, reference};
use fooddelivery_runtime::guard::Guarded;
use fooddelivery_runtime::health::Health;
use fooddelivery_runtime::runner::{self, Runner};
use fooddelivery_runtime::sharding::Sharding;
use fooddelivery_runtime::watch::{Feed, FirstList, ObjectChange, run};
use fooddelivery_runtime::{Jitter, Key, Limits, LoopWatchdogs, Queue, Reconciler};
use fooddelivery_saga::reason::Reason;
use kube::api::Api;
use kube::{Client, Resource, ResourceExt};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::warn;

use crate::availability::Availability;
use crate::context::{Context, Kind};
use crate::names::ControllerName;
use crate::sharding::{Acquirer, Shard};
use crate::shared::state::Shared;

/// A controller, as its folder declares it.
pub(crate) struct Controller {
    /// Its name.
    pub(crate) name: ControllerName,
    /// Whether a deadline must not run while it is away, so that it has a Lease to be seen by.
    pub(crate) deadlines_rest_on_it: bool,
    /// Registers what it reacts to, whose shard a key is, and what reconciles it: only that gives a [`Registered`].
    pub(crate) register: fn(Registration<'_>) -> Registered,
}

/// A change of an object of kind `K`.
pub(crate) struct Changed<'a, K> {
    /// Its key.
    pub(crate) key: &'a Key,
    /// The object, or what it was when it was deleted; `None` when it vanished or cannot be read.
    pub(crate) object: Option<&'a K>,
}

type Select<K> = dyn Fn(&Context, &Changed<'_, K>) -> Vec<Key> + Send + Sync;
type SelectAll = dyn Fn(&Context) -> Vec<Key> + Send + Sync;

/// After which changes.
enum When {
    /// Every one that a watch brings.
    Always,
    /// Those that differ, in what concerns the controller, from what it may have seen.
    Different(Difference),
}

impl When {
    fn is_met(&self, key: &Key) -> bool {
        match self {
            Self::Always => true,
            Self::Different(difference) => difference.take(key),
        }
    }
}

/// Which of a controller's keys look again after a change.
struct Trigger<K> {
    queue: Arc<Queue>,
    when: When,
    select: Box<Select<K>>,
}

/// Everything that follows from changes of one kind.
pub(crate) struct Triggers<K> {
    on_change: Vec<Trigger<K>>,
    /// After every complete list.
    on_list: Vec<(Arc<Queue>, Box<SelectAll>)>,
}

impl<K> Default for Triggers<K> {
    fn default() -> Self {
        Self { on_change: Vec::new(), on_list: Vec::new() }
    }
}

impl<K: Kind> Triggers<K> {
    fn fire(&self, context: &Context, key: &Key, object: Option<&K>, push: fn(&Queue, Key)) {
        let change = Changed { key, object };
        for trigger in self.on_change.iter().filter(|trigger| trigger.when.is_met(key)) {
            for key in (trigger.select)(context, &change) {
                push(&trigger.queue, key);
            }
        }
    }

    fn listed(&self, context: &Context) {
        for (queue, select) in &self.on_list {
            for key in select(context) {
                queue.push(key);
            }
        }
    }
}

/// How a kind is watched.
pub(crate) trait Watched: Kind {
    /// What follows from its changes.
    fn triggers(all: &mut AllTriggers) -> &mut Triggers<Self>;
    /// Where it is watched: a namespace, or all.
    fn api(client: Client, scope: Option<&str>) -> Api<Guarded<Self>>;
}

/// How many watches a kind has, over `namespaces` scopes.
macro_rules! watch_count {
    (Namespaced, $scopes:expr) => {
        $scopes
    };
    (Cluster, $scopes:expr) => {
        1
    };
}

macro_rules! watch_api {
    (Namespaced, $client:expr, $scope:expr) => {
        match $scope {
            Some(namespace) => Api::namespaced($client, namespace),
            None => Api::all($client),
        }
    };
    (Cluster, $client:expr, $scope:expr) => {{
        let _all: Option<&str> = $scope;
        Api::all($client)
    }};
}

macro_rules! watch_scopes {
    (Namespaced, $scopes:expr) => {
        $scopes.clone()
    };
    (Cluster, $scopes:expr) => {
        vec![None]
    };
}

macro_rules! kinds {
    ($($kind:ident: $field:ident, $plural:literal, $scope:ident, { $($facts:tt)* };)+) => {
        /// The triggers of every kind.
        #[derive(Default)]
        pub(crate) struct AllTriggers {
            $($field: Triggers<fooddelivery_api::$kind>,)+
        }

        $(
            impl Watched for fooddelivery_api::$kind {
                fn triggers(all: &mut AllTriggers) -> &mut Triggers<Self> {
                    &mut all.$field
                }

                fn api(client: Client, scope: Option<&str>) -> Api<Guarded<Self>> {
                    watch_api!($scope, client, scope)
                }
            }
        )+

        impl Watches {
            /// How many first lists have to be complete before anything is decided.
            pub(crate) fn count(&self) -> usize {
                0 $(+ watch_count!($scope, self.scopes.len()))+
            }

            /// Starts them all.
            pub(crate) fn start(
                self,
                tasks: &mut JoinSet<()>,
                watchdogs: &Arc<LoopWatchdogs>,
                health: &Arc<Health>,
                stop: &watch::Receiver<bool>,
            ) {
                let Self { context, jitter, first_list, scopes, triggers } = self;
                let starter = Starter { context, jitter, first_list, watchdogs, health, stop };
                $(starter.start::<fooddelivery_api::$kind>(tasks, watch_scopes!($scope, scopes), triggers.$field);)+
            }
        }
    };
}
for_each_kind!(kinds);

/// The watches that feed the caches and the queues.
pub(crate) struct Watches {
    context: Arc<Context>,
    jitter: Arc<Jitter>,
    first_list: FirstList,
    /// `None` stands for all namespaces.
    scopes: Vec<Option<String>>,
    triggers: AllTriggers,
}

struct Starter<'a> {
    context: Arc<Context>,
    jitter: Arc<Jitter>,
    first_list: FirstList,
    watchdogs: &'a Arc<LoopWatchdogs>,
    health: &'a Arc<Health>,
    stop: &'a watch::Receiver<bool>,
}

impl Starter<'_> {
    fn start<K: Watched>(&self, tasks: &mut JoinSet<()>, scopes: Vec<Option<String>>, triggers: Triggers<K>) {
        let triggers = Arc::new(triggers);
        for scope in scopes {
            let (context, changed) = (self.context.clone(), triggers.clone());
            let listener = move |change: ObjectChange<'_, K>| match change {
                ObjectChange::Object(key, object) => changed.fire(&context, key, object, Queue::push),
                ObjectChange::Listed(key, object) => {
                    let rests = K::cache(&context.caches).rests(object);
                    let push = if rests { Queue::push_resting } else { Queue::push };
                    changed.fire(&context, key, Some(object), push);
                }
                ObjectChange::Malformed(key, malformed) => {
                    report_malformed::<K>(&context, key, malformed);
                    changed.fire(&context, key, None, Queue::push);
                }
            };
            let (context, listed, health) = (self.context.clone(), triggers.clone(), self.health.clone());
            let first = std::sync::Once::new();
            let synced = move || {
                first.call_once(|| health.synced());
                listed.listed(&context);
            };
            let watchdog = self.watchdogs.register(format!("the watch of {}", K::kind(&())));
            let api = K::api(self.context.api.client(), scope.as_deref());
            let cache = K::cache(&self.context.caches).clone();
            let feed = Feed { api, scope, cache, first_list: self.first_list };
            tasks.spawn(run(feed, listener, synced, self.jitter.clone(), watchdog, self.stop.clone()));
        }
    }
}

/// One malformed object harms nothing but itself, and is reported where people look.
fn report_malformed<K: Resource<DynamicType = ()>>(context: &Arc<Context>, key: &Key, malformed: &Malformed) {
    warn!(kind = %K::kind(&()), object = %key, error = %malformed.error, "malformed object; leaving it alone");
    let message =
        format!("this version of the operator cannot read it, and leaves it alone: {}", malformed.error);
    let (context, regarding) = (context.clone(), reference::<K>(&malformed.metadata));
    tokio::spawn(async move {
        let note = Note { warning: true, reason: Reason::Malformed.as_str(), message: &message };
        context.events.record_about(regarding, note).await;
    });
}

type AlsoMine = dyn Fn(&Key) -> bool + Send + Sync;
type Start = dyn FnOnce(&mut JoinSet<()>, Runner, watch::Receiver<bool>) + Send;

/// A controller that runs here, registered and not started.
pub(crate) struct Registered {
    name: ControllerName,
    queue: Arc<Queue>,
    shard: Shard,
    also_mine: Option<Arc<AlsoMine>>,
    start: Box<Start>,
}

/// The controllers that run here.
pub(crate) struct Registry {
    context: Arc<Context>,
    shared: Shared,
    availability: Availability,
    triggers: AllTriggers,
    controllers: Vec<Registered>,
}

/// Whether an object was made anew or has another spec; its deletion is a change of that kind.
pub(crate) fn spec_differs<K: ResourceExt>(old: &K, new: &K) -> bool {
    old.meta().uid != new.meta().uid || old.meta().generation != new.meta().generation
}

/// Registers one controller.
pub(crate) struct Registration<'a> {
    context: Arc<Context>,
    shared: Shared,
    availability: Availability,
    triggers: &'a mut AllTriggers,
    name: ControllerName,
    queue: Arc<Queue>,
    also_mine: Option<Arc<AlsoMine>>,
}

impl Registration<'_> {
    /// The shared context.
    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// What several controllers share.
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Which controllers are available.
    pub(crate) fn availability(&self) -> &Availability {
        &self.availability
    }

    /// Also these keys are this replica's, whoever's shard they are.
    pub(crate) fn also_mine(&mut self, is_mine: impl Fn(&Key) -> bool + Send + Sync + 'static) {
        self.also_mine = Some(Arc::new(is_mine));
    }

    /// Has the keys that `select` names look again after every change of a `K`.
    pub(crate) fn on<K: Watched>(
        &mut self,
        select: impl Fn(&Context, &Changed<'_, K>) -> Vec<Key> + Send + Sync + 'static,
    ) {
        self.trigger::<K>(When::Always, Box::new(select));
    }

    /// The same, when a `K` has come or gone, or its old copy `differs` from the new one in what the controller looks at. A
    /// change that the cache has had from an own write or a live read before the watch brought it counts, too, and one that
    /// was undone meanwhile.
    pub(crate) fn on_difference<K: Watched>(
        &mut self,
        differs: fn(&K, &K) -> bool,
        select: impl Fn(&Context, &Changed<'_, K>) -> Vec<Key> + Send + Sync + 'static,
    ) {
        let difference = K::cache(&self.context.caches).difference(differs);
        self.trigger::<K>(When::Different(difference), Box::new(select));
    }

    /// The same, when its spec is another, or it was made anew.
    pub(crate) fn on_spec_change<K: Watched>(
        &mut self,
        select: impl Fn(&Context, &Changed<'_, K>) -> Vec<Key> + Send + Sync + 'static,
    ) {
        self.on_difference(spec_differs::<K>, select);
    }

    fn trigger<K: Watched>(&mut self, when: When, select: Box<Select<K>>) {
        let queue = self.queue.clone();
        K::triggers(self.triggers).on_change.push(Trigger { queue, when, select });
    }

    /// Has the keys that `select` names look again after every complete list of `K`, the first one or a new one.
    pub(crate) fn on_list<K: Watched>(
        &mut self,
        select: impl Fn(&Context) -> Vec<Key> + Send + Sync + 'static,
    ) {
        let queue = self.queue.clone();
        K::triggers(self.triggers).on_list.push((queue, Box::new(select)));
    }

    /// What reconciles its keys, and whose shard a key is.
    pub(crate) fn run(self, shard: Shard, reconciler: impl Reconciler) -> Registered {
        let Self { name, queue, also_mine, .. } = self;
        let start = move |tasks: &mut JoinSet<()>, runner: Runner, stop: watch::Receiver<bool>| {
            tasks.spawn(runner::run(Arc::new(reconciler), runner, stop));
        };
        Registered { name, queue, shard, also_mine, start: Box::new(start) }
    }
}

impl Registry {
    /// Nothing registered yet.
    pub(crate) fn new(context: Arc<Context>, shared: Shared, availability: Availability) -> Self {
        Self { context, shared, availability, triggers: AllTriggers::default(), controllers: Vec::new() }
    }

    /// Registers a controller, if it runs here.
    pub(crate) fn register(&mut self, controller: &Controller) {
        let Some(queue) = self.context.queues.of(controller.name) else { return };
        let registration = Registration {
            context: self.context.clone(),
            shared: self.shared.clone(),
            availability: self.availability.clone(),
            triggers: &mut self.triggers,
            name: controller.name,
            queue,
            also_mine: None,
        };
        self.controllers.push((controller.register)(registration));
    }

    /// The watches, over `namespaces` or all, and the controllers that they wake.
    pub(crate) fn into_parts(
        self,
        namespaces: &[String],
        jitter: Arc<Jitter>,
        first_list: FirstList,
    ) -> (Watches, Controllers) {
        let mut scopes: Vec<Option<String>> = namespaces.iter().cloned().map(Some).collect();
        if scopes.is_empty() {
            scopes.push(None);
        }
        let Self { context, triggers, controllers, .. } = self;
        let watches = Watches { context: context.clone(), jitter, first_list, scopes, triggers };
        (watches, Controllers { context, controllers })
    }
}

/// The controllers that run here, registered and not started.
pub(crate) struct Controllers {
    context: Arc<Context>,
    controllers: Vec<Registered>,
}

impl Controllers {
    /// Whose shards the keys of each are.
    pub(crate) fn acquirers(&self) -> Vec<Acquirer> {
        let acquirer = |known: &Registered| Acquirer { controller: known.name, shard: known.shard };
        self.controllers.iter().map(acquirer).collect()
    }

    /// Starts them all.
    pub(crate) fn start(
        self,
        tasks: &mut JoinSet<()>,
        sharding: &Arc<Sharding>,
        jitter: &Arc<Jitter>,
        watchdogs: &Arc<LoopWatchdogs>,
        stop: &watch::Receiver<bool>,
    ) {
        let Self { context, controllers } = self;
        let concurrency = context.settings.concurrency;
        for Registered { name, queue, shard, also_mine, start } in controllers {
            let (shared, sharding) = (context.clone(), sharding.clone());
            let is_mine = move |key: &Key| {
                also_mine.as_ref().is_some_and(|also| also(key))
                    || shard.is_mine(&shared, &sharding, name, key)
            };
            let runner = Runner {
                queue,
                is_mine: Arc::new(is_mine),
                limits: Limits { concurrency, ..Limits::default() },
                metrics: context.metrics.clone(),
                jitter: jitter.clone(),
                watchdog: watchdogs.register(format!("the {} controller", name.as_str())),
            };
            start(tasks, runner, stop.clone());
        }
    }
}
