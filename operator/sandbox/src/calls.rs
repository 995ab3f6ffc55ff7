//! A bounded log of the calls of the payment API, in either dialect: what came in, which fault it met, what went
//! out. It keeps what it is given, and decides nothing.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::Serialize;

use crate::dialect::Dialect;
use crate::faults::Operation;

/// One call that ended, or that an outage keeps from ever being answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CallRecord {
    /// Position, from 1, counted also for calls that the log has dropped since.
    pub seq: u64,
    /// When it arrived.
    pub at: Timestamp,
    /// How long it took, in ms.
    pub elapsed_ms: u64,
    /// The protocol it spoke.
    pub dialect: Dialect,
    /// What it did.
    pub operation: Operation,
    /// HTTP method.
    pub method: &'static str,
    /// URL path, as sent.
    pub path: String,
    /// `Idempotency-Key` header.
    pub idempotency_key: Option<String>,
    /// `X-Correlation-Id` header.
    pub correlation_id: Option<String>,
    /// The answer's HTTP status; None when the connection was cut instead.
    pub status: Option<u16>,
    /// Whether the answer was that of an earlier call with the same key.
    pub replayed: bool,
    /// The fault that was applied, by name; `Outage` when it was the provider as a whole.
    pub fault: Option<&'static str>,
}

/// The latest calls.
#[derive(Debug)]
pub(crate) struct CallLog {
    kept: usize,
    count: u64,
    calls: VecDeque<CallRecord>,
}

impl CallLog {
    pub(crate) fn new(kept: usize) -> Self {
        Self { kept, count: 0, calls: VecDeque::new() }
    }

    /// Adds a call, numbers it, and drops the oldest if there are too many.
    pub(crate) fn push(&mut self, mut call: CallRecord) {
        self.count += 1;
        call.seq = self.count;
        self.calls.push_back(call);
        while self.calls.len() > self.kept {
            self.calls.pop_front();
        }
    }

    pub(crate) fn all(&self) -> Vec<CallRecord> {
        self.calls.iter().cloned().collect()
    }

    pub(crate) fn clear(&mut self) {
        self.calls.clear();
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_keeps_the_latest_calls_and_their_numbers() {
        let mut log = CallLog::new(2);
        for _ in 0..5 {
            log.push(CallRecord {
                seq: 0,
                at: Timestamp::UNIX_EPOCH,
                elapsed_ms: 1,
                dialect: Dialect::Toss,
                operation: Operation::Confirm,
                method: "POST",
                path: "/v1/payments/confirm".into(),
                idempotency_key: None,
                correlation_id: None,
                status: Some(200),
                replayed: false,
                fault: None,
            });
        }
        assert_eq!(log.all().iter().map(|call| call.seq).collect::<Vec<_>>(), [4, 5]);
    }
}
