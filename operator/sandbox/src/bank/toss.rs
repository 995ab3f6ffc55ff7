//! The rules of Toss: checkouts, captures and refunds.
//!
//! It decides and words the refusals; the money itself is moved by [`Money`]. No I/O, no clock.
//!
//! Invariants: a payment key captures at most once; an order is captured by at most one payment key; refunds never
//! exceed the capture.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::bank::money::{Money, MoneyError};
use crate::dialect::Dialect;
use crate::ledger::{Entry, EntryKind, Ledger};

/// The longest payment key, in characters.
pub const PAYMENT_KEY_CHARS_MAX: usize = 200;
/// The longest order id, in characters.
pub const ORDER_ID_CHARS_MAX: usize = 64;
/// The longest cancel reason, in characters.
pub const REASON_CHARS_MAX: usize = 200;
/// The refusal of a declined card, unless a fault names another.
pub const DEFAULT_DECLINE_CODE: &str = "REJECT_CARD_PAYMENT";

/// Where a payment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Checked out by the customer, not confirmed by the merchant.
    InProgress,
    /// Captured.
    Done,
    /// Captured, and given back in part.
    PartialCanceled,
    /// Captured, and given back in whole.
    Canceled,
    /// Declined; final.
    Aborted,
    /// Not confirmed in time; final.
    Expired,
}

impl Status {
    /// The protocol's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "IN_PROGRESS",
            Self::Done => "DONE",
            Self::PartialCanceled => "PARTIAL_CANCELED",
            Self::Canceled => "CANCELED",
            Self::Aborted => "ABORTED",
            Self::Expired => "EXPIRED",
        }
    }

    fn captured(self) -> bool {
        matches!(self, Self::Done | Self::PartialCanceled | Self::Canceled)
    }
}

/// A payment key with everything that happened to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Key, order id and amount, all fixed at checkout, and what moved.
    pub money: Money,
    /// Where it stands.
    pub status: Status,
    /// When the checkout was registered.
    pub requested_at: Timestamp,
    /// Why it was declined.
    pub failure: Option<Rejection>,
}

impl Payment {
    /// After money went back.
    fn canceled(&mut self) {
        self.status = if self.money.balance() == 0 { Status::Canceled } else { Status::PartialCanceled };
    }
}

/// A request that is refused, as the protocol words it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// HTTP status.
    pub status: u16,
    /// The protocol's code.
    pub code: String,
    /// A sentence for a person.
    pub message: String,
}

impl Rejection {
    pub(crate) fn new(status: u16, code: &str, message: &str) -> Self {
        Self { status, code: code.to_owned(), message: message.to_owned() }
    }

    pub(crate) fn invalid_request(message: &str) -> Self {
        Self::new(400, "INVALID_REQUEST", message)
    }

    fn no_session() -> Self {
        Self::new(
            404,
            "NOT_FOUND_PAYMENT_SESSION",
            "There is no checkout for this payment key, or it has expired.",
        )
    }

    fn not_found() -> Self {
        Self::new(404, "NOT_FOUND_PAYMENT", "There is no such payment.")
    }
}

impl From<MoneyError> for Rejection {
    fn from(error: MoneyError) -> Self {
        match error {
            MoneyError::CapturedAlready => {
                Self::new(400, "ALREADY_PROCESSED_PAYMENT", "This payment has been processed already.")
            }
            MoneyError::NotCaptured => {
                Self::new(403, "NOT_CANCELABLE_PAYMENT", "This payment was never captured.")
            }
            MoneyError::RefundedAlready => {
                Self::new(400, "ALREADY_CANCELED_PAYMENT", "This payment was canceled in whole already.")
            }
            MoneyError::NotPositive => Self::invalid_request("cancelAmount must be positive."),
            MoneyError::ExceedsRest { .. } => {
                Self::new(403, "NOT_CANCELABLE_AMOUNT", "cancelAmount exceeds what is left.")
            }
            MoneyError::Ledger(error) => {
                tracing::error!(%error, "the money did not move: it could not be recorded");
                Self::new(500, "FAILED_INTERNAL_SYSTEM_PROCESSING", "The ledger cannot be written.")
            }
        }
    }
}

/// A checkout: what the customer agreed to pay.
#[derive(Debug, Clone)]
pub struct Checkout {
    /// The single-use key.
    pub payment_key: String,
    /// The merchant's order id.
    pub order_id: String,
    /// KRW, positive.
    pub amount: i64,
}

/// A request to give money back.
#[derive(Debug, Clone)]
pub struct Cancel {
    /// Which payment.
    pub payment_key: String,
    /// Why.
    pub reason: String,
    /// KRW, positive; None for all that is left.
    pub amount: Option<i64>,
}

/// All Toss payments.
#[derive(Debug)]
pub struct Book {
    strict_checkout: bool,
    checkout_expiry: Duration,
    payments: HashMap<String, Payment>,
    /// Payment keys in order of registration.
    keys: Vec<String>,
    /// Order id to payment keys, in order of registration.
    by_order: HashMap<String, Vec<String>>,
}

impl Book {
    /// No payments yet. `strict_checkout`: an unregistered payment key cannot be confirmed.
    pub fn new(strict_checkout: bool, checkout_expiry: Duration) -> Self {
        Self {
            strict_checkout,
            checkout_expiry,
            payments: HashMap::new(),
            keys: Vec::new(),
            by_order: HashMap::new(),
        }
    }

    /// Registers what a customer agreed to pay.
    ///
    /// # Errors
    /// 400 when the key is taken or a field is out of bounds.
    pub fn register(&mut self, checkout: &Checkout, now: Timestamp) -> Result<&Payment, Rejection> {
        checkout.validate()?;
        if self.payments.contains_key(&checkout.payment_key) {
            return Err(Rejection::new(
                400,
                "DUPLICATED_PAYMENT_KEY",
                "This payment key is registered already.",
            ));
        }
        Ok(self.insert(checkout, now))
    }

    /// Captures the whole amount of a checkout. With `decline`, refuses it finally instead, with that code.
    ///
    /// # Errors
    /// As the protocol words them; the money has then not moved.
    pub fn confirm(
        &mut self,
        checkout: &Checkout,
        idempotency_key: Option<&str>,
        decline: Option<&str>,
        now: Timestamp,
        ledger: &mut Ledger,
    ) -> Result<&Payment, Rejection> {
        checkout.validate()?;
        self.refresh(&checkout.payment_key, now);
        if !self.payments.contains_key(&checkout.payment_key) {
            if self.strict_checkout {
                return Err(Rejection::no_session());
            }
            self.insert(checkout, now);
        }
        let order_is_paid = self.captured_for(&checkout.order_id).is_some();
        let payment = self.payments.get_mut(&checkout.payment_key).ok_or_else(Rejection::no_session)?;
        match payment.status {
            Status::InProgress => {}
            Status::Aborted => return Err(payment.failure.clone().unwrap_or_else(Rejection::no_session)),
            Status::Expired => return Err(Rejection::no_session()),
            Status::Done | Status::PartialCanceled | Status::Canceled => {
                return Err(MoneyError::CapturedAlready.into());
            }
        }
        if payment.money.order_id() != checkout.order_id || payment.money.total() != checkout.amount {
            return Err(Rejection::invalid_request(
                "The order id or the amount is not that of the checkout.",
            ));
        }
        if order_is_paid {
            return Err(Rejection::new(400, "DUPLICATED_ORDER_ID", "Another payment has paid this order."));
        }
        if let Some(code) = decline {
            let refusal = Rejection::new(decline_status(code), code, "The card issuer declined the payment.");
            payment.status = Status::Aborted;
            payment.failure = Some(refusal.clone());
            return Err(refusal);
        }
        payment.money.capture(idempotency_key, now, ledger)?;
        payment.status = Status::Done;
        Ok(payment)
    }

    /// Gives money back, in whole or in part.
    ///
    /// # Errors
    /// As the protocol words them; the money has then not moved.
    pub fn cancel(
        &mut self,
        cancel: &Cancel,
        idempotency_key: Option<&str>,
        now: Timestamp,
        ledger: &mut Ledger,
    ) -> Result<&Payment, Rejection> {
        if cancel.reason.is_empty() || cancel.reason.chars().count() > REASON_CHARS_MAX {
            return Err(Rejection::invalid_request("cancelReason must have 1 to 200 characters."));
        }
        self.refresh(&cancel.payment_key, now);
        let payment = self.payments.get_mut(&cancel.payment_key).ok_or_else(Rejection::not_found)?;
        payment.money.give_back(cancel.amount, &cancel.reason, idempotency_key, now, ledger)?;
        payment.canceled();
        Ok(payment)
    }

    /// The payment of a key.
    ///
    /// # Errors
    /// 404 `NOT_FOUND_PAYMENT`.
    pub fn by_key(&mut self, payment_key: &str, now: Timestamp) -> Result<&Payment, Rejection> {
        self.refresh(payment_key, now);
        self.payments.get(payment_key).ok_or_else(Rejection::not_found)
    }

    /// The payment of an order: the captured one, else the newest.
    ///
    /// # Errors
    /// 404 `NOT_FOUND_PAYMENT`.
    pub fn by_order(&mut self, order_id: &str, now: Timestamp) -> Result<&Payment, Rejection> {
        let newest = self.by_order.get(order_id).and_then(|keys| keys.last());
        let key = self.captured_for(order_id).or(newest).cloned().ok_or_else(Rejection::not_found)?;
        self.by_key(&key, now)
    }

    /// All payments, in order of registration.
    pub fn all(&mut self, now: Timestamp) -> Vec<Payment> {
        let keys = self.keys.clone();
        keys.iter().filter_map(|key| self.by_key(key, now).ok().cloned()).collect()
    }

    /// Does again what a ledger entry of an earlier run says, and returns the payment as it then stood.
    ///
    /// # Errors
    /// A sentence when the entry cannot follow those before it.
    pub fn restore(&mut self, entry: &Entry) -> Result<&Payment, String> {
        if entry.kind == EntryKind::Capture && !self.payments.contains_key(&entry.payment_key) {
            let Entry { payment_key, order_id, amount, .. } = entry.clone();
            self.insert(&Checkout { payment_key, order_id, amount }, entry.at);
        }
        let payment = self.payments.get_mut(&entry.payment_key).ok_or("it refunds an unknown payment")?;
        payment.money.restore(entry).map_err(|error| error.to_string())?;
        match entry.kind {
            EntryKind::Capture => payment.status = Status::Done,
            EntryKind::Refund => payment.canceled(),
        }
        Ok(payment)
    }

    /// Forgets all payments.
    pub fn clear(&mut self) {
        self.payments.clear();
        self.keys.clear();
        self.by_order.clear();
    }

    fn insert(&mut self, checkout: &Checkout, now: Timestamp) -> &Payment {
        let key = &checkout.payment_key;
        self.keys.push(key.clone());
        self.by_order.entry(checkout.order_id.clone()).or_default().push(key.clone());
        self.payments.entry(key.clone()).or_insert_with(|| Payment {
            money: Money::new(Dialect::Toss, key, &checkout.order_id, checkout.amount),
            status: Status::InProgress,
            requested_at: now,
            failure: None,
        })
    }

    fn captured_for(&self, order_id: &str) -> Option<&String> {
        let keys = self.by_order.get(order_id)?;
        keys.iter().find(|key| self.payments.get(*key).is_some_and(|payment| payment.status.captured()))
    }

    /// Expiry has no timer: it is settled whenever the payment is looked at.
    fn refresh(&mut self, payment_key: &str, now: Timestamp) {
        if let Some(payment) = self.payments.get_mut(payment_key) {
            let age = now.duration_since(payment.requested_at);
            let expired = Duration::try_from(age).is_ok_and(|age| age >= self.checkout_expiry);
            if payment.status == Status::InProgress && expired {
                payment.status = Status::Expired;
            }
        }
    }
}

impl Checkout {
    fn validate(&self) -> Result<(), Rejection> {
        let bounded = |text: &str, max: usize| !text.is_empty() && text.chars().count() <= max;
        if !bounded(&self.payment_key, PAYMENT_KEY_CHARS_MAX) {
            return Err(Rejection::invalid_request("paymentKey must have 1 to 200 characters."));
        }
        if !bounded(&self.order_id, ORDER_ID_CHARS_MAX) {
            return Err(Rejection::invalid_request("orderId must have 1 to 64 characters."));
        }
        if self.amount <= 0 {
            return Err(Rejection::invalid_request("amount must be positive."));
        }
        Ok(())
    }
}

/// The real provider answers 403 for refusals by the issuer and 400 for bad card data.
fn decline_status(code: &str) -> u16 {
    if code.starts_with("REJECT_") || code == "EXCEED_MAX_ONE_DAY_AMOUNT" { 403 } else { 400 }
}

#[cfg(test)]
#[path = "toss_tests.rs"]
mod tests;
