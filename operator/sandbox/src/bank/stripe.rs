//! The rules of Stripe: payment intents that are created, confirmed or canceled, and refunds of what they captured.
//!
//! It decides and words the refusals; the money itself is moved by [`Money`]. No I/O, no clock, no chance.
//!
//! Invariants: an intent captures at most once, and a canceled one never; refunds never exceed the capture. Several
//! intents may capture for one order id, as with the real Stripe: that it happens once is the caller's business, and
//! the ledger shows when it does not.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::Timestamp;

use crate::bank::money::{Money, MoneyError};
use crate::dialect::Dialect;
use crate::ledger::{Entry, EntryKind, Ledger};

/// The metadata key that carries the order id.
pub const ORDER_ID: &str = "order_id";
/// The decline code of a declined card, unless a fault names another.
pub const DEFAULT_DECLINE_CODE: &str = "generic_decline";

/// Where an intent stands. A card's capture is over at once, so there is no `processing`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntentStatus {
    /// There is none, or the card was declined.
    RequiresPaymentMethod,
    /// It can be captured.
    RequiresConfirmation,
    /// Captured; refunds do not change that.
    Succeeded,
    /// It can never be captured; final.
    Canceled,
}

impl IntentStatus {
    /// The protocol's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RequiresPaymentMethod => "requires_payment_method",
            Self::RequiresConfirmation => "requires_confirmation",
            Self::Succeeded => "succeeded",
            Self::Canceled => "canceled",
        }
    }
}

/// Why a card was declined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decline {
    /// The issuer's reason, such as `insufficient_funds`.
    pub code: String,
}

/// That an intent was canceled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancellation {
    /// When.
    pub at: Timestamp,
    /// The caller's reason, in the protocol's words.
    pub reason: Option<String>,
}

/// A payment intent with everything that happened to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// Id, order id and amount, and what moved.
    pub money: Money,
    /// What is charged; None until it is given, and again after a decline.
    pub payment_method: Option<String>,
    /// The caller's own words.
    pub metadata: BTreeMap<String, String>,
    /// When it was created.
    pub created: Timestamp,
    /// Whether it was canceled.
    pub canceled: Option<Cancellation>,
    /// The last decline, until something is captured.
    pub last_decline: Option<Decline>,
}

impl Intent {
    /// Its id, `pi_…`.
    pub fn id(&self) -> &str {
        self.money.payment_key()
    }

    /// Where it stands.
    pub fn status(&self) -> IntentStatus {
        if self.money.captured_at().is_some() {
            IntentStatus::Succeeded
        } else if self.canceled.is_some() {
            IntentStatus::Canceled
        } else if self.payment_method.is_some() {
            IntentStatus::RequiresConfirmation
        } else {
            IntentStatus::RequiresPaymentMethod
        }
    }

    /// The id of its charge. Like [`Self::refund_id`], derived, so that a restart does not change it.
    pub fn charge_id(&self) -> String {
        format!("ch_{}", self.bare_id())
    }

    /// The id of its refund at `index`, from 0.
    pub fn refund_id(&self, index: usize) -> String {
        format!("re_{}_{}", self.bare_id(), index + 1)
    }

    fn bare_id(&self) -> &str {
        self.id().strip_prefix("pi_").unwrap_or(self.id())
    }
}

/// What kind of refusal it is, in the protocol's `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// The request cannot be right.
    InvalidRequest,
    /// The card was declined.
    Card,
    /// Something broke within the provider.
    Api,
    /// The idempotency key was used otherwise.
    Idempotency,
}

/// A request that is refused, as the protocol words it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// The protocol's `type`.
    pub kind: RefusalKind,
    /// The protocol's code, where there is one.
    pub code: Option<&'static str>,
    /// A sentence for a person.
    pub message: String,
    /// The parameter that is wrong, if one is.
    pub param: Option<&'static str>,
    /// The issuer's reason for a decline.
    pub decline_code: Option<String>,
    /// The intent as it stands after the refusal, if it is about one.
    pub intent: Option<Box<Intent>>,
}

impl Refusal {
    pub(crate) fn new(
        status: u16,
        kind: RefusalKind,
        code: Option<&'static str>,
        message: impl Into<String>,
    ) -> Self {
        let message = message.into();
        Self { status, kind, code, message, param: None, decline_code: None, intent: None }
    }

    pub(crate) fn invalid(code: Option<&'static str>, message: impl Into<String>) -> Self {
        Self::new(400, RefusalKind::InvalidRequest, code, message)
    }

    pub(crate) fn of_param(mut self, param: &'static str) -> Self {
        self.param = Some(param);
        self
    }

    fn with(mut self, intent: &Intent) -> Self {
        self.intent = Some(Box::new(intent.clone()));
        self
    }

    fn missing(id: &str, param: &'static str) -> Self {
        let message = format!("No such payment_intent: '{id}'");
        Self::new(404, RefusalKind::InvalidRequest, Some("resource_missing"), message).of_param(param)
    }

    fn unexpected_state(intent: &Intent, what: &str) -> Self {
        let status = intent.status().as_str();
        let message = format!("This PaymentIntent cannot be {what}: its status is {status}.");
        Self::invalid(Some("payment_intent_unexpected_state"), message).with(intent)
    }

    fn money(error: &MoneyError, intent: &Intent) -> Self {
        match error {
            MoneyError::CapturedAlready => Self::unexpected_state(intent, "confirmed"),
            MoneyError::NotCaptured => Self::unexpected_state(intent, "refunded, for nothing was captured"),
            MoneyError::RefundedAlready => {
                let message = format!("Charge {} has already been refunded.", intent.charge_id());
                Self::invalid(Some("charge_already_refunded"), message)
            }
            MoneyError::NotPositive | MoneyError::ExceedsRest { .. } => {
                Self::invalid(Some("parameter_invalid_integer"), format!("The refund is refused: {error}."))
                    .of_param("amount")
            }
            MoneyError::Ledger(error) => {
                tracing::error!(%error, "the money did not move: it could not be recorded");
                Self::new(500, RefusalKind::Api, None, "The ledger cannot be written.")
            }
        }
    }
}

/// An intent to be created; its values have been checked.
#[derive(Debug, Clone)]
pub struct NewIntent {
    /// KRW, positive.
    pub amount: i64,
    /// What is to be charged, if it is known already.
    pub payment_method: Option<String>,
    /// The caller's own words.
    pub metadata: BTreeMap<String, String>,
}

/// A request to give money back; its values have been checked.
#[derive(Debug, Clone)]
pub struct NewRefund {
    /// Which intent.
    pub intent: String,
    /// KRW; None for all that is left.
    pub amount: Option<i64>,
}

/// An intent as it is, and as it was when search saw it.
#[derive(Debug)]
struct Record {
    now: Intent,
    /// Every state with the time it began, oldest first; the last one is `now`.
    history: Vec<(Timestamp, Intent)>,
}

/// All payment intents.
#[derive(Debug)]
pub struct Book {
    search_lag: Duration,
    intents: HashMap<String, Record>,
    /// Ids in order of creation.
    ids: Vec<String>,
    /// Order id to intent ids, in order of creation.
    by_order: HashMap<String, Vec<String>>,
}

impl Book {
    /// No intents yet. Search finds what was `search_lag` ago.
    pub fn new(search_lag: Duration) -> Self {
        Self { search_lag, intents: HashMap::new(), ids: Vec::new(), by_order: HashMap::new() }
    }

    /// Creates an intent; no money moves.
    pub fn create(&mut self, id: &str, new: &NewIntent, now: Timestamp) -> &Intent {
        let order_id = new.metadata.get(ORDER_ID).cloned().unwrap_or_default();
        self.ids.push(id.to_owned());
        self.by_order.entry(order_id.clone()).or_default().push(id.to_owned());
        let intent = Intent {
            money: Money::new(Dialect::Stripe, id, &order_id, new.amount),
            payment_method: new.payment_method.clone(),
            metadata: new.metadata.clone(),
            created: now,
            canceled: None,
            last_decline: None,
        };
        let history = vec![(now, intent.clone())];
        &self.intents.entry(id.to_owned()).or_insert(Record { now: intent, history }).now
    }

    /// Captures the whole amount, from `payment_method` or else the one the intent has. With `decline`, refuses it
    /// with that code instead: the intent then wants another payment method, and can still be captured.
    ///
    /// # Errors
    /// As the protocol words them; the money has then not moved.
    pub fn confirm(
        &mut self,
        id: &str,
        payment_method: Option<&str>,
        idempotency_key: Option<&str>,
        decline: Option<&str>,
        now: Timestamp,
        ledger: &mut Ledger,
    ) -> Result<&Intent, Refusal> {
        let lag = self.search_lag;
        let record = self.record(id, "intent")?;
        let intent = &mut record.now;
        if matches!(intent.status(), IntentStatus::Succeeded | IntentStatus::Canceled) {
            return Err(Refusal::unexpected_state(intent, "confirmed"));
        }
        if let Some(method) = payment_method {
            intent.payment_method = Some(method.to_owned());
        }
        if intent.payment_method.is_none() {
            return Err(Refusal::unexpected_state(intent, "confirmed without a payment method"));
        }
        let result = match decline {
            Some(code) => Err(intent.decline(code)),
            None => intent
                .money
                .capture(idempotency_key, now, ledger)
                .map_err(|error| Refusal::money(&error, intent)),
        };
        if result.is_ok() {
            intent.last_decline = None;
        }
        record.note(now, lag);
        result.map(|()| &record.now)
    }

    /// Makes the intent impossible to capture, for good.
    ///
    /// # Errors
    /// As the protocol words them; the intent is then as it was.
    pub fn cancel(&mut self, id: &str, reason: Option<&str>, now: Timestamp) -> Result<&Intent, Refusal> {
        let lag = self.search_lag;
        let record = self.record(id, "intent")?;
        if matches!(record.now.status(), IntentStatus::Succeeded | IntentStatus::Canceled) {
            return Err(Refusal::unexpected_state(&record.now, "canceled"));
        }
        record.now.canceled = Some(Cancellation { at: now, reason: reason.map(str::to_owned) });
        record.note(now, lag);
        Ok(&record.now)
    }

    /// Gives money back, in whole or in part. The refund is the intent's last one.
    ///
    /// # Errors
    /// As the protocol words them; the money has then not moved.
    pub fn refund(
        &mut self,
        refund: &NewRefund,
        idempotency_key: Option<&str>,
        now: Timestamp,
        ledger: &mut Ledger,
    ) -> Result<&Intent, Refusal> {
        let lag = self.search_lag;
        let record = self.record(&refund.intent, "payment_intent")?;
        let result = record.now.money.give_back(refund.amount, "", idempotency_key, now, ledger);
        result.map_err(|error| Refusal::money(&error, &record.now))?;
        record.note(now, lag);
        Ok(&record.now)
    }

    /// The intent of an id.
    ///
    /// # Errors
    /// 404 `resource_missing`.
    pub fn get(&self, id: &str) -> Result<&Intent, Refusal> {
        self.intents.get(id).map(|record| &record.now).ok_or_else(|| Refusal::missing(id, "intent"))
    }

    /// The intents of an order as they were the search's lag ago, newest first.
    pub fn search(&self, order_id: &str, now: Timestamp) -> Vec<&Intent> {
        let ids = self.by_order.get(order_id).map(Vec::as_slice).unwrap_or_default();
        let records = ids.iter().rev().filter_map(|id| self.intents.get(id));
        records.filter_map(|record| record.seen(now, self.search_lag)).collect()
    }

    /// All intents, in order of creation.
    pub fn all(&self) -> Vec<Intent> {
        self.ids.iter().filter_map(|id| self.get(id).ok().cloned()).collect()
    }

    /// Does again what a ledger entry of an earlier run says, and returns the intent as it then stood. The ledger
    /// knows neither payment methods nor metadata other than the order id.
    ///
    /// # Errors
    /// A sentence when the entry cannot follow those before it.
    pub fn restore(&mut self, entry: &Entry) -> Result<&Intent, String> {
        let id = &entry.payment_key;
        if entry.kind == EntryKind::Capture && !self.intents.contains_key(id) {
            let order = Some(entry.order_id.clone()).filter(|order| !order.is_empty());
            let metadata = order.map(|order| (ORDER_ID.to_owned(), order)).into_iter().collect();
            let new = NewIntent { amount: entry.amount, payment_method: None, metadata };
            self.create(id, &new, entry.at);
        }
        let lag = self.search_lag;
        let record = self.intents.get_mut(id).ok_or("it refunds an unknown payment intent")?;
        record.now.money.restore(entry).map_err(|error| error.to_string())?;
        record.note(entry.at, lag);
        Ok(&record.now)
    }

    /// Forgets all intents.
    pub fn clear(&mut self) {
        self.intents.clear();
        self.ids.clear();
        self.by_order.clear();
    }

    fn record(&mut self, id: &str, param: &'static str) -> Result<&mut Record, Refusal> {
        self.intents.get_mut(id).ok_or_else(|| Refusal::missing(id, param))
    }
}

impl Intent {
    fn decline(&mut self, code: &str) -> Refusal {
        self.payment_method = None;
        self.last_decline = Some(Decline { code: code.to_owned() });
        let declined = Some("card_declined");
        let refusal = Refusal::new(402, RefusalKind::Card, declined, "Your card was declined.");
        Refusal { decline_code: Some(code.to_owned()), ..refusal.with(self) }
    }
}

impl Record {
    /// Remembers the present state for search, and forgets what search can no longer see.
    fn note(&mut self, now: Timestamp, lag: Duration) {
        let seen = self.history.iter().rposition(|(since, _)| visible(*since, now, lag));
        self.history.drain(..seen.unwrap_or(0));
        self.history.push((now, self.now.clone()));
    }

    fn seen(&self, now: Timestamp, lag: Duration) -> Option<&Intent> {
        self.history.iter().rev().find(|(since, _)| visible(*since, now, lag)).map(|(_, intent)| intent)
    }
}

fn visible(since: Timestamp, now: Timestamp, lag: Duration) -> bool {
    Duration::try_from(now.duration_since(since)).is_ok_and(|age| age >= lag)
}

#[cfg(test)]
#[path = "stripe_tests.rs"]
mod tests;
