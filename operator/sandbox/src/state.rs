//! What the handlers share: the configuration, and everything that changes, under one lock.
//!
//! The lock is held for short synchronous sections only, never across an await.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_util::task::TaskTracker;

use crate::bank::Bank;
use crate::calls::CallLog;
use crate::config::Config;
use crate::dialect::Dialect;
use crate::faults::{FaultPlan, Latency};
use crate::idempotency::{Keys, Policy};
use crate::ledger::{Ledger, LedgerError};
use crate::messages::log::Messages;
use crate::outage::{Outage, Switch};

/// Everything that changes.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) bank: Bank,
    pub(crate) ledger: Ledger,
    pub(crate) keys: KeyRings,
    pub(crate) faults: FaultPlan,
    pub(crate) latency: Latency,
    pub(crate) calls: CallLog,
    pub(crate) messages: Messages,
}

/// The idempotency keys of each dialect: the same key in both is two keys.
#[derive(Debug)]
pub(crate) struct KeyRings {
    toss: Keys,
    stripe: Keys,
}

/// What the handlers share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) config: Config,
    /// Requests in execution, with or without a client that still waits.
    pub(crate) tasks: TaskTracker,
    /// Whether the provider is out as a whole; beside the lock, for a call may wait for its end.
    pub(crate) outage: Switch,
    /// Whether what receives messages is out.
    pub(crate) message_outage: Switch,
    core: Mutex<Core>,
}

impl App {
    /// A sandbox of these settings, with this state and no outage.
    pub(crate) fn new(config: Config, core: Core) -> Self {
        let (outage, message_outage) = (Switch::default(), Switch::default());
        Self { config, tasks: TaskTracker::new(), outage, message_outage, core: Mutex::new(core) }
    }

    /// Everything that changes. A panic while it was held leaves no half-done movement of money: the ledger entry
    /// and the payment change together at the end of a section; so a poisoned lock is usable.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins, changes or ends an outage of what receives messages; its count begins anew when one begins.
    pub(crate) fn set_message_outage(&self, outage: Outage) {
        if outage != Outage::None && self.message_outage.get() == Outage::None {
            self.lock().messages.refused = 0;
        }
        self.message_outage.set(outage);
    }

    /// Forgets everything but the latency and the configuration, and ends outages. Requests in execution go on.
    pub(crate) fn reset(&self) -> Result<(), LedgerError> {
        let mut core = self.lock();
        core.ledger.clear()?;
        core.bank.clear();
        core.keys.clear();
        core.faults.clear();
        core.calls.clear();
        core.messages.clear();
        drop(core);
        self.outage.set(Outage::None);
        self.message_outage.set(Outage::None);
        Ok(())
    }
}

impl Core {
    /// The state of a sandbox in which nothing has happened, over this ledger.
    pub(crate) fn new(config: &Config, ledger: Ledger) -> Self {
        Self {
            bank: Bank::new(config),
            ledger,
            keys: KeyRings {
                toss: Keys::new(Policy::PerEndpoint, config.idempotency_retention),
                stripe: Keys::new(Policy::PerAccount, config.stripe_idempotency_retention),
            },
            faults: FaultPlan::default(),
            latency: config.latency,
            calls: CallLog::new(config.calls_kept),
            messages: Messages::new(config),
        }
    }
}

impl KeyRings {
    pub(crate) fn of(&mut self, dialect: Dialect) -> &mut Keys {
        match dialect {
            Dialect::Toss => &mut self.toss,
            Dialect::Stripe => &mut self.stripe,
        }
    }

    fn clear(&mut self) {
        self.toss.clear();
        self.stripe.clear();
    }
}
