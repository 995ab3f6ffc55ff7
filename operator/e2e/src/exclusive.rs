//! Clusters that a test has to itself, because it harms the API server, counts all requests, or needs flags of its own.
//!
//! At most two are lent out at a time. A test that leaves its cluster in order returns it, for the next one that asks.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use local_cluster::{Options, Progress};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::cluster::TestCluster;

/// Clusters lent out at the same time.
const AT_ONCE: usize = 2;

static PLACES: Semaphore = Semaphore::const_new(AT_ONCE);
/// Those that were returned and wait for the next test.
static IDLE: Mutex<Vec<Arc<TestCluster>>> = Mutex::new(Vec::new());

/// A local cluster that no other test uses meanwhile. It dies with this, unless it is [returned](Self::give_back).
#[derive(Debug)]
pub struct ExclusiveCluster {
    cluster: Arc<TestCluster>,
    /// Freed after the cluster is.
    _place: SemaphorePermit<'static>,
}

impl Deref for ExclusiveCluster {
    type Target = Arc<TestCluster>;

    fn deref(&self) -> &Self::Target {
        &self.cluster
    }
}

impl ExclusiveCluster {
    /// Leaves the cluster to the next test: the base is installed and in force, and the API server runs. Namespaces of
    /// this test may still be there, without an operator.
    pub fn give_back(self) {
        idle(|all| all.push(Arc::clone(&self.cluster)));
    }
}

impl TestCluster {
    /// A cluster for one test alone, which may be one that another test has returned.
    ///
    /// # Errors
    /// As [`TestCluster::shared`].
    pub async fn exclusive() -> Result<ExclusiveCluster> {
        let place = place().await?;
        let cluster = match idle(Vec::pop) {
            Some(cluster) => cluster,
            None => Self::local().await?,
        };
        Ok(ExclusiveCluster { cluster, _place: place })
    }

    /// A cluster for one test alone that nobody has used before.
    ///
    /// # Errors
    /// As [`TestCluster::shared`].
    pub async fn fresh() -> Result<ExclusiveCluster> {
        Self::fresh_with(Options { progress: Progress::Stderr, ..Options::default() }).await
    }

    /// [`Self::fresh`] with options, such as further flags of the API server.
    ///
    /// # Errors
    /// As [`TestCluster::shared`].
    pub async fn fresh_with(options: Options) -> Result<ExclusiveCluster> {
        let place = place().await?;
        // What waits for a test holds memory, and so would this one.
        drop(idle(Vec::pop));
        Ok(ExclusiveCluster { cluster: Self::local_with(options).await?, _place: place })
    }
}

async fn place() -> Result<SemaphorePermit<'static>> {
    PLACES.acquire().await.context("the places for exclusive clusters")
}

fn idle<T>(change: impl FnOnce(&mut Vec<Arc<TestCluster>>) -> T) -> T {
    change(&mut IDLE.lock().unwrap_or_else(PoisonError::into_inner))
}
