//! Idempotency keys as Toss keeps them: the first answer is replayed for the same key, API key, method and URL.
//!
//! The body is **not** part of the match. While the first request runs, a second is told so (409). What counts as
//! an answer worth keeping is the caller's decision ([`Keys::finish`] or [`Keys::forget`]); nothing here does I/O
//! or reads a clock.
//!
//! Source: <https://docs.tosspayments.com/guides/using-api/idempotency-key>.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

/// The longest key that is accepted, in characters.
pub const MAX_KEY_CHARS: usize = 300;

/// What an answer is kept under.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scope {
    /// The `Idempotency-Key` header.
    pub key: String,
    /// The secret key that authenticated the request.
    pub api_key: String,
    /// The HTTP method.
    pub method: &'static str,
    /// The URL's path, as sent.
    pub path: String,
}

/// An answer as it goes over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// JSON text.
    pub body: String,
    /// `Retry-After`, in seconds.
    pub retry_after_seconds: Option<u64>,
}

/// What to do with a request that carries a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// It is the first: execute it, then [`Keys::finish`] or [`Keys::forget`].
    Execute,
    /// The first still runs.
    InProgress,
    /// The first was answered thus.
    Replay(Answer),
}

#[derive(Debug)]
struct Record {
    first_used: Timestamp,
    /// None while the first request runs.
    answer: Option<Answer>,
}

/// The keys in use.
#[derive(Debug)]
pub struct Keys {
    retention: Duration,
    records: HashMap<Scope, Record>,
    /// Every record in order of first use, to purge the expired without a scan.
    by_age: VecDeque<(Timestamp, Scope)>,
}

impl Keys {
    /// No keys yet; each will be kept for `retention` from its first use.
    pub fn new(retention: Duration) -> Self {
        Self { retention, records: HashMap::new(), by_age: VecDeque::new() }
    }

    /// Admits a request. After [`Admission::Execute`] the key counts as running.
    pub fn begin(&mut self, scope: &Scope, now: Timestamp) -> Admission {
        self.purge(now);
        match self.records.get(scope) {
            Some(Record { answer: None, .. }) => Admission::InProgress,
            Some(Record { answer: Some(answer), .. }) => Admission::Replay(answer.clone()),
            None => {
                self.insert(scope.clone(), now, None);
                Admission::Execute
            }
        }
    }

    /// The running request of `scope` was answered, and the answer is to be replayed.
    pub fn finish(&mut self, scope: &Scope, answer: Answer) {
        if let Some(record) = self.records.get_mut(scope) {
            record.answer = Some(answer);
        }
    }

    /// The running request of `scope` ended without an answer worth keeping: the next one executes.
    pub fn forget(&mut self, scope: &Scope) {
        self.records.remove(scope);
    }

    /// Puts an answer back that was given before a restart.
    pub fn restore(&mut self, scope: Scope, answer: Answer, first_used: Timestamp) {
        self.insert(scope, first_used, Some(answer));
    }

    /// Forgets all keys.
    pub fn clear(&mut self) {
        self.records.clear();
        self.by_age.clear();
    }

    fn insert(&mut self, scope: Scope, first_used: Timestamp, answer: Option<Answer>) {
        self.by_age.push_back((first_used, scope.clone()));
        self.records.insert(scope, Record { first_used, answer });
    }

    fn purge(&mut self, now: Timestamp) {
        while let Some((first_used, scope)) = self.by_age.front() {
            if now.duration_since(*first_used).unsigned_abs() < self.retention || *first_used > now {
                return;
            }
            // A key forgotten and used anew has a younger record; one that still runs must stay.
            match self.records.get(scope) {
                Some(record) if record.first_used == *first_used && record.answer.is_none() => return,
                Some(record) if record.first_used == *first_used => {
                    self.records.remove(scope);
                }
                _ => {}
            }
            self.by_age.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(key: &str) -> Scope {
        Scope { key: key.into(), api_key: "sk".into(), method: "POST", path: "/v1/payments/confirm".into() }
    }

    fn answer(status: u16) -> Answer {
        Answer { status, body: "{}".into(), retry_after_seconds: None }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn keys() -> Keys {
        Keys::new(Duration::from_secs(10))
    }

    #[test]
    fn the_first_executes_the_second_waits_and_the_third_gets_the_first_answer() {
        let mut keys = keys();
        assert_eq!(keys.begin(&scope("a"), at(0)), Admission::Execute);
        assert_eq!(keys.begin(&scope("a"), at(1)), Admission::InProgress);
        keys.finish(&scope("a"), answer(403));
        assert_eq!(keys.begin(&scope("a"), at(2)), Admission::Replay(answer(403)));
    }

    #[test]
    fn another_api_key_method_or_path_is_another_scope() {
        let mut keys = keys();
        keys.begin(&scope("a"), at(0));
        for other in [
            Scope { api_key: "sk2".into(), ..scope("a") },
            Scope { method: "PUT", ..scope("a") },
            Scope { path: "/v1/payments/x/cancel".into(), ..scope("a") },
        ] {
            assert_eq!(keys.begin(&other, at(0)), Admission::Execute);
        }
    }

    #[test]
    fn retention_counts_from_the_first_use_and_then_the_key_executes_anew() {
        let mut keys = keys();
        keys.begin(&scope("a"), at(0));
        keys.finish(&scope("a"), answer(200));
        assert_eq!(keys.begin(&scope("a"), at(9)), Admission::Replay(answer(200)));
        assert_eq!(keys.begin(&scope("a"), at(10)), Admission::Execute);
    }

    #[test]
    fn a_request_that_still_runs_never_expires() {
        let mut keys = keys();
        keys.begin(&scope("a"), at(0));
        assert_eq!(keys.begin(&scope("a"), at(1000)), Admission::InProgress);
    }

    #[test]
    fn a_forgotten_key_executes_again_and_keeps_its_new_age() {
        let mut keys = keys();
        keys.begin(&scope("a"), at(0));
        keys.forget(&scope("a"));
        assert_eq!(keys.begin(&scope("a"), at(5)), Admission::Execute);
        keys.finish(&scope("a"), answer(200));
        assert_eq!(keys.begin(&scope("a"), at(12)), Admission::Replay(answer(200)));
        assert_eq!(keys.begin(&scope("a"), at(15)), Admission::Execute);
    }
}
