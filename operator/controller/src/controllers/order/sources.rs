//! What an order's view is gathered from.

use std::sync::Arc;

use crate::availability::Availability;
use crate::context::Context;
use crate::shared::state::Shared;

/// The shared context, and what only the view of an order needs beside it.
pub(super) struct Sources {
    pub(super) context: Arc<Context>,
    pub(super) shared: Shared,
    pub(super) availability: Availability,
}
