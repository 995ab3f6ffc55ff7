//! A real control plane with the operator and the sandbox as processes: for the tests, and for
//! the programs of `operator/tools`.
//!
//! A test asks for a [`TestCluster`] (the shared one, started at the first call, or one to itself) and on it for a
//! [`TestNamespace`] (a namespace with its own sandbox, payment provider and operator):
//!
//! ```no_run
//! # async fn test() -> anyhow::Result<()> {
//! use fooddelivery_e2e::{LONG, OrderPhase, TestCluster, TicketStage};
//!
//! let ns = TestCluster::shared().await?.namespace("happy").await?;
//! ns.order("lunch", |_| {}).await?;
//! ns.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
//! ns.move_ticket("lunch", TicketStage::Accepted).await?;
//! ns.operator.kill_hard()?;
//! ns.operator.restart().await?;
//! ns.wait_phase("lunch", OrderPhase::Accepted, LONG).await?;
//! ns.audit().await?;
//! # Ok(())
//! # }
//! ```
//!
//! The harness acts as an administrator and observes; the operator runs as its own service account, with the
//! permissions of the manifests and no others. Everything that fails says what was waited for and shows the objects
//! and the end of the operator's log. All processes die with this one, however it ends.

pub mod access;
mod actions;
pub mod audit;
pub mod binaries;
pub mod cluster;
pub mod crash;
mod daemon;
pub mod etcd;
mod exclusive;
mod http;
pub mod identity;
pub mod images;
pub mod install;
pub mod market;
pub mod metrics;
mod names;
pub mod namespace;
pub mod operator;
pub mod requests;
pub mod samples;
pub mod sandbox;
mod wait;

pub use access::ClusterAccess;
pub use actions::NOT_CONFIGURED;
pub use binaries::Programs;
pub use cluster::TestCluster;
pub use exclusive::ExclusiveCluster;
pub use fooddelivery_api::{
    Coupon, CouponUse, Customer, Delivery, FINALIZER, Order, OrderSpec, Payment, PaymentProvider, Rider,
    Store, Ticket,
};
pub use fooddelivery_saga::phases::{
    Acceptance, CancellationVerdict, DeliveryStage, OrderPhase, PaymentDesired, PaymentPhase, TicketStage,
    WhenUnavailable,
};
pub use fooddelivery_sandbox::ledger::{Entry, EntryKind};
pub use namespace::{NamespaceOptions, TestNamespace};
pub use operator::{Operator, OperatorOptions};
pub use sandbox::{Call, Sandbox, SandboxOptions};
pub use wait::{LONG, POLL};
