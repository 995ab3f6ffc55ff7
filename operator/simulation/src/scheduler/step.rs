//! One step: what can happen now, and the choice of it.

use std::time::Duration;

use fooddelivery_api::kinds::{self, Scope};

use super::Scheduler;
use super::replicas::{Frozen, name};
use super::traffic::{REQUEST_OUTCOMES, RequestOutcome};
use crate::actors::{self, Act};
use crate::provider::{PROVIDER_FAULTS, ProviderFault};
use crate::world::What;

/// How likely the ordinary thing is, against the weights of a plan.
const ORDINARY: u32 = 50;

/// Weight of all watches freezing at once, against the watch of each kind alone.
const FREEZES_ALL: u32 = 6;

/// How long time passes at once, in milliseconds.
const SPANS_MS: [u64; 7] = [1_000, 50, 300, 5_000, 30_000, 120_000, 400_000];

impl Scheduler {
    /// Waits until nothing moves, and makes a choice.
    pub(super) async fn step(&mut self) {
        self.barrier().await;
        let (waiting, abandoned, undelivered) = self.traffic();
        let weights = self.plan.weights;
        let some = |there: bool, weight: u32| if there { weight } else { 0 };
        let choice = self.choices.pick(&[
            ORDINARY,
            some(!waiting.is_empty(), weights.overtake),
            some(!waiting.is_empty(), weights.fault),
            some(!undelivered.is_empty(), weights.event),
            weights.freeze,
            weights.broken,
            weights.act,
            weights.time,
            weights.crash,
            some(!abandoned.is_empty(), weights.abandoned),
        ]);
        match choice {
            1 => {
                let which = self.choices.one_of(waiting.len());
                let outcome = if self.choices.chance(30) {
                    RequestOutcome::AnswerLate
                } else {
                    RequestOutcome::Arrives
                };
                self.carry_out(waiting[which], outcome, ProviderFault::None);
            }
            2 => self.fault(&waiting),
            3 => {
                let which = self.choices.one_of(undelivered.len());
                let most = if self.plan.coalesces { usize::MAX } else { 1 };
                self.deliver(undelivered[which], most, self.plan.coalesces);
            }
            4 => self.freeze(),
            5 => self.break_watches(),
            6 => self.act(),
            7 => {
                let span = SPANS_MS[self.choices.pick(&[4, 3, 3, 3, 2, 2, 1])];
                self.pass(Duration::from_millis(span)).await;
            }
            8 => self.crash_somebody().await,
            9 => {
                let which = self.choices.one_of(abandoned.len());
                if self.choices.chance(40) {
                    self.lose(abandoned[which]);
                } else {
                    self.carry_out(abandoned[which], RequestOutcome::Arrives, ProviderFault::None);
                }
            }
            _ => self.ordinary(&waiting).await,
        }
    }

    /// What is on its way and waited for, what is not waited for, and watches with something to bring.
    fn traffic(&self) -> (Vec<u64>, Vec<u64>, Vec<u64>) {
        let world = self.shared.lock();
        let (mut waiting, mut abandoned) = (Vec::new(), Vec::new());
        for (number, pending) in &world.pending {
            if pending.is_abandoned() { abandoned.push(*number) } else { waiting.push(*number) }
        }
        let version = world.server.version();
        let undelivered =
            world.streams.iter().filter(|(_, s)| s.delivered != Some(version)).map(|(n, _)| *n).collect();
        (waiting, abandoned, undelivered)
    }

    /// The ordinary thing: events arrive, then what is on its way, then people act, then time passes.
    async fn ordinary(&mut self, waiting: &[u64]) {
        if self.deliver_all() {
            return;
        }
        if let Some(first) = waiting.first() {
            self.carry_out(*first, RequestOutcome::Arrives, ProviderFault::None);
        } else if !self.help() {
            self.pass(Duration::from_secs(1)).await;
        }
    }

    fn fault(&mut self, waiting: &[u64]) {
        let number = waiting[self.choices.one_of(waiting.len())];
        let is_call = {
            let world = self.shared.lock();
            world
                .pending
                .get(&number)
                .is_some_and(|p| matches!(p.what, What::Call { .. } | What::Message { .. }))
        };
        if is_call {
            let fault = PROVIDER_FAULTS[self.choices.pick(&[1, 4, 4, 2, 4, 2, 1, 1, 3, 3])];
            self.carry_out(number, RequestOutcome::Arrives, fault);
        } else {
            let outcome = REQUEST_OUTCOMES[self.choices.pick(&[1, 4, 2, 2, 1, 2])];
            self.carry_out(number, outcome, ProviderFault::None);
        }
    }

    fn somebody(&mut self) -> usize {
        self.choices.one_of(self.replicas.len())
    }

    /// A replica's watches bring nothing any more, all of them or those of one kind; or they go on.
    fn freeze(&mut self) {
        let replica = self.somebody();
        let Some(running) = self.replicas.get_mut(replica) else { return };
        let what = if running.frozen == Frozen::No {
            let kinds = kinds::plurals(|kind| kind.scope == Scope::Namespaced);
            let mut weights = vec![FREEZES_ALL];
            weights.extend(kinds.iter().map(|_| 1));
            let which = self.choices.pick(&weights);
            running.frozen = if which == 0 { Frozen::All } else { Frozen::Only(kinds[which - 1]) };
            format!("its watches freeze: {:?}", running.frozen)
        } else {
            running.frozen = Frozen::No;
            "its watches go on".into()
        };
        self.shared.lock().say(name(replica), || what);
    }

    /// A replica's watches end; with a compaction in between it has to list again.
    fn break_watches(&mut self) {
        let replica = self.somebody();
        let compacted = self.choices.chance(50);
        let mut world = self.shared.lock();
        world.say(name(replica), || {
            format!("its watches break{}", if compacted { ", and are gone" } else { "" })
        });
        if compacted {
            world.server.compact();
        }
        world.streams.retain(|_, stream| stream.replica != replica);
    }

    fn act(&mut self) {
        let acts = actors::possible(&self.shared.lock(), &self.plan, &self.placed);
        let cluster = self.choices.chance(15);
        if cluster || acts.is_empty() {
            self.kubernetes();
            return;
        }
        let weights: Vec<u32> = acts.iter().map(Act::weight).collect();
        let which = self.choices.pick(&weights);
        self.take(&acts[which].clone());
    }

    pub(super) fn take(&mut self, act: &Act) {
        actors::take(&mut self.shared.lock(), &self.plan, &mut self.placed, act);
    }

    /// The first helpful thing that somebody can do. False when there is none.
    pub(super) fn help(&mut self) -> bool {
        let acts = actors::possible(&self.shared.lock(), &self.plan, &self.placed);
        match acts.into_iter().find(Act::is_helpful) {
            Some(act) => {
                self.take(&act);
                true
            }
            None => false,
        }
    }

    /// Kubernetes' own controllers do what they have to. Says whether they had to.
    pub(super) fn kubernetes(&mut self) -> bool {
        let mut world = self.shared.lock();
        let (now, before) = (world.now(), world.server.version());
        world.server.collect_garbage(now);
        world.server.advance_namespaces(now);
        let any = world.server.version() != before;
        if any {
            world.say("kubernetes", || "collects garbage, clears namespaces".into());
            world.look();
        }
        any
    }

    async fn crash_somebody(&mut self) {
        let replica = self.somebody();
        let rewound = self.choices.pick(&[5, 2, 2, 1]);
        if rewound > 0 {
            let mut world = self.shared.lock();
            let back = [0, 3, 10, 30][rewound];
            // No list is as old as that: a watch from version 0 begins with what is there, in no order.
            let version = world.server.version().saturating_sub(back).max(1);
            world.rewound.insert(replica, version);
        }
        self.crash(replica).await;
        // It lists, and begins to watch where its lists were.
        self.barrier().await;
        self.shared.lock().rewound.remove(&replica);
        if rewound > 0
            && self.choices.chance(50)
            && let Some(running) = self.replicas.get_mut(replica)
        {
            running.frozen = Frozen::All;
        }
    }

    /// Everybody takes a few steps in peace, so that it does not always begin at the beginning.
    pub(super) async fn head_start(&mut self) {
        for _ in 0..self.plan.head_start {
            if !self.help() {
                break;
            }
            self.settle().await;
            self.pass(Duration::from_secs(1)).await;
            self.settle().await;
        }
    }
}
