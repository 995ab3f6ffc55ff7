//! The bank: one [`money`] core, and a set of rules for each dialect over it.
//!
//! Synchronous, without a clock and without chance: times and new ids are handed in. It moves money only together
//! with a ledger entry, and knows nothing of HTTP, of idempotency keys' retention or of faults.
//!
//! Invariants: a payment captures at most once; refunds never exceed the capture; each movement is in the ledger
//! before it counts. Which payments an order may have is up to the dialect: with [`toss`] one captures, with
//! [`stripe`] as many as the caller confirms.

pub mod money;
pub mod stripe;
pub mod toss;

use crate::config::Config;
use crate::dialect::Dialect;
use crate::ledger::Entry;

pub use toss::{Checkout, Payment, Rejection};

/// All payments of all dialects.
#[derive(Debug)]
pub struct Bank {
    /// Toss payments.
    pub toss: toss::Book,
    /// Stripe payment intents.
    pub stripe: stripe::Book,
}

/// What a ledger entry of an earlier run is about, as it stood after it.
#[derive(Debug)]
pub enum Restored<'a> {
    /// A Toss payment.
    Toss(&'a Payment),
    /// A Stripe payment intent.
    Stripe(&'a stripe::Intent),
}

impl Bank {
    /// No payments yet.
    pub fn new(config: &Config) -> Self {
        Self {
            toss: toss::Book::new(config.strict_checkout, config.checkout_expiry),
            stripe: stripe::Book::new(config.search_lag),
        }
    }

    /// Does again what a ledger entry of an earlier run says.
    ///
    /// # Errors
    /// A sentence when the entry cannot follow those before it: it captures twice, or refunds what is not there.
    pub fn restore(&mut self, entry: &Entry) -> Result<Restored<'_>, String> {
        match entry.dialect() {
            Dialect::Toss => self.toss.restore(entry).map(Restored::Toss),
            Dialect::Stripe => self.stripe.restore(entry).map(Restored::Stripe),
        }
    }

    /// Forgets all payments.
    pub fn clear(&mut self) {
        self.toss.clear();
        self.stripe.clear();
    }
}
