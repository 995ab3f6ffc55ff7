//! The model of an order's saga within its bounds: what is checked. Events are in [`crate::model`], properties in
//! [`crate::properties`].

use crate::bounds::Bounds;
use crate::liveness;
use crate::world::World;

/// The model within its bounds.
#[derive(Debug, Clone)]
pub struct Saga {
    /// The bounds.
    pub bounds: Bounds,
}

impl Saga {
    /// Within these bounds.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds }
    }

    /// Checks that fair weather leads from here to an end, and the right one.
    ///
    /// # Errors
    /// What is not as it should be.
    pub fn settles(&self, world: &World) -> Result<(), &'static str> {
        liveness::settle(world.clone(), &self.bounds)
    }
}
