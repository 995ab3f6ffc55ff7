//! The rules of Toss, one test each.

use super::*;

struct Desk {
    bank: Book,
    ledger: Ledger,
    now: Timestamp,
}

impl Desk {
    fn open() -> Self {
        Self::with(false)
    }

    fn with(strict: bool) -> Self {
        let bank = Book::new(strict, Duration::from_mins(10));
        Self { bank, ledger: Ledger::in_memory(), now: Timestamp::UNIX_EPOCH }
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    fn confirm(&mut self, key: &str, order: &str, amount: i64) -> Result<Payment, Rejection> {
        self.bank.confirm(&checkout(key, order, amount), None, None, self.now, &mut self.ledger).cloned()
    }

    fn decline(&mut self, key: &str, code: &str) -> Result<Payment, Rejection> {
        let checkout = checkout(key, "order-1", 100);
        self.bank.confirm(&checkout, None, Some(code), self.now, &mut self.ledger).cloned()
    }

    fn cancel(&mut self, key: &str, amount: Option<i64>) -> Result<Payment, Rejection> {
        let cancel = Cancel { payment_key: key.into(), reason: "test".into(), amount };
        self.bank.cancel(&cancel, None, self.now, &mut self.ledger).cloned()
    }

    fn amounts(&self) -> Vec<i64> {
        self.ledger.entries().iter().map(|entry| entry.amount).collect()
    }
}

fn checkout(key: &str, order: &str, amount: i64) -> Checkout {
    Checkout { payment_key: key.into(), order_id: order.into(), amount }
}

fn code(result: Result<Payment, Rejection>) -> (u16, String) {
    let rejection = result.unwrap_err();
    (rejection.status, rejection.code)
}

#[test]
fn a_payment_key_captures_once() {
    let mut desk = Desk::open();
    assert_eq!(desk.confirm("pk", "order-1", 100).unwrap().status, Status::Done);
    assert_eq!(code(desk.confirm("pk", "order-1", 100)), (400, "ALREADY_PROCESSED_PAYMENT".into()));
    assert_eq!(desk.amounts(), [100]);
}

#[test]
fn an_order_is_captured_by_one_payment_key_only() {
    let mut desk = Desk::open();
    desk.confirm("pk-1", "order-1", 100).unwrap();
    assert_eq!(code(desk.confirm("pk-2", "order-1", 100)), (400, "DUPLICATED_ORDER_ID".into()));
    assert_eq!(desk.bank.by_order("order-1", desk.now).unwrap().money.payment_key(), "pk-1");
}

#[test]
fn the_order_and_the_amount_are_fixed_at_checkout() {
    let mut desk = Desk::with(true);
    desk.bank.register(&checkout("pk", "order-1", 100), desk.now).unwrap();
    assert_eq!(code(desk.confirm("pk", "order-1", 99)), (400, "INVALID_REQUEST".into()));
    assert_eq!(code(desk.confirm("pk", "order-2", 100)), (400, "INVALID_REQUEST".into()));
    assert_eq!(desk.confirm("pk", "order-1", 100).unwrap().status, Status::Done);
}

#[test]
fn a_registered_payment_key_cannot_be_registered_again() {
    let mut desk = Desk::open();
    desk.bank.register(&checkout("pk", "order-1", 100), desk.now).unwrap();
    let again = desk.bank.register(&checkout("pk", "order-2", 1), desk.now).cloned();
    assert_eq!(code(again), (400, "DUPLICATED_PAYMENT_KEY".into()));
}

#[test]
fn an_unknown_key_has_no_session_when_checkouts_are_strict() {
    let mut desk = Desk::with(true);
    assert_eq!(code(desk.confirm("pk", "order-1", 100)), (404, "NOT_FOUND_PAYMENT_SESSION".into()));
    assert!(desk.amounts().is_empty());
}

#[test]
fn a_checkout_that_is_not_confirmed_in_time_expires_for_good() {
    let mut desk = Desk::open();
    desk.bank.register(&checkout("pk", "order-1", 100), desk.now).unwrap();
    desk.pass(599);
    assert_eq!(desk.bank.by_key("pk", desk.now).unwrap().status, Status::InProgress);
    desk.pass(1);
    assert_eq!(desk.bank.by_key("pk", desk.now).unwrap().status, Status::Expired);
    assert_eq!(code(desk.confirm("pk", "order-1", 100)), (404, "NOT_FOUND_PAYMENT_SESSION".into()));
}

#[test]
fn a_captured_payment_does_not_expire() {
    let mut desk = Desk::open();
    desk.confirm("pk", "order-1", 100).unwrap();
    desk.pass(100_000);
    assert_eq!(desk.bank.by_key("pk", desk.now).unwrap().status, Status::Done);
}

#[test]
fn a_decline_is_final_and_moves_no_money() {
    let mut desk = Desk::open();
    assert_eq!(code(desk.decline("pk", "REJECT_CARD_PAYMENT")), (403, "REJECT_CARD_PAYMENT".into()));
    assert_eq!(code(desk.confirm("pk", "order-1", 100)), (403, "REJECT_CARD_PAYMENT".into()));
    assert_eq!(desk.bank.by_order("order-1", desk.now).unwrap().status, Status::Aborted);
    assert!(desk.amounts().is_empty());
    assert_eq!(
        code(desk.decline("pk-2", "INVALID_CARD_EXPIRATION")),
        (400, "INVALID_CARD_EXPIRATION".into())
    );
}

#[test]
fn after_a_decline_the_order_can_be_paid_with_another_key() {
    let mut desk = Desk::open();
    desk.decline("pk-1", "REJECT_CARD_PAYMENT").unwrap_err();
    assert_eq!(desk.confirm("pk-2", "order-1", 100).unwrap().status, Status::Done);
    assert_eq!(desk.bank.by_order("order-1", desk.now).unwrap().money.payment_key(), "pk-2");
}

#[test]
fn refunds_add_up_to_the_capture_and_never_exceed_it() {
    let mut desk = Desk::open();
    desk.confirm("pk", "order-1", 100).unwrap();
    let part = desk.cancel("pk", Some(30)).unwrap();
    assert_eq!((part.status, part.money.balance()), (Status::PartialCanceled, 70));
    assert_eq!(code(desk.cancel("pk", Some(71))), (403, "NOT_CANCELABLE_AMOUNT".into()));
    let whole = desk.cancel("pk", None).unwrap();
    assert_eq!((whole.status, whole.money.balance()), (Status::Canceled, 0));
    assert_eq!(code(desk.cancel("pk", Some(1))), (400, "ALREADY_CANCELED_PAYMENT".into()));
    assert_eq!(desk.amounts(), [100, 30, 70]);
}

#[test]
fn what_was_never_captured_cannot_be_refunded() {
    let mut desk = Desk::open();
    assert_eq!(code(desk.cancel("pk", None)), (404, "NOT_FOUND_PAYMENT".into()));
    desk.bank.register(&checkout("pk", "order-1", 100), desk.now).unwrap();
    assert_eq!(code(desk.cancel("pk", None)), (403, "NOT_CANCELABLE_PAYMENT".into()));
}

#[test]
fn amounts_that_are_not_positive_are_refused() {
    let mut desk = Desk::open();
    assert_eq!(code(desk.confirm("pk", "order-1", 0)), (400, "INVALID_REQUEST".into()));
    desk.confirm("pk", "order-1", 100).unwrap();
    assert_eq!(code(desk.cancel("pk", Some(-5))), (400, "INVALID_REQUEST".into()));
    assert_eq!(desk.amounts(), [100]);
}

#[test]
fn a_bank_restored_from_the_ledger_stands_where_the_first_one_stood() {
    let mut desk = Desk::open();
    desk.confirm("pk", "order-1", 100).unwrap();
    desk.cancel("pk", Some(30)).unwrap();
    let mut restored = Book::new(false, Duration::from_mins(10));
    for entry in desk.ledger.entries() {
        restored.restore(entry).unwrap();
    }
    let payment = restored.by_key("pk", desk.now).unwrap();
    assert_eq!((payment.status, payment.money.balance()), (Status::PartialCanceled, 70));
    let capture = desk.ledger.entries()[0].clone();
    assert!(restored.restore(&capture).is_err(), "a second capture cannot be restored");
    let refund = Entry { amount: 71, ..desk.ledger.entries()[1].clone() };
    assert!(restored.restore(&refund).is_err(), "nor a refund beyond the balance");
}
