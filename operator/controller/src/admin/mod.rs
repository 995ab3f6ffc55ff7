//! Commands of administrators, which run beside the operator and not in it.

pub mod drain;
pub mod recount;
