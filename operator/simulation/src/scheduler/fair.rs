//! Fair play: everything that is on its way arrives, watches deliver, the provider behaves, time passes. Then
//! everything has to come to its right end, and to rest.

use std::time::Duration;

use fooddelivery_api::for_each_kind;
use fooddelivery_runtime::{Cache, Key};

use super::Scheduler;
use super::replicas::{Frozen, name};
use super::traffic::RequestOutcome;
use crate::actors;
use crate::objects::{NAMESPACE, text};
use crate::oracle::counts::CAPACITY;
use crate::provider::ProviderFault;

/// What is done at once comes to its end.
pub const COMES_TO_REST: &str = "the operator comes to rest";
/// Caches follow.
pub const CACHES: &str = "the caches of every replica equal what is there";
/// Quiet means quiet.
pub const QUIET: &str = "a quiet system writes nothing";

/// More rounds than anything needs that comes to rest.
const ROUNDS: usize = 600;
/// Longer than any deadlines take, one after the other.
const LONGEST: Duration = Duration::from_hours(4);
/// Longer than anything waits that was tried in vain, and shorter than a claim that is not picked up.
const RELIEF: Duration = Duration::from_mins(1);
/// How long nothing may be written in the end.
const SILENCE: Duration = Duration::from_mins(10);

impl Scheduler {
    /// Lets everything that is on its way arrive, until nothing moves by itself.
    pub(super) async fn settle(&mut self) {
        for _ in 0..ROUNDS {
            self.barrier().await;
            let mut any = self.deliver_all();
            let waiting: Vec<u64> = self.shared.lock().pending.keys().copied().collect();
            for number in waiting {
                self.carry_out(number, RequestOutcome::Arrives, ProviderFault::None);
                any = true;
            }
            if !any || self.is_broken() {
                return;
            }
        }
        let mut world = self.shared.lock();
        world.oracle.fail(COMES_TO_REST, format!("after {ROUNDS} rounds it still asks and writes"));
    }

    pub(super) async fn play_fair(&mut self) {
        if self.is_broken() {
            return;
        }
        self.shared.lock().say("everybody", || "plays fair from here on".into());
        for running in &mut self.replicas {
            running.frozen = Frozen::No;
        }
        self.end_abandoned();
        actors::put_right(&mut self.shared.lock(), &self.plan, &mut self.placed);
        self.riders_are_relieved().await;
        let begun = tokio::time::Instant::now();
        loop {
            self.settle().await;
            if self.is_broken() {
                return;
            }
            if self.kubernetes() || (self.plan.helped && self.help()) {
                continue;
            }
            let is_over = self.shared.lock().oracle.unfinished().is_empty();
            if is_over || begun.elapsed() > LONGEST {
                break;
            }
            self.pass(Duration::from_mins(30)).await;
        }
        self.rests().await;
    }

    /// Whoever has more claims than they can carry loses what they have not picked up.
    async fn riders_are_relieved(&mut self) {
        self.settle().await;
        if self.shared.lock().oracle.overloaded().is_some() {
            self.wait(RELIEF).await;
        }
        let mut world = self.shared.lock();
        if let Some(who) = world.oracle.overloaded() {
            world.oracle.fail(CAPACITY, who);
        }
    }

    /// What crashed replicas had sent arrives or is lost at last.
    fn end_abandoned(&mut self) {
        let abandoned: Vec<u64> = {
            let world = self.shared.lock();
            world.pending.iter().filter(|(_, p)| p.is_abandoned()).map(|(n, _)| *n).collect()
        };
        for number in abandoned {
            if self.choices.chance(40) {
                self.lose(number);
            } else {
                self.carry_out(number, RequestOutcome::Arrives, ProviderFault::None);
            }
        }
    }

    async fn rests(&mut self) {
        // Counts may lag for a moment.
        self.wait(Duration::from_secs(5)).await;
        self.shared.lock().oracle.rests();
        self.compare_caches();
        self.compare_messages();
        if self.is_broken() {
            return;
        }
        let writes = self.writes;
        self.wait(SILENCE).await;
        if self.writes != writes {
            let more = self.writes - writes;
            self.shared.lock().oracle.fail(QUIET, format!("{more} writes while nobody did anything"));
        }
    }

    /// Lets time pass; what is on its way arrives.
    async fn wait(&mut self, time: Duration) {
        let end = tokio::time::Instant::now() + time;
        loop {
            self.settle().await;
            let left = end.saturating_duration_since(tokio::time::Instant::now());
            if left.is_zero() || self.is_broken() {
                return;
            }
            self.pass(left).await;
        }
    }

    fn compare_messages(&mut self) {
        if !self.plan.messages {
            return;
        }
        let mut world = self.shared.lock();
        let world = &mut *world;
        let mut namespaces = world.server.objects("namespaces");
        let stays = namespaces
            .any(|n| n["metadata"]["name"] == NAMESPACE && !n["metadata"]["deletionTimestamp"].is_string());
        world.oracle.all_told(&world.inbox, !stays);
    }

    fn compare_caches(&mut self) {
        let mut wrong = Vec::new();
        for (number, running) in self.replicas.iter().enumerate() {
            let caches = &running.context.caches;
            let mut compare = |plural: &str, cached: Vec<(String, u64)>| {
                let there = self.versions(plural);
                if there != cached {
                    wrong.push(format!("{}: {plural} {cached:?}, and there is {there:?}", name(number)));
                }
            };
            macro_rules! compare_all {
                ($($kind:ident: $cache:ident, $plural:literal, $scope:ident, { $($facts:tt)* };)+) => {
                    $(compare($plural, versions_of(&caches.$cache));)+
                };
            }
            for_each_kind!(compare_all);
        }
        if !wrong.is_empty() {
            self.shared.lock().oracle.fail(CACHES, wrong.join("; "));
        }
    }

    fn versions(&self, plural: &str) -> Vec<(String, u64)> {
        let world = self.shared.lock();
        let of = |object: &serde_json::Value| {
            let metadata = &object["metadata"];
            let key = Key::new(text(&metadata["namespace"]), text(&metadata["name"]));
            (key.to_string(), text(&metadata["resourceVersion"]).parse().unwrap_or(0))
        };
        let mut versions: Vec<(String, u64)> = world.server.objects(plural).map(of).collect();
        versions.sort();
        versions
    }
}

fn versions_of<K: kube::Resource<DynamicType = ()>>(cache: &Cache<K>) -> Vec<(String, u64)> {
    let mut versions: Vec<(String, u64)> =
        cache.versions().into_iter().map(|(key, version)| (key.to_string(), version)).collect();
    versions.sort();
    versions
}
