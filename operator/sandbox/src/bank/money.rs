//! The money of one payment: at most one capture, and refunds that never exceed it.
//!
//! Every movement is in the ledger before it counts here. Which dialect's rules let a movement happen, and how a
//! refusal is worded, is decided by the caller; that it is possible at all is decided here, for all dialects alike.

use jiff::Timestamp;

use crate::dialect::Dialect;
use crate::ledger::{Entry, EntryKind, Ledger, LedgerError, Movement};

/// Money that went back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// KRW, positive.
    pub amount: i64,
    /// The merchant's reason; empty when the dialect has none.
    pub reason: String,
    /// When the money went back.
    pub at: Timestamp,
    /// What was left to refund afterwards, KRW.
    pub balance_after: i64,
}

/// Why money did not move.
#[derive(Debug, thiserror::Error)]
pub enum MoneyError {
    /// A payment captures once.
    #[error("it was captured already")]
    CapturedAlready,
    /// There is nothing to give back.
    #[error("it was never captured")]
    NotCaptured,
    /// There is nothing left to give back.
    #[error("it was refunded in whole already")]
    RefundedAlready,
    /// No amount, or one the wrong way round.
    #[error("the amount is not positive")]
    NotPositive,
    /// More than is left.
    #[error("the amount exceeds the {rest} KRW that are left")]
    ExceedsRest {
        /// What is left, KRW.
        rest: i64,
    },
    /// The movement could not be recorded.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// The money of one payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Money {
    dialect: Dialect,
    payment_key: String,
    order_id: String,
    total: i64,
    captured_at: Option<Timestamp>,
    refunds: Vec<Refund>,
}

impl Money {
    /// Nothing has moved yet. `total` is in KRW and positive: the dialect has checked that.
    pub(super) fn new(dialect: Dialect, payment_key: &str, order_id: &str, total: i64) -> Self {
        Self {
            dialect,
            payment_key: payment_key.to_owned(),
            order_id: order_id.to_owned(),
            total,
            captured_at: None,
            refunds: Vec::new(),
        }
    }

    /// The payment key (Toss) or the payment intent's id (Stripe).
    pub fn payment_key(&self) -> &str {
        &self.payment_key
    }

    /// The merchant's order id; empty when there is none.
    pub fn order_id(&self) -> &str {
        &self.order_id
    }

    /// What is to be captured, or was, KRW.
    pub fn total(&self) -> i64 {
        self.total
    }

    /// When it was captured.
    pub fn captured_at(&self) -> Option<Timestamp> {
        self.captured_at
    }

    /// Its refunds, in order.
    pub fn refunds(&self) -> &[Refund] {
        &self.refunds
    }

    /// What can still be given back, KRW; before the capture, the whole amount.
    pub fn balance(&self) -> i64 {
        self.refunds.last().map_or(self.total, |last| last.balance_after)
    }

    /// What was given back so far, KRW.
    pub fn refunded(&self) -> i64 {
        self.total - self.balance()
    }

    /// Captures the whole amount.
    pub(super) fn capture(
        &mut self,
        idempotency_key: Option<&str>,
        now: Timestamp,
        ledger: &mut Ledger,
    ) -> Result<(), MoneyError> {
        if self.captured_at.is_some() {
            return Err(MoneyError::CapturedAlready);
        }
        ledger.append(&self.movement(EntryKind::Capture, self.total, idempotency_key), now)?;
        self.captured_at = Some(now);
        Ok(())
    }

    /// Gives back `amount`, or all that is left.
    pub(super) fn give_back(
        &mut self,
        amount: Option<i64>,
        reason: &str,
        idempotency_key: Option<&str>,
        now: Timestamp,
        ledger: &mut Ledger,
    ) -> Result<(), MoneyError> {
        let amount = amount.unwrap_or_else(|| self.balance());
        self.check_refund(amount)?;
        ledger.append(&self.movement(EntryKind::Refund, amount, idempotency_key), now)?;
        self.note_refund(amount, reason, now);
        Ok(())
    }

    /// Does again what a ledger entry of an earlier run says.
    pub(super) fn restore(&mut self, entry: &Entry) -> Result<(), MoneyError> {
        match entry.kind {
            EntryKind::Capture if self.captured_at.is_some() => return Err(MoneyError::CapturedAlready),
            EntryKind::Capture => self.captured_at = Some(entry.at),
            EntryKind::Refund => {
                self.check_refund(entry.amount)?;
                self.note_refund(entry.amount, "restored from the ledger", entry.at);
            }
        }
        Ok(())
    }

    fn check_refund(&self, amount: i64) -> Result<(), MoneyError> {
        let rest = self.balance();
        if self.captured_at.is_none() {
            Err(MoneyError::NotCaptured)
        } else if rest == 0 {
            Err(MoneyError::RefundedAlready)
        } else if amount <= 0 {
            Err(MoneyError::NotPositive)
        } else if amount > rest {
            Err(MoneyError::ExceedsRest { rest })
        } else {
            Ok(())
        }
    }

    fn note_refund(&mut self, amount: i64, reason: &str, at: Timestamp) {
        let balance_after = self.balance() - amount;
        self.refunds.push(Refund { amount, reason: reason.to_owned(), at, balance_after });
    }

    fn movement<'a>(&'a self, kind: EntryKind, amount: i64, key: Option<&'a str>) -> Movement<'a> {
        Movement {
            dialect: self.dialect,
            kind,
            payment_key: &self.payment_key,
            order_id: &self.order_id,
            amount,
            idempotency_key: key,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn money() -> Money {
        Money::new(Dialect::Stripe, "pi_1", "order-1", 100)
    }

    #[test]
    fn money_is_captured_once_and_given_back_up_to_the_capture() {
        let (mut money, mut ledger) = (money(), Ledger::in_memory());
        let early = money.give_back(None, "", None, NOW, &mut ledger);
        assert!(matches!(early, Err(MoneyError::NotCaptured)));
        money.capture(Some("k"), NOW, &mut ledger).unwrap();
        assert!(matches!(money.capture(None, NOW, &mut ledger), Err(MoneyError::CapturedAlready)));
        let mut give = |amount| money.give_back(amount, "", None, NOW, &mut ledger);
        assert!(matches!(give(Some(0)), Err(MoneyError::NotPositive)));
        assert!(matches!(give(Some(101)), Err(MoneyError::ExceedsRest { rest: 100 })));
        give(Some(30)).unwrap();
        give(None).unwrap();
        assert!(matches!(give(Some(1)), Err(MoneyError::RefundedAlready)));
        assert_eq!((money.balance(), money.refunded()), (0, 100));
        assert_eq!(ledger.entries().iter().map(|entry| entry.amount).collect::<Vec<_>>(), [100, 30, 70]);
    }

    #[test]
    fn what_the_ledger_says_is_done_again_and_no_more_than_is_possible() {
        let (mut first, mut ledger) = (money(), Ledger::in_memory());
        first.capture(None, NOW, &mut ledger).unwrap();
        first.give_back(Some(60), "", None, NOW, &mut ledger).unwrap();
        let mut again = money();
        for entry in ledger.entries() {
            again.restore(entry).unwrap();
            assert!(again.restore(entry).is_err(), "neither twice");
        }
        assert_eq!(again.balance(), 40);
    }
}
