//! What the handlers share: the configuration, and everything that changes, under one lock.
//!
//! The lock is held for short synchronous sections only, never across an await.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio_util::task::TaskTracker;

use crate::bank::Bank;
use crate::calls::CallLog;
use crate::config::Config;
use crate::faults::{FaultPlan, Latency};
use crate::idempotency::{Keys, Scope};
use crate::ledger::{EntryKind, Ledger, LedgerError};
use crate::toss;

/// Everything that changes.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) bank: Bank,
    pub(crate) ledger: Ledger,
    pub(crate) keys: Keys,
    pub(crate) faults: FaultPlan,
    pub(crate) latency: Latency,
    pub(crate) calls: CallLog,
}

/// What the handlers share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) config: Config,
    /// Requests in execution, with or without a client that still waits.
    pub(crate) tasks: TaskTracker,
    core: Mutex<Core>,
}

impl App {
    /// Opens the ledger and stands where an earlier run with the same ledger file stood.
    pub(crate) fn open(config: Config) -> Result<Self, LedgerError> {
        let ledger = match &config.ledger_file {
            Some(path) => Ledger::open(path)?,
            None => Ledger::in_memory(),
        };
        let mut core = Core {
            bank: Bank::new(config.strict_checkout, config.checkout_expiry),
            ledger,
            keys: Keys::new(config.idempotency_retention),
            faults: FaultPlan::default(),
            latency: config.latency,
            calls: CallLog::new(config.calls_kept),
        };
        core.restore(&config)?;
        Ok(Self { config, tasks: TaskTracker::new(), core: Mutex::new(core) })
    }

    /// Everything that changes. A panic while it was held leaves no half-done movement of money: the ledger entry
    /// and the payment change together at the end of a section; so a poisoned lock is usable.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Core {
    /// Forgets everything but the latency and the configuration. Requests in execution go on.
    pub(crate) fn reset(&mut self) -> Result<(), LedgerError> {
        self.ledger.clear()?;
        self.bank.clear();
        self.keys.clear();
        self.faults.clear();
        self.calls.clear();
        Ok(())
    }

    /// Rebuilds payments and the answers to their idempotency keys from the ledger. It does not say which API key a
    /// request came with, so the answers are kept for each configured one.
    fn restore(&mut self, config: &Config) -> Result<(), LedgerError> {
        for (index, entry) in self.ledger.entries().iter().enumerate() {
            let payment = self
                .bank
                .restore(entry)
                .map_err(|rejection| LedgerError::Corrupt { line: index + 1, why: rejection.message })?;
            let Some(key) = &entry.idempotency_key else { continue };
            let answer = toss::payment_answer(payment);
            let path = match entry.kind {
                EntryKind::Capture => toss::CONFIRM_PATH.to_owned(),
                EntryKind::Refund => toss::cancel_path(&entry.payment_key),
            };
            for api_key in &config.secret_keys {
                let scope = Scope {
                    key: key.clone(),
                    api_key: api_key.expose().to_owned(),
                    method: "POST",
                    path: path.clone(),
                };
                self.keys.restore(scope, answer.clone(), entry.at);
            }
        }
        tracing::info!(entries = self.ledger.entries().len(), at = %Timestamp::now(), "ledger opened");
        Ok(())
    }
}
