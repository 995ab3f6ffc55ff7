//! Which replicas are there, by the Leases that they renew. Pure.
//!
//! A replica is gone when its Lease was seen unchanged for as long as the Lease says. That is measured on the observer's
//! own clock, from when it saw the last change; clocks of two machines are compared only for Leases that were there
//! before the observer.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use fooddelivery_units::{Millis, Timestamp};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use crate::sharding::rendezvous::Member;
use crate::time::micro_time;

/// What the Leases of replicas are called and carry, of one operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseNames {
    /// Label on every one of the Leases.
    pub label: (&'static str, &'static str),
    /// How their names begin.
    pub prefix: &'static str,
    /// Annotation with the controllers that run in the replica.
    pub controllers: &'static str,
    /// Annotation with the namespaces that it watches.
    pub namespaces: &'static str,
}

/// Maximum distance of two machines' clocks.
const SKEW_MAX: Millis = Millis::seconds(2);

/// How long a Lease is kept after it has lapsed; then it is removed, as its replica comes back under another name.
const LAPSED_LEASE_AGE_MAX: Millis = Millis::seconds(60);

/// The name of a replica's Lease: what is no name of an object becomes one.
pub(super) fn lease_name(names: LeaseNames, replica: &str) -> String {
    let plain = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' };
    let name: String = replica.to_ascii_lowercase().chars().map(plain).collect();
    let name: String = name.chars().take(200).collect();
    let name = match name.trim_matches('-') {
        "" => "unnamed",
        name => name,
    };
    format!("{}{name}", names.prefix)
}

/// A replica's Lease, as it stands after a renewal.
pub(super) fn lease(names: LeaseNames, member: &Member, now: Timestamp, duration: Millis) -> Lease {
    let words = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(",");
    let annotations = BTreeMap::from([
        (names.controllers.to_owned(), words(&member.controllers)),
        (names.namespaces.to_owned(), words(&member.namespaces)),
    ]);
    let seconds = duration.0.saturating_add(999) / 1_000;
    Lease {
        metadata: ObjectMeta {
            name: Some(lease_name(names, &member.name)),
            labels: Some([(names.label.0.to_owned(), names.label.1.to_owned())].into()),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(member.name.clone()),
            renew_time: Some(micro_time(now)),
            lease_duration_seconds: Some(i32::try_from(seconds).unwrap_or(i32::MAX).max(1)),
            ..LeaseSpec::default()
        }),
    }
}

fn member(names: LeaseNames, lease: &Lease) -> Option<Member> {
    let words = |key: &str| -> BTreeSet<String> {
        let text = lease.annotations().get(key).map_or("", String::as_str);
        text.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let name = lease.spec.as_ref()?.holder_identity.clone()?;
    Some(Member { name, controllers: words(names.controllers), namespaces: words(names.namespaces) })
}

fn renewed_at(lease: &Lease) -> Option<Timestamp> {
    let at = lease.spec.as_ref()?.renew_time.as_ref()?;
    Some(Timestamp(at.0.as_millisecond()))
}

fn duration(lease: &Lease) -> Millis {
    let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds).unwrap_or(0);
    Millis::seconds(i64::from(seconds.max(1)))
}

/// Whether a Lease lapsed so long ago that it may be removed. By its own time: one of an hour is not lapsed after a minute.
pub(super) fn is_abandoned(lease: &Lease, now: Timestamp) -> bool {
    let kept_for = duration(lease).0.saturating_add(LAPSED_LEASE_AGE_MAX.0);
    renewed_at(lease).is_none_or(|at| now.0.saturating_sub(at.0) > kept_for)
}

/// The last change of a Lease that was seen.
struct Sighting {
    renewed: Option<Timestamp>,
    /// On the observer's own clock, in milliseconds; `None`: it was there before, and had lapsed.
    at_ms: Option<i64>,
}

/// The live replicas, as one of them sees it.
pub(super) struct Membership {
    names: LeaseNames,
    sightings: HashMap<String, Sighting>,
    /// Since when the API server has answered without a gap. While it does not, nobody can renew, and nobody is gone.
    answered_since_ms: Option<i64>,
}

impl Membership {
    /// Nobody was seen yet.
    pub(super) fn new(names: LeaseNames) -> Self {
        Self { names, sightings: HashMap::new(), answered_since_ms: None }
    }

    /// The API server does not answer.
    pub(super) fn api_unreachable(&mut self) {
        self.answered_since_ms = None;
    }

    /// The live replicas, by these Leases. `wall` is compared with what other machines wrote, `now_ms` is this process's
    /// own time.
    pub(super) fn members<'a>(
        &mut self,
        leases: impl IntoIterator<Item = &'a Lease>,
        wall: Timestamp,
        now_ms: i64,
    ) -> Vec<Member> {
        let answered_since = *self.answered_since_ms.get_or_insert(now_ms);
        let mut sightings = HashMap::new();
        let mut there = Vec::new();
        for lease in leases {
            let Some(member) = member(self.names, lease) else { continue };
            let (name, renewed, lasts) = (lease.name_any(), renewed_at(lease), duration(lease));
            let at_ms = match self.sightings.remove(&name) {
                Some(known) if known.renewed == renewed => known.at_ms,
                Some(_) => Some(now_ms),
                None => {
                    let lapsed = renewed.is_none_or(|at| wall.0 - at.0 > lasts.0 + SKEW_MAX.0);
                    (!lapsed).then_some(now_ms)
                }
            };
            if at_ms.is_some_and(|at| now_ms - at.max(answered_since) <= lasts.0) {
                there.push(member);
            }
            sightings.insert(name, Sighting { renewed, at_ms });
        }
        self.sightings = sightings;
        there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: LeaseNames = LeaseNames {
        label: ("component", "replica"),
        prefix: "replica.",
        controllers: "controllers",
        namespaces: "namespaces",
    };
    const WALL: i64 = 1_700_000_000_000;

    fn of(name: &str, renewed_s: i64) -> Lease {
        let member = Member {
            name: name.into(),
            controllers: ["alpha".to_owned()].into(),
            namespaces: ["food".to_owned(), "more".to_owned()].into(),
        };
        lease(NAMES, &member, Timestamp(WALL + renewed_s * 1_000), Millis::seconds(9))
    }

    fn names(membership: &mut Membership, leases: &[Lease], at_s: i64) -> Vec<String> {
        let there = membership.members(leases, Timestamp(WALL + at_s * 1_000), at_s * 1_000);
        there.into_iter().map(|member| member.name).collect()
    }

    #[test]
    fn a_lease_says_who_it_is_and_what_it_works_on() {
        let text = serde_json::to_string(&of("pod-1", 0)).unwrap();
        let read = member(NAMES, &serde_json::from_str(&text).unwrap()).unwrap();
        assert_eq!((&*read.name, read.controllers.len(), read.namespaces.len()), ("pod-1", 1, 2));
        assert_eq!(lease_name(NAMES, "Host_1.local-"), "replica.host-1-local");
    }

    #[test]
    fn who_renews_is_there_and_who_does_not_is_gone_after_the_leases_time() {
        let mut membership = Membership::new(NAMES);
        assert_eq!(names(&mut membership, &[of("a", 0), of("b", 0)], 0), ["a", "b"]);
        assert_eq!(names(&mut membership, &[of("a", 6), of("b", 0)], 6), ["a", "b"]);
        assert_eq!(names(&mut membership, &[of("a", 9), of("b", 0)], 9), ["a", "b"]);
        assert_eq!(names(&mut membership, &[of("a", 9), of("b", 0)], 10), ["a"]);
        assert_eq!(names(&mut membership, &[of("a", 9), of("b", 11)], 11), ["a", "b"], "it is back");
        assert_eq!(names(&mut membership, &[of("a", 9)], 11), ["a"], "it has left");
    }

    #[test]
    fn a_lease_that_had_lapsed_before_is_nobodys_until_it_is_renewed() {
        let mut membership = Membership::new(NAMES);
        assert_eq!(names(&mut membership, &[of("old", -60)], 0), Vec::<String>::new());
        assert_eq!(names(&mut membership, &[of("old", 1)], 1), ["old"]);
    }

    #[test]
    fn a_lease_is_removed_a_minute_after_it_has_lapsed_however_long_it_lasts() {
        let minutes = |minutes: i64| Timestamp(WALL + minutes * 60_000);
        let member = Member { name: "a".into(), controllers: BTreeSet::new(), namespaces: BTreeSet::new() };
        let of_an_hour = lease(NAMES, &member, Timestamp(WALL), Millis::seconds(3_600));
        assert!(!is_abandoned(&of_an_hour, minutes(19)), "it is renewed every twenty minutes");
        assert!(!is_abandoned(&of_an_hour, minutes(61)));
        assert!(is_abandoned(&of_an_hour, minutes(62)));
        assert!(!is_abandoned(&of("b", 0), minutes(1)));
        assert!(is_abandoned(&of("b", 0), minutes(2)));
        let never_renewed = Lease { spec: None, ..of("c", 0) };
        assert!(is_abandoned(&never_renewed, minutes(0)));
    }

    #[test]
    fn a_clock_that_is_wrong_is_no_reason_to_be_gone() {
        let mut membership = Membership::new(NAMES);
        // It renews, an hour late by this machine's clock.
        names(&mut membership, &[of("late", -3_600)], 0);
        for at in 1..40 {
            assert_eq!(names(&mut membership, &[of("late", at - 3_600)], at), ["late"]);
        }
    }

    #[test]
    fn while_the_api_server_does_not_answer_nobody_is_gone() {
        let mut membership = Membership::new(NAMES);
        names(&mut membership, &[of("a", 0)], 0);
        membership.api_unreachable();
        assert_eq!(names(&mut membership, &[of("a", 0)], 60), ["a"], "it could not renew either");
        assert_eq!(names(&mut membership, &[of("a", 0)], 70), Vec::<String>::new());
    }
}
