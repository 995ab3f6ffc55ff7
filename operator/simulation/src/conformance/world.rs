//! Where a scenario runs.

use std::sync::Arc;

use futures::future::BoxFuture;
use kube::Client;

use super::call::User;
use crate::apiserver::faults::NoFaults;
use crate::apiserver::service::Cluster;
use crate::apiserver::{Catalog, CatalogError, Server};

/// A control plane with a fresh namespace.
pub trait World: Sync {
    /// A client that acts as this user.
    fn client(&self, user: User) -> Client;

    /// The scenario's namespace, which exists and is empty.
    fn namespace(&self) -> &str;

    /// Gives the garbage collector and the namespace controller time to act.
    fn settle(&self) -> BoxFuture<'_, ()>;

    /// Starts the API server anew: connections break, and its watch caches reach back no further than that.
    fn restart(&self) -> BoxFuture<'_, anyhow::Result<()>>;

    /// Forgets the past, so that a watch from resourceVersion 1 finds it gone. A real control plane need do nothing:
    /// its watch caches never reach back that far.
    fn forget(&self);
}

/// The simulated control plane.
#[derive(Debug)]
pub struct Simulated {
    cluster: Cluster,
}

/// The namespace of every simulated scenario.
const NAMESPACE: &str = "conformance";

impl Simulated {
    /// A fresh one.
    ///
    /// # Errors
    /// As [`Catalog::shared`].
    pub fn new() -> Result<Self, CatalogError> {
        Ok(Self::with_catalog(Catalog::shared()?))
    }

    /// A fresh one without MutatingAdmissionPolicy, as before Kubernetes 1.36: finalizers are not stamped, and an object
    /// with a field of another type is refused by its schema.
    ///
    /// # Errors
    /// As [`Catalog::shared`].
    pub fn without_mutating_policies() -> Result<Self, CatalogError> {
        Ok(Self::with_catalog(Catalog::shared_without_mutating_policies()?))
    }

    fn with_catalog(catalog: Arc<Catalog>) -> Self {
        let now = || jiff::Timestamp::UNIX_EPOCH;
        let cluster = Cluster::new(Server::new(catalog, 1, now()), now, NoFaults);
        cluster.with(|server| server.add_namespace(NAMESPACE, now()));
        Self { cluster }
    }
}

impl World for Simulated {
    fn client(&self, user: User) -> Client {
        self.cluster.client_for(&user.name())
    }

    fn namespace(&self) -> &str {
        NAMESPACE
    }

    fn settle(&self) -> BoxFuture<'_, ()> {
        let now = jiff::Timestamp::UNIX_EPOCH;
        let round = |server: &mut Server| server.collect_garbage(now) + server.advance_namespaces(now);
        // Bounded, because a refused request is tried again in every round.
        for _ in 0..20 {
            if self.cluster.with(round) == 0 {
                break;
            }
        }
        Box::pin(async {})
    }

    fn restart(&self) -> BoxFuture<'_, anyhow::Result<()>> {
        for user in User::ALL {
            self.cluster.watches(&user.name()).break_off();
        }
        self.forget();
        Box::pin(async { Ok(()) })
    }

    fn forget(&self) {
        self.cluster.with(Server::compact);
    }
}
