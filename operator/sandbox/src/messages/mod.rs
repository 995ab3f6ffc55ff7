//! The receivers of messages for customers: the AlimTalk API of NHN Cloud, and a webhook.
//!
//! Each has a strict protocol of its own and translates; an exchange is the same for both: outage, fault, response.
//! Whatever is accepted is in the log before the response is sent. No message leaves the sandbox.

mod alimtalk;
mod exchange;
pub(crate) mod log;
mod record;
mod webhook;

use std::sync::Arc;

use axum::Router;

use crate::state::App;

pub(crate) use log::table;
pub use record::{Channel, FAILING_NUMBERS_SUFFIX, MessageRecord, MessageResult, SLOW_NUMBERS_SUFFIX};

/// The endpoints.
pub(crate) fn routes() -> Router<Arc<App>> {
    alimtalk::routes().merge(webhook::routes())
}
