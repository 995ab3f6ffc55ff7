//! Idempotency keys: the first answer to a key is replayed, and while the first request runs, a second is told so.
//!
//! The dialects differ in what makes two requests the same, which is their [`Policy`]. What counts as an answer
//! worth keeping is the caller's decision ([`Keys::finish`] or [`Keys::forget`]); nothing here does I/O or reads a
//! clock.
//!
//! Sources: <https://docs.tosspayments.com/guides/using-api/idempotency-key>,
//! <https://docs.stripe.com/api/idempotent_requests>.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

/// What makes two requests with the same key the same request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Toss: API key, method and path. The body is **not** part of the match; with another path, a key is another
    /// key.
    PerEndpoint,
    /// Stripe: a key is one key in the whole account (API key); with another path or other parameters it is
    /// refused.
    PerAccount,
}

/// An idempotency key as a request presents it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    /// The `Idempotency-Key` header.
    pub key: String,
    /// The secret key that authenticated the request.
    pub api_key: String,
    /// The HTTP method.
    pub method: &'static str,
    /// The URL's path, as sent.
    pub path: String,
    /// The body's parameters in an order of their own, so that equal ones are equal text.
    pub parameters: String,
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
    /// Whether it was given before.
    pub replayed: bool,
}

impl Answer {
    /// An answer given for the first time.
    pub fn new(status: u16, body: String) -> Self {
        Self { status, body, retry_after_seconds: None, replayed: false }
    }
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
    /// The first was another request.
    Mismatch,
}

/// What an answer is kept under.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Scope {
    key: String,
    api_key: String,
    /// Method and path, where they are part of the scope.
    endpoint: Option<(&'static str, String)>,
}

/// What the first request of a key was, to recognise it by.
#[derive(Debug)]
enum First {
    /// The scope says it all.
    InScope,
    /// This path, with these parameters.
    Exactly { path: String, parameters: String },
    /// One of these paths; the parameters were lost in a restart.
    OneOf(Vec<String>),
}

#[derive(Debug)]
struct Record {
    first_used: Timestamp,
    first: First,
    /// None while the first request runs.
    answer: Option<Answer>,
}

/// The keys in use in one dialect.
#[derive(Debug)]
pub struct Keys {
    policy: Policy,
    retention: Duration,
    records: HashMap<Scope, Record>,
    /// Every record in order of first use, to purge the expired without a scan.
    by_age: VecDeque<(Timestamp, Scope)>,
}

impl Keys {
    /// No keys yet; each will be kept for `retention` from its first use.
    pub fn new(policy: Policy, retention: Duration) -> Self {
        Self { policy, retention, records: HashMap::new(), by_age: VecDeque::new() }
    }

    /// Admits a request. After [`Admission::Execute`] the key counts as running.
    pub fn begin(&mut self, presented: &Presented, now: Timestamp) -> Admission {
        self.purge(now);
        let scope = self.policy.scope(presented);
        match self.records.get(&scope) {
            Some(record) if !record.first.is(presented) => Admission::Mismatch,
            Some(Record { answer: None, .. }) => Admission::InProgress,
            Some(Record { answer: Some(answer), .. }) => Admission::Replay(answer.clone()),
            None => {
                let first = self.policy.first(presented);
                self.insert(scope, Record { first_used: now, first, answer: None });
                Admission::Execute
            }
        }
    }

    /// The running request was answered, and the answer is to be replayed.
    pub fn finish(&mut self, presented: &Presented, answer: Answer) {
        if let Some(record) = self.records.get_mut(&self.policy.scope(presented)) {
            record.answer = Some(answer);
        }
    }

    /// The running request ended without an answer worth keeping: the next one executes.
    pub fn forget(&mut self, presented: &Presented) {
        self.records.remove(&self.policy.scope(presented));
    }

    /// Puts an answer back that was given before a restart, to a POST of one of `paths`.
    pub fn restore(&mut self, key: &str, api_key: &str, paths: &[String], answer: &Answer, at: Timestamp) {
        let scope = |endpoint| Scope { key: key.to_owned(), api_key: api_key.to_owned(), endpoint };
        let record = |first| Record { first_used: at, first, answer: Some(answer.clone()) };
        match self.policy {
            Policy::PerEndpoint => {
                for path in paths {
                    self.insert(scope(Some(("POST", path.clone()))), record(First::InScope));
                }
            }
            Policy::PerAccount => self.insert(scope(None), record(First::OneOf(paths.to_vec()))),
        }
    }

    /// Forgets all keys.
    pub fn clear(&mut self) {
        self.records.clear();
        self.by_age.clear();
    }

    fn insert(&mut self, scope: Scope, record: Record) {
        self.by_age.push_back((record.first_used, scope.clone()));
        self.records.insert(scope, record);
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

impl Policy {
    fn scope(self, presented: &Presented) -> Scope {
        let Presented { key, api_key, method, path, .. } = presented;
        let endpoint = (self == Self::PerEndpoint).then(|| (*method, path.clone()));
        Scope { key: key.clone(), api_key: api_key.clone(), endpoint }
    }

    fn first(self, presented: &Presented) -> First {
        let Presented { path, parameters, .. } = presented;
        match self {
            Self::PerEndpoint => First::InScope,
            Self::PerAccount => First::Exactly { path: path.clone(), parameters: parameters.clone() },
        }
    }
}

impl First {
    /// Only POST carries keys, so the method need not be compared.
    fn is(&self, presented: &Presented) -> bool {
        match self {
            Self::InScope => true,
            Self::Exactly { path, parameters } => {
                *path == presented.path && *parameters == presented.parameters
            }
            Self::OneOf(paths) => paths.contains(&presented.path),
        }
    }
}

#[cfg(test)]
#[path = "idempotency_tests.rs"]
mod tests;
