//! Adapters of the payment port: they translate a provider's protocol into the outcomes of [`fooddelivery_saga`].
//! And those of the [`message`] port, which tell a customer how an order stands.
//!
//! They send what they are told, once, within a bounded time, and say what came of it. They do not retry, decide,
//! or remember. Breaker and limits stand around them, in [`guard`]; retries are the caller's. No secret leaves them
//! in a log line, an error or a Debug output.

mod account;
mod http;
pub mod notification;
pub mod port;
mod provider;
mod refusal;
pub mod resilience;
mod secret;
mod stripe;
mod toss;

pub use http::{DEFAULT_CONNECT_TIMEOUT, HttpClient, HttpClientError, HttpOptions, MAX_ANSWER_BYTES};
pub use port::{
    ChargeRequest, LookUpRequest, PaymentPort, PrepareRequest, RefundRequest, Traits, VoidRequest,
};
pub use provider::{ConfigError, DEFAULT_TIMEOUT, Dialect, provider};
pub use secret::{Credential, Token};
