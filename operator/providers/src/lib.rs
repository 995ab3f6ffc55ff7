//! Adapters of two ports: [`payment`], which takes and returns an order's money, and [`notification`], which tells a
//! customer how an order stands. They translate a provider's protocol into the outcomes of [`fooddelivery_saga`].
//!
//! An adapter sends a request once, within a bounded time, and reports the outcome. It neither retries nor decides nor
//! remembers. Circuit breakers and limits stand around it, in [`payment::resilience`] and
//! [`notification::FailFastBreaker`]; retries are the caller's. No secret leaves this crate in a log line, an error or a
//! Debug output.

mod account;
mod config;
mod http;
pub mod notification;
pub mod payment;
mod refusal;
mod secret;

pub use config::{ConfigError, DEFAULT_TIMEOUT};
pub use http::{DEFAULT_CONNECT_TIMEOUT, HttpClient, HttpClientError, HttpOptions, RESPONSE_BYTES_MAX};
pub use payment::port::{
    ChargeRequest, LookUpRequest, PaymentPort, PrepareRequest, RefundRequest, Traits, VoidRequest,
};
pub use payment::{Dialect, payment_provider, resilience};
pub use secret::{Credential, Token};
