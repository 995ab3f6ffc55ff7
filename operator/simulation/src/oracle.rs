//! What must hold after every step: the oracle looks at every write and every movement of money, and keeps the first
//! thing that is wrong, as a sentence.
//!
//! It knows the operator's promises, not its code: where it speaks of a status field, that field is part of a promise
//! (the recorded intent, the verdict, the end).

#![warn(clippy::wildcard_enum_match_arm)]

pub mod calls;
pub mod counts;
pub mod ends;
mod kind;
mod seen;
pub mod steps;

use std::collections::BTreeMap;

use fooddelivery_sandbox::ledger::EntryKind;

use crate::apiserver::Server;
use crate::objects::is_dying;
use crate::provider::Providers;
use kind::KINDS;
pub(crate) use kind::Kind;
pub use seen::Seen;

/// Something is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Which promise is broken; the same for the same kind of mistake.
    pub property: &'static str,
    /// How.
    pub sentence: String,
}

/// The money of one order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Money {
    captures: u32,
    captured: i64,
    refunded: i64,
}

impl Money {
    /// What is with the marketplace.
    pub(crate) fn net(self) -> i64 {
        self.captured - self.refunded
    }
}

/// When something happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moment {
    /// In which step of the scheduler's.
    pub step: u64,
    /// In milliseconds since the beginning.
    pub ms: i64,
}

/// What it has seen so far.
#[derive(Debug, Default)]
pub struct Oracle {
    /// Counts the scheduler's steps.
    pub step: u64,
    /// Milliseconds since the beginning.
    pub now_ms: i64,
    /// When the request was sent that is carried out: what its sender could know.
    pub sent: Moment,
    /// What is there, by kind and uid.
    seen: BTreeMap<(Kind, String), Seen>,
    /// Orders that were there, by uid, as they were last.
    gone: BTreeMap<String, Seen>,
    money: BTreeMap<String, Money>,
    entries: usize,
    /// Since when each order is being undone, or wants to be.
    undone_since: BTreeMap<String, Moment>,
    tally: counts::Tally,
    /// Whether orders that are settled are removed.
    pub removes: bool,
    broken: Option<Broken>,
}

impl Oracle {
    /// What is wrong, if something is.
    pub fn broken(&self) -> Option<&Broken> {
        self.broken.as_ref()
    }

    /// Says that something is wrong; the first thing counts.
    pub fn fail(&mut self, property: &'static str, sentence: String) {
        self.broken.get_or_insert(Broken { property, sentence });
    }

    /// Looks at everything that was written, or moved, since the last look.
    pub fn look(&mut self, server: &Server, providers: &Providers) {
        self.look_at_money(providers);
        self.tally.namespace_goes = is_dying(server);
        for &(kind, plural) in KINDS {
            let mut there: Vec<&str> = Vec::new();
            for object in server.objects(plural) {
                let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
                let version = object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
                there.push(uid);
                let key = (kind, uid.to_owned());
                if self.seen.get(&key).is_some_and(|seen| seen.version == version) {
                    continue;
                }
                let now = Seen::of(kind, object, version);
                let was = self.seen.insert(key, now.clone());
                self.changed(kind, uid, was.as_ref(), &now);
            }
            let vanished: Vec<String> = self
                .seen
                .keys()
                .filter(|(k, uid)| *k == kind && !there.contains(&uid.as_str()))
                .map(|(_, uid)| uid.clone())
                .collect();
            for uid in vanished {
                if let Some(last) = self.seen.remove(&(kind, uid.clone())) {
                    self.vanished(kind, &uid, &last);
                }
            }
        }
    }

    fn look_at_money(&mut self, providers: &Providers) {
        let entries = providers.entries();
        for entry in entries.iter().skip(self.entries) {
            let money = self.money.entry(entry.order_id.clone()).or_default();
            match entry.kind {
                EntryKind::Capture => {
                    money.captures += 1;
                    money.captured += entry.amount;
                }
                EntryKind::Refund => money.refunded += entry.amount,
            }
            let money = *money;
            self.moved(&entry.order_id, entry.kind, money);
        }
        self.entries = entries.len();
    }

    pub(crate) fn money_of(&self, order: &str) -> Money {
        self.money.get(order).copied().unwrap_or_default()
    }

    /// The order with this uid, while it is there.
    fn order(&self, uid: &str) -> Option<&Seen> {
        self.seen.get(&(Kind::Order, uid.to_owned()))
    }

    /// The child of a kind of an order.
    fn child(&self, kind: Kind, order: &str) -> Option<&Seen> {
        self.seen.iter().find(|((k, _), seen)| *k == kind && seen.of == order).map(|(_, seen)| seen)
    }

    /// Everything that is there.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Kind, &str, &Seen)> {
        self.seen.iter().map(|((kind, uid), seen)| (*kind, uid.as_str(), seen))
    }
}
