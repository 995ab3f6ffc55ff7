//! Adapters of the payment port: they translate a provider's protocol into the outcomes of [`fooddelivery_saga`].
//!
//! They send what they are told, once, within a bounded time, and say what came of it. They do not retry, decide,
//! or remember; breaker, limits and retries stand around them. No secret leaves them in a log line, an error or a
//! Debug output.

mod http;
pub mod port;
mod provider;
mod secret;
mod toss;

pub use http::{DEFAULT_CONNECT_TIMEOUT, HttpClient, HttpClientError, HttpOptions, MAX_ANSWER_BYTES};
pub use port::{ChargeRequest, LookUpRequest, PaymentPort, RefundRequest};
pub use provider::{ConfigError, DEFAULT_TIMEOUT, Dialect, provider};
pub use secret::{Credential, Token};
