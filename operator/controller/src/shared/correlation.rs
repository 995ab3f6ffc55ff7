//! How everything that belongs to an order is found in the log: by the order's key and by its uid, the correlation id.

use fooddelivery_runtime::Key;
use tracing::{Span, info_span};

/// The span of a reconcile whose key is an order's.
pub(crate) fn order_span(kind: &'static str, key: &Key) -> Span {
    info_span!("reconcile", kind, order = %key, correlation = tracing::field::Empty)
}

/// Puts the correlation id on every log line of this reconcile.
pub(crate) fn correlate(uid: Option<String>) {
    if let Some(uid) = uid {
        Span::current().record("correlation", uid);
    }
}
