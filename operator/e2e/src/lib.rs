//! A real control plane with the operator and the sandbox as processes: for the tests, and for the demo.
//!
//! A test asks for the [`Stage`] (one cluster a test process, made at the first call) and on it for a [`Kitchen`]
//! (a namespace with its own sandbox, payment provider and operator):
//!
//! ```no_run
//! # async fn test() -> anyhow::Result<()> {
//! use fooddelivery_e2e::{LONG, OrderPhase, Stage, TicketStage};
//!
//! let kitchen = Stage::shared().await?.kitchen("happy").await?;
//! kitchen.order("lunch", |_| {}).await?;
//! kitchen.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
//! kitchen.move_ticket("lunch", TicketStage::Accepted).await?;
//! kitchen.operator.kill_hard()?;
//! kitchen.operator.restart().await?;
//! kitchen.wait_phase("lunch", OrderPhase::Accepted, LONG).await?;
//! kitchen.audit().await?;
//! # Ok(())
//! # }
//! ```
//!
//! The harness acts as an administrator and observes; the operator runs as its own service account, with the
//! permissions of the manifests and no others. Everything that fails says what was waited for and shows the objects
//! and the end of the operator's log. All processes die with this one, however it ends.

pub mod audit;
pub mod binaries;
pub mod cluster;
pub mod crash;
mod daemon;
mod http;
pub mod identity;
pub mod images;
pub mod install;
pub mod kitchen;
pub mod market;
pub mod metrics;
pub mod operator;
pub mod sandbox;
pub mod stage;
mod verbs;

use std::time::Duration;

pub use binaries::Programs;
pub use cluster::ClusterAccess;
pub use fooddelivery_api::{
    Coupon, CouponUse, Customer, Delivery, FINALIZER, Order, OrderSpec, Payment, PaymentProvider, Rider,
    Store, Ticket,
};
pub use fooddelivery_saga::phases::{
    Acceptance, CancellationVerdict, DeliveryStage, OrderPhase, PaymentDesired, PaymentPhase, TicketStage,
    WhenUnavailable,
};
pub use fooddelivery_sandbox::ledger::{Entry, EntryKind};
pub use kitchen::{Kitchen, KitchenOptions};
pub use operator::{Operator, OperatorOptions};
pub use sandbox::{Call, Sandbox, SandboxOptions};
pub use stage::Stage;
pub use verbs::NOT_CONFIGURED;

/// A deadline for what takes well under a second on a quiet machine, and must not fail on a busy one.
pub const LONG: Duration = Duration::from_secs(30);
/// How often something that is waited for is looked at.
pub const POLL: Duration = Duration::from_millis(50);
