//! An answer, as it goes over the wire.

use bytes::Bytes;

use super::failure::Failure;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status code.
    pub code: u16,
    /// The body, JSON.
    pub body: Bytes,
}

impl From<Failure> for Response {
    fn from(failure: Failure) -> Self {
        Self { code: failure.code, body: Bytes::from(failure.body().to_string()) }
    }
}
