//! Rendezvous hashing (highest random weight) over the live replicas. Pure.
//!
//! Each replica scores each uid with a hash of both, and the highest score owns it: all who know the same replicas agree
//! without a word, and when one comes or goes only its own share moves.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

/// A replica, and what it works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// The controllers that run in it, as in `--controllers`.
    pub controllers: BTreeSet<String>,
    /// The namespaces that it watches; empty: all.
    pub namespaces: BTreeSet<String>,
}

impl Member {
    fn works_on(&self, controller: &str, namespace: &str) -> bool {
        self.controllers.contains(controller)
            && (self.namespaces.is_empty() || self.namespaces.contains(namespace))
    }

    fn score(&self, uid: &str) -> u64 {
        let mut hash = Sha256::new();
        hash.update(self.name.as_bytes());
        hash.update([0]);
        hash.update(uid.as_bytes());
        hash.finalize().iter().take(8).fold(0, |score, byte| score << 8 | u64::from(*byte))
    }
}

/// The replicas that share the work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rendezvous {
    members: Vec<Member>,
}

impl Rendezvous {
    /// Of these members.
    pub fn new(mut members: Vec<Member>) -> Self {
        members.sort_by(|a, b| a.name.cmp(&b.name));
        members.dedup_by(|a, b| a.name == b.name);
        Self { members }
    }

    /// Their names, sorted.
    pub fn names(&self) -> Vec<&str> {
        self.members.iter().map(|member| &*member.name).collect()
    }

    /// The one of those which run a controller for a namespace that has the object of a uid; `None` when there is none.
    pub fn owner(&self, controller: &str, namespace: &str, uid: &str) -> Option<&str> {
        let mut able = self.members.iter().filter(|member| member.works_on(controller, namespace));
        let first = able.next()?;
        // Most have one member.
        let rest: Vec<&Member> = able.collect();
        if rest.is_empty() {
            return Some(&first.name);
        }
        let all = std::iter::once(first).chain(rest);
        all.max_by_key(|member| member.score(uid)).map(|member| &*member.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str) -> Member {
        let controllers = ["alpha".to_owned(), "beta".to_owned()].into();
        Member { name: name.into(), controllers, namespaces: BTreeSet::new() }
    }

    fn rendezvous(names: &[&str]) -> Rendezvous {
        Rendezvous::new(names.iter().map(|name| member(name)).collect())
    }

    fn uids() -> impl Iterator<Item = String> {
        (0..3_000).map(|n| format!("5d2a-{n}"))
    }

    #[test]
    fn all_agree_in_whichever_sequence_they_heard_of_each_other() {
        let (one, other) = (rendezvous(&["a", "b", "c"]), rendezvous(&["c", "a", "b", "a"]));
        assert_eq!(one, other);
        assert!(uids().all(|uid| one.owner("alpha", "food", &uid) == other.owner("beta", "food", &uid)));
    }

    #[test]
    fn three_have_about_a_third_each() {
        let rendezvous = rendezvous(&["a", "b", "c"]);
        for name in ["a", "b", "c"] {
            let share = uids().filter(|uid| rendezvous.owner("alpha", "food", uid) == Some(name)).count();
            assert!((900..=1_100).contains(&share), "{name} has {share} of 3000");
        }
    }

    #[test]
    fn when_one_goes_only_its_own_share_moves() {
        let (three, two) = (rendezvous(&["a", "b", "c"]), rendezvous(&["a", "b"]));
        for uid in uids() {
            let before = three.owner("alpha", "food", &uid);
            let after = two.owner("alpha", "food", &uid);
            assert!(before == after || before == Some("c"), "{uid}: {before:?}, then {after:?}");
        }
    }

    #[test]
    fn only_who_runs_the_controller_for_the_namespace_has_it() {
        let cook = Member { controllers: ["gamma".to_owned()].into(), ..member("cook") };
        let local = Member { namespaces: ["food".to_owned()].into(), ..member("local") };
        let rendezvous = Rendezvous::new(vec![cook, local]);
        for uid in uids().take(50) {
            assert_eq!(rendezvous.owner("gamma", "food", &uid), Some("cook"));
            assert_eq!(rendezvous.owner("alpha", "food", &uid), Some("local"));
            assert_eq!(rendezvous.owner("alpha", "elsewhere", &uid), None);
        }
    }
}
