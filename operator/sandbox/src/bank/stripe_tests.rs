//! The rules of Stripe, one test each.

use super::*;

const LAG: Duration = Duration::from_mins(1);

struct Desk {
    book: Book,
    ledger: Ledger,
    now: Timestamp,
}

impl Desk {
    fn open() -> Self {
        Self { book: Book::new(LAG), ledger: Ledger::in_memory(), now: Timestamp::UNIX_EPOCH }
    }

    /// With an intent `pi_1` of 100 KRW for `order-1`.
    fn with_intent() -> Self {
        let mut desk = Self::open();
        desk.create("pi_1", Some("pm_1"));
        desk
    }

    fn create(&mut self, id: &str, method: Option<&str>) -> Intent {
        let metadata = BTreeMap::from([(ORDER_ID.to_owned(), "order-1".to_owned())]);
        let new = NewIntent { amount: 100, payment_method: method.map(str::to_owned), metadata };
        self.book.create(id, &new, self.now).clone()
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    fn confirm(&mut self, id: &str, method: Option<&str>) -> Result<Intent, Refusal> {
        self.book.confirm(id, method, None, None, self.now, &mut self.ledger).cloned()
    }

    fn decline(&mut self, id: &str) -> Refusal {
        let result = self.book.confirm(id, None, None, Some("lost_card"), self.now, &mut self.ledger);
        result.cloned().unwrap_err()
    }

    fn cancel(&mut self, id: &str) -> Result<Intent, Refusal> {
        self.book.cancel(id, Some("abandoned"), self.now).cloned()
    }

    fn refund(&mut self, id: &str, amount: Option<i64>) -> Result<Intent, Refusal> {
        let refund = NewRefund { intent: id.into(), amount };
        self.book.refund(&refund, None, self.now, &mut self.ledger).cloned()
    }

    fn found(&self) -> Vec<(&str, IntentStatus)> {
        let found = self.book.search("order-1", self.now);
        found.into_iter().map(|intent| (intent.id(), intent.status())).collect()
    }

    fn amounts(&self) -> Vec<i64> {
        self.ledger.entries().iter().map(|entry| entry.amount).collect()
    }
}

fn code(result: Result<Intent, Refusal>) -> (u16, &'static str) {
    let refusal = result.unwrap_err();
    (refusal.status, refusal.code.unwrap())
}

const UNEXPECTED: (u16, &str) = (400, "payment_intent_unexpected_state");

#[test]
fn an_intent_captures_once() {
    let mut desk = Desk::with_intent();
    assert_eq!(desk.book.get("pi_1").unwrap().status(), IntentStatus::RequiresConfirmation);
    assert_eq!(desk.confirm("pi_1", None).unwrap().status(), IntentStatus::Succeeded);
    let again = desk.confirm("pi_1", None).unwrap_err();
    assert_eq!(again.intent.as_ref().unwrap().status(), IntentStatus::Succeeded, "the caller is told");
    assert_eq!(code(Err(again)), UNEXPECTED);
    assert_eq!(desk.amounts(), [100]);
}

#[test]
fn two_intents_of_one_order_both_capture_and_the_ledger_shows_it() {
    let mut desk = Desk::with_intent();
    desk.create("pi_2", Some("pm_1"));
    desk.confirm("pi_1", None).unwrap();
    desk.confirm("pi_2", None).unwrap();
    let orders: Vec<_> = desk.ledger.entries().iter().map(|entry| entry.order_id.as_str()).collect();
    assert_eq!(orders, ["order-1", "order-1"]);
}

#[test]
fn a_decline_moves_no_money_and_takes_the_payment_method_away_but_is_not_final() {
    let mut desk = Desk::with_intent();
    let declined = desk.decline("pi_1");
    assert_eq!(
        (declined.status, declined.kind, declined.code),
        (402, RefusalKind::Card, Some("card_declined"))
    );
    assert_eq!(declined.decline_code.as_deref(), Some("lost_card"));
    assert_eq!(declined.intent.unwrap().status(), IntentStatus::RequiresPaymentMethod);
    assert_eq!(code(desk.confirm("pi_1", None)), UNEXPECTED, "there is nothing to charge");
    assert!(desk.amounts().is_empty());
    let captured = desk.confirm("pi_1", Some("pm_1")).unwrap();
    assert_eq!((captured.status(), captured.last_decline), (IntentStatus::Succeeded, None));
}

#[test]
fn an_intent_without_a_payment_method_waits_for_one() {
    let mut desk = Desk::open();
    assert_eq!(desk.create("pi_1", None).status(), IntentStatus::RequiresPaymentMethod);
    assert_eq!(code(desk.confirm("pi_1", None)), UNEXPECTED);
    assert_eq!(desk.confirm("pi_1", Some("pm_1")).unwrap().status(), IntentStatus::Succeeded);
}

#[test]
fn a_canceled_intent_can_never_be_confirmed_any_more() {
    let mut desk = Desk::with_intent();
    let canceled = desk.cancel("pi_1").unwrap();
    assert_eq!(canceled.status(), IntentStatus::Canceled);
    assert_eq!(canceled.canceled.unwrap().reason.as_deref(), Some("abandoned"));
    assert_eq!(code(desk.confirm("pi_1", Some("pm_2"))), UNEXPECTED);
    assert_eq!(code(desk.cancel("pi_1")), UNEXPECTED, "nor canceled again");
    assert_eq!(code(desk.refund("pi_1", None)), UNEXPECTED);
    assert!(desk.amounts().is_empty());
}

#[test]
fn what_was_captured_cannot_be_canceled() {
    let mut desk = Desk::with_intent();
    desk.confirm("pi_1", None).unwrap();
    assert_eq!(code(desk.cancel("pi_1")), UNEXPECTED);
    desk.refund("pi_1", None).unwrap();
    assert_eq!(desk.book.get("pi_1").unwrap().status(), IntentStatus::Succeeded);
    assert_eq!(code(desk.cancel("pi_1")), UNEXPECTED, "nor once it was refunded");
}

#[test]
fn refunds_add_up_to_the_capture_and_never_exceed_it() {
    let mut desk = Desk::with_intent();
    assert_eq!(code(desk.refund("pi_1", None)), UNEXPECTED, "nothing was captured");
    desk.confirm("pi_1", None).unwrap();
    assert_eq!(desk.refund("pi_1", Some(30)).unwrap().money.refunded(), 30);
    assert_eq!(code(desk.refund("pi_1", Some(71))), (400, "parameter_invalid_integer"));
    assert_eq!(desk.refund("pi_1", None).unwrap().money.balance(), 0);
    assert_eq!(code(desk.refund("pi_1", Some(1))), (400, "charge_already_refunded"));
    assert_eq!(desk.amounts(), [100, 30, 70]);
}

#[test]
fn an_unknown_intent_is_missing_whatever_is_wanted_of_it() {
    let mut desk = Desk::open();
    let missing = (404, "resource_missing");
    assert_eq!(code(desk.book.get("pi_1").cloned()), missing);
    assert_eq!(code(desk.confirm("pi_1", Some("pm_1"))), missing);
    assert_eq!(code(desk.cancel("pi_1")), missing);
    assert_eq!(code(desk.refund("pi_1", None)), missing);
}

#[test]
fn search_shows_what_was_a_minute_ago_and_the_look_up_by_id_what_is() {
    let mut desk = Desk::with_intent();
    assert!(desk.found().is_empty());
    desk.pass(30);
    desk.confirm("pi_1", None).unwrap();
    desk.create("pi_2", None);
    desk.pass(30);
    assert_eq!(desk.found(), [("pi_1", IntentStatus::RequiresConfirmation)]);
    assert_eq!(desk.book.get("pi_1").unwrap().status(), IntentStatus::Succeeded);
    desk.pass(30);
    let newest_first = [("pi_2", IntentStatus::RequiresPaymentMethod), ("pi_1", IntentStatus::Succeeded)];
    assert_eq!(desk.found(), newest_first);
    assert!(desk.book.search("order-2", desk.now).is_empty());
}

#[test]
fn search_keeps_no_more_history_than_it_can_show() {
    let mut desk = Desk::with_intent();
    for _ in 0..100 {
        desk.pass(90);
        desk.confirm("pi_1", None).unwrap_or_else(|_| desk.refund("pi_1", Some(1)).unwrap());
    }
    assert!(desk.book.intents["pi_1"].history.len() <= 2);
}

#[test]
fn a_book_restored_from_the_ledger_stands_where_the_first_one_stood_with_the_same_ids() {
    let mut desk = Desk::with_intent();
    let before = desk.confirm("pi_1", None).unwrap();
    desk.refund("pi_1", Some(30)).unwrap();
    let mut restored = Book::new(LAG);
    for entry in desk.ledger.entries() {
        restored.restore(entry).unwrap();
        assert!(restored.restore(&Entry { amount: 101, ..entry.clone() }).is_err(), "and no more than that");
    }
    let intent = restored.get("pi_1").unwrap();
    assert_eq!((intent.status(), intent.money.balance()), (IntentStatus::Succeeded, 70));
    assert_eq!((intent.charge_id(), &intent.metadata), (before.charge_id(), &before.metadata));
    assert_eq!(intent.refund_id(0), "re_1_1");
    assert_eq!(restored.search("order-1", desk.now + LAG).len(), 1);
}
