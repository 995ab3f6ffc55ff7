//! One queue per controller that runs here.

use std::collections::HashMap;
use std::sync::Arc;

use fooddelivery_runtime::{Key, Queue};
use tokio::time::Instant;

use crate::names::ControllerName;

/// The queues, by controller.
#[derive(Clone)]
pub struct Queues {
    queues: Arc<HashMap<ControllerName, Arc<Queue>>>,
}

impl Queues {
    /// Queues for the controllers that run here.
    pub fn new(controllers: &[ControllerName]) -> Self {
        let queues = controllers.iter().map(|name| (*name, Arc::default())).collect();
        Self { queues: Arc::new(queues) }
    }

    /// The queue of a controller, if it runs here.
    pub fn of(&self, name: ControllerName) -> Option<Arc<Queue>> {
        self.queues.get(&name).cloned()
    }

    /// Has a controller look at `key` at `at`, or earlier if it is due earlier; nothing when it does not run here.
    pub fn push_at(&self, name: ControllerName, key: Key, at: Instant) {
        if let Some(queue) = self.queues.get(&name) {
            queue.push_at(key, at);
        }
    }
}
