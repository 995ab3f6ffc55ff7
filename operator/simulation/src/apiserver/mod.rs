//! An API server in memory: what the operator needs of one, with the semantics of a real one, and deterministic.
//!
//! [`Server`] is the core. It has no clock (the time is handed in), no randomness (uids come from a seeded counter),
//! no I/O, no threads and no tasks: the same requests give the same answers. Kinds, rules and policies come from the
//! [`Catalog`], which is compiled from the same source as the manifests of a real cluster; a thing in there that is
//! not simulated is an error, not an omission. What a client sees over HTTP is in [`service`]; how a request can be
//! made to fail, and a watch to lag, in [`faults`].
//!
//! Not simulated: authentication and authorisation (every user may do what the admission policies let them),
//! validation of the kinds of Kubernetes itself, tracking of managed fields (whether there are any is), conflicts and
//! removals of server-side apply, tables and partial metadata, API discovery.

mod catalog;
mod cause;
mod cel;
mod collect;
mod delete;
mod failure;
pub mod faults;
mod kinds;
mod metadata;
mod node;
mod patch;
mod place;
mod policies;
mod read;
mod request;
mod response;
mod rules;
mod schema;
mod selector;
mod server;
pub mod service;
mod store;
mod validation;
mod watch;
mod write;

pub use catalog::{Catalog, CatalogError};
pub use request::{Options, PatchKind, Request, Verb};
pub use response::Response;
pub use server::Server;
pub use watch::{Cursor, Pulled};
