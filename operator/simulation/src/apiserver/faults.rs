//! What can go wrong between a client and the server, and what a watch can do to its client without being wrong: the
//! harness decides, request by request.
//!
//! A [`FaultPlan`] is asked before every request. [`super::service::Watches`] hold a client's watches back, or spoil
//! them. Nothing here draws random numbers: whoever implements [`FaultPlan`] owns the seed.

use std::time::Duration;

use super::request::Verb;

/// A request that is about to be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestInfo<'a> {
    /// The client's name, as given to [`super::service::Cluster::client`].
    pub client: &'a str,
    /// The user that it acts as.
    pub user: &'a str,
    /// What is to be done.
    pub verb: Verb,
    /// The kind, by plural.
    pub plural: &'a str,
    /// The namespace; empty for none.
    pub namespace: &'a str,
    /// The name; empty for none.
    pub name: &'a str,
    /// `status`, or empty.
    pub subresource: &'a str,
    /// How many requests this client had sent before.
    pub number: u64,
}

impl RequestInfo<'_> {
    /// Whether it may change something.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb, Verb::Get | Verb::List | Verb::Watch)
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fault {
    /// It is carried out.
    #[default]
    None,
    /// It is not carried out; this HTTP status is answered (429, 500, 503, 504 and their like), perhaps with the
    /// number of seconds after which it may be tried again.
    Status(u16, Option<u32>),
    /// The connection breaks before it is carried out.
    DropBefore,
    /// It is carried out, and then the connection breaks.
    DropAfter,
    /// It is carried out after this time, unless the client has given up by then.
    Delay(Duration),
}

/// The faults between clients and the server.
pub trait FaultPlan: Send + Sync {
    /// What becomes of this request. It is called once for each, when it arrives; it must not use the cluster.
    fn before(&self, request: &RequestInfo<'_>) -> Fault {
        let _ = request;
        Fault::None
    }

    /// How many events a watch of `plural` may bring to `client` now. Where it says fewer than there are, the rest
    /// comes when it is asked again: at the next write, or at [`super::service::Cluster::nudge`].
    fn watch_may_deliver(&self, client: &str, plural: &str) -> usize {
        let _ = (client, plural);
        usize::MAX
    }
}

/// Nothing goes wrong.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFaults;

impl FaultPlan for NoFaults {}

/// How the watches of one kind by one client are.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct WatchState {
    /// How many more events may come; `None`: all.
    pub(super) allowance: Option<usize>,
    pub(super) coalesce: bool,
    /// The next watch that begins finds its resourceVersion gone.
    pub(super) is_gone: bool,
    /// A running watch whose epoch is another one is over.
    pub(super) epoch: u64,
    /// Lists are as they were at this version.
    pub(super) rewound: Option<u64>,
    /// A running watch whose count of bookmarks is lower owes one.
    pub(super) bookmarks: u64,
}
