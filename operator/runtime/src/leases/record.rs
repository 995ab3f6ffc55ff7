//! What a Lease records of one controller: since when it has been available without a gap, and its last heartbeat. Pure.

use fooddelivery_units::{Millis, Timestamp};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use crate::time::micro_time;

/// Spans by which heartbeats are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LeaseTerms {
    /// Maximum age of a heartbeat; a controller without one for longer was away.
    pub(super) gap: Millis,
    /// Age from which on a heartbeat is renewed.
    pub(super) renewal: Millis,
}

impl LeaseTerms {
    /// Three heartbeats fit into the gap.
    pub(super) fn of(gap: Millis) -> Self {
        Self { gap, renewal: Millis(gap.0 / 3) }
    }
}

/// The availability of one controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LeaseRecord {
    /// Since when it has been available without a gap: `spec.acquireTime`.
    pub(super) since: Timestamp,
    /// Its last heartbeat: `spec.renewTime`.
    pub(super) seen: Timestamp,
}

impl LeaseRecord {
    /// From a Lease; `None` when it does not say.
    pub(super) fn of(lease: &Lease) -> Option<Self> {
        let spec = lease.spec.as_ref()?;
        let time = |at: &Option<MicroTime>| at.as_ref().map(|at| Timestamp(at.0.as_millisecond()));
        Some(Self { since: time(&spec.acquire_time)?, seen: time(&spec.renew_time)? })
    }

    /// Since when the controller has been available, if it still is. A heartbeat from the future is none: a clock was
    /// wrong, then or now.
    pub(super) fn available_since(self, now: Timestamp, terms: LeaseTerms) -> Option<Timestamp> {
        (self.seen.0.abs_diff(now.0) <= terms.gap.0.unsigned_abs()).then_some(self.since)
    }

    /// The next heartbeat, when it is due: after a gap availability begins anew.
    pub(super) fn renewed(known: Option<Self>, now: Timestamp, terms: LeaseTerms) -> Option<Self> {
        let Some(known) = known else { return Some(Self { since: now, seen: now }) };
        let recent = known.seen.0.abs_diff(now.0) < terms.renewal.0.unsigned_abs();
        (!recent).then(|| Self { since: known.available_since(now, terms).unwrap_or(now), seen: now })
    }

    /// As a Lease has it.
    pub(super) fn spec(self, holder: &str, terms: LeaseTerms) -> LeaseSpec {
        let seconds = terms.gap.0.saturating_add(999) / 1_000;
        LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            acquire_time: Some(micro_time(self.since)),
            renew_time: Some(micro_time(self.seen)),
            lease_duration_seconds: Some(i32::try_from(seconds).unwrap_or(i32::MAX).max(1)),
            ..LeaseSpec::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: LeaseTerms = LeaseTerms { gap: Millis::seconds(30), renewal: Millis::seconds(10) };

    fn at(seconds: i64) -> Timestamp {
        Timestamp(1_700_000_000_000) + Millis::seconds(seconds)
    }

    fn record(since: i64, seen: i64) -> LeaseRecord {
        LeaseRecord { since: at(since), seen: at(seen) }
    }

    #[test]
    fn a_controller_is_there_until_it_was_silent_for_a_gap() {
        assert_eq!(record(0, 100).available_since(at(130), TERMS), Some(at(0)));
        assert_eq!(record(0, 100).available_since(at(131), TERMS), None);
    }

    #[test]
    fn a_sign_of_life_from_the_future_is_none() {
        assert_eq!(record(0, 3_600).available_since(at(100), TERMS), None);
        assert_eq!(LeaseRecord::renewed(Some(record(0, 3_600)), at(100), TERMS), Some(record(100, 100)));
        assert_eq!(
            record(0, 102).available_since(at(100), TERMS),
            Some(at(0)),
            "two clocks are never quite the same"
        );
    }

    #[test]
    fn a_sign_of_life_is_given_only_when_the_last_one_is_old() {
        assert_eq!(LeaseRecord::renewed(Some(record(0, 100)), at(109), TERMS), None);
        assert_eq!(LeaseRecord::renewed(Some(record(0, 100)), at(110), TERMS), Some(record(0, 110)));
    }

    #[test]
    fn after_a_gap_the_working_time_begins_anew() {
        assert_eq!(LeaseRecord::renewed(None, at(5), TERMS), Some(record(5, 5)));
        assert_eq!(LeaseRecord::renewed(Some(record(0, 100)), at(130), TERMS), Some(record(0, 130)));
        assert_eq!(LeaseRecord::renewed(Some(record(0, 100)), at(131), TERMS), Some(record(131, 131)));
    }

    #[test]
    fn a_lease_keeps_it_to_the_millisecond() {
        let record = LeaseRecord { since: Timestamp(1_700_000_000_123), seen: Timestamp(1_700_000_010_456) };
        let lease = Lease { spec: Some(record.spec("me", TERMS)), ..Lease::default() };
        let text = serde_json::to_string(&lease).unwrap();
        assert_eq!(LeaseRecord::of(&serde_json::from_str(&text).unwrap()), Some(record));
        assert_eq!(lease.spec.unwrap().lease_duration_seconds, Some(30));
        assert_eq!(LeaseRecord::of(&Lease::default()), None);
    }
}
