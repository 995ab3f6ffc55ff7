//! Mistakes that an operator can make, made on purpose: the oracle has to find each of them, or a schedule that breaks
//! nothing proves nothing.
//!
//! A [`Mutant`] stands at the edge of every replica. It changes what a replica sends to the API server and what it sees of
//! it, or what it asks of payment providers, so that seen from outside the operator behaves as if the mistake were in its
//! code. The operator itself knows nothing of this. A mistake that cannot be made at the edge is a patch in
//! `operator/simulation/mutants/`, which `tests/mutants.rs` applies to a copy of the source.

mod asker;
mod memory;
pub(crate) mod mutant;
mod provider;
mod wire;

pub(crate) use asker::subscriber;
pub use mutant::Mutant;
pub(crate) use provider::{after_call, before_call};
pub(crate) use wire::Mutation;
