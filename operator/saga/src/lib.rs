//! The domain of the food-delivery saga, pure.
//!
//! Nothing here knows of Kubernetes, of an async runtime, of a clock or of any I/O: what is to be done is decided
//! from a snapshot and a time that the caller hands in.

pub mod provider;
