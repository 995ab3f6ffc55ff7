//! Which keys of a controller are this replica's, and what follows when replicas come or go. How the replicas know each
//! other is the runtime's.

mod shard;
mod takeover;

pub(crate) use shard::Shard;
pub(crate) use takeover::{Acquirer, resync_moved};

use fooddelivery_runtime::sharding::LeaseNames;

/// The Leases of this operator's replicas.
pub(crate) const LEASE_NAMES: LeaseNames = LeaseNames {
    label: ("app.kubernetes.io/component", "fooddelivery-replica"),
    prefix: "fooddelivery-replica.",
    controllers: "fooddelivery.dev/controllers",
    namespaces: "fooddelivery.dev/namespaces",
};
