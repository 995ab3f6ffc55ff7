//! What only Stripe promises: payments that are prepared and voided, keys that are matched with all they were sent
//! with, stored 5xx, a search that lags.

use std::time::Duration;

use fooddelivery_providers::{ChargeRequest, Dialect, LookUpRequest, PrepareRequest, RefundRequest};
use fooddelivery_saga::provider::{
    CallFailure, ChargeOutcome, LookUpOutcome, PrepareOutcome, ProviderStatus, RefundOutcome, VoidOutcome,
};
use fooddelivery_sandbox::Config;
use fooddelivery_sandbox::faults::{Fault, Operation};
use futures::future::join;

use crate::common::{AMOUNT, Shop, preparation, question, refund_is_unknown, request, rule, void_of};

async fn open() -> Shop {
    Shop::open(Dialect::Stripe).await
}

async fn with_fault(operation: Operation, fault: Fault) -> Shop {
    Shop::with_fault(Dialect::Stripe, operation, fault).await
}

async fn void(shop: &Shop) -> VoidOutcome {
    shop.port.void(&void_of(shop.payment_id())).await
}

fn is_spent(outcome: &ChargeOutcome) -> bool {
    matches!(outcome, ChargeOutcome::CallFailure(CallFailure::IdempotencyKeyConsumed(_)))
}

#[tokio::test]
async fn payments_are_prepared_and_an_answer_is_kept_for_a_day() {
    let traits = open().await.port.traits();
    assert_eq!((traits.prepares, traits.key_retention), (true, Duration::from_hours(24)));
}

#[tokio::test]
async fn a_preparation_makes_one_open_payment_however_often_it_is_repeated() {
    let shop = open().await;
    let again = shop.port.prepare(&preparation(&request())).await;
    let expected = shop.payment(ProviderStatus::Open);
    assert_eq!(again, PrepareOutcome::Prepared(expected.clone()));
    assert_eq!(shop.found().await, expected);
    assert_eq!(shop.sandbox.payment_intents().len(), 1);
    assert!(shop.sandbox.ledger().is_empty());
}

#[tokio::test]
async fn a_preparation_under_a_used_key_with_other_parameters_spends_the_key_and_makes_nothing() {
    let shop = open().await;
    let dearer = PrepareRequest { amount: AMOUNT + 1, ..preparation(&request()) };
    let outcome = shop.port.prepare(&dearer).await;
    assert!(
        matches!(outcome, PrepareOutcome::CallFailure(CallFailure::IdempotencyKeyConsumed(_))),
        "{outcome:?}"
    );
    assert_eq!(shop.sandbox.payment_intents().len(), 1);
}

#[tokio::test]
async fn a_preparation_that_cannot_be_right_is_refused() {
    let shop = open().await;
    let nothing =
        PrepareRequest { amount: 0, idempotency_key: "prepare-2".into(), ..preparation(&request()) };
    let outcome = shop.port.prepare(&nothing).await;
    let refused = matches!(&outcome, PrepareOutcome::Refused(no) if no.code == "parameter_invalid_integer");
    assert!(refused, "{outcome:?}");
}

#[tokio::test]
async fn a_preparation_that_lost_its_answer_is_found_again_under_its_key() {
    for fault in [Fault::DropBefore, Fault::DropAfter, Fault::GarbledAnswer, Fault::DuplicateDelivery] {
        let shop = with_fault(Operation::Prepare, fault.clone()).await;
        let preparation = PrepareRequest {
            idempotency_key: "prepare-2".into(),
            order_id: "order-2".into(),
            ..preparation(&request())
        };
        let first = shop.port.prepare(&preparation).await;
        let lost = matches!(first, PrepareOutcome::CallFailure(CallFailure::OutcomeUnknown(_)));
        assert_eq!(lost, fault != Fault::DuplicateDelivery, "{fault:?}: {first:?}");
        let second = shop.port.prepare(&preparation).await;
        assert!(matches!(second, PrepareOutcome::Prepared(_)), "{fault:?}: {second:?}");
        assert_eq!(shop.sandbox.payment_intents().len(), 2, "{fault:?}: of two orders");
    }
}

#[tokio::test]
async fn what_was_not_prepared_is_not_charged_and_nothing_is_sent() {
    let shop = open().await;
    let outcome = shop.port.charge(&ChargeRequest { payment_id: None, ..request() }).await;
    assert!(matches!(outcome, ChargeOutcome::CallFailure(CallFailure::NotSent(_))), "{outcome:?}");
    for unsendable in ["", "..", "."] {
        let request = ChargeRequest { payment_id: Some(unsendable.into()), ..request() };
        let outcome = shop.port.charge(&request).await;
        assert!(matches!(outcome, ChargeOutcome::CallFailure(CallFailure::NotSent(_))), "{outcome:?}");
    }
    assert!(shop.calls(Operation::Confirm).is_empty());
}

#[tokio::test]
async fn a_payment_that_the_account_does_not_know_is_no_refusal() {
    let shop = open().await;
    let outcome = shop.port.charge(&request()).await;
    assert!(matches!(outcome, ChargeOutcome::CallFailure(CallFailure::OutcomeUnknown(_))), "{outcome:?}");
    assert_eq!(shop.port.look_up(&question(&request())).await, LookUpOutcome::NotFound);
    let outcome = shop.port.void(&void_of("pi_1")).await;
    assert!(matches!(outcome, VoidOutcome::CallFailure(CallFailure::OutcomeUnknown(_))), "{outcome:?}");
    let unknown = RefundRequest { payment_id: "pi_1".into(), ..shop.refund_request(1) };
    assert!(refund_is_unknown(&shop.port.refund(&unknown).await));
}

#[tokio::test]
async fn a_key_used_for_another_payment_is_spent() {
    let shop = open().await;
    shop.charge().await;
    let other = ChargeRequest { idempotency_key: "charge-2".into(), order_id: "order-2".into(), ..request() };
    let other = ChargeRequest { idempotency_key: "charge-1".into(), ..shop.ready(other).await };
    assert!(is_spent(&shop.port.charge(&other).await));
    assert_eq!(shop.captures(), [AMOUNT]);
}

#[tokio::test]
async fn a_decline_is_final_for_its_key_and_another_key_can_still_capture() {
    let declined = Fault::Decline { code: Some("insufficient_funds".into()) };
    let shop = with_fault(Operation::Confirm, declined).await;
    for _ in 0..2 {
        let outcome = shop.charge().await;
        let refused = matches!(&outcome, ChargeOutcome::Refused(no) if no.code == "insufficient_funds");
        assert!(refused, "{outcome:?}");
    }
    assert_eq!(shop.found().await.status, ProviderStatus::Open, "so it has to be voided to be final");
    assert!(matches!(shop.charge_as("charge-2").await, ChargeOutcome::Captured(_)));
    assert_eq!(shop.captures(), [AMOUNT]);
}

#[tokio::test]
async fn a_5xx_is_stored_so_that_its_key_is_spent_and_another_key_or_a_look_up_tells() {
    for (fault, moved) in
        [(Fault::ErrorBefore { status: 503 }, false), (Fault::ErrorAfter { status: 500 }, true)]
    {
        let shop = with_fault(Operation::Confirm, fault.clone()).await;
        let first = shop.charge().await;
        assert!(matches!(first, ChargeOutcome::CallFailure(CallFailure::Errored(_))), "{fault:?}: {first:?}");
        assert!(is_spent(&shop.charge().await), "{fault:?}");
        let (status, next): (_, fn(&ChargeOutcome) -> bool) = if moved {
            (ProviderStatus::Captured, |next| *next == ChargeOutcome::AlreadyProcessed)
        } else {
            (ProviderStatus::Open, |next| matches!(next, ChargeOutcome::Captured(_)))
        };
        assert_eq!(shop.found().await.status, status, "{fault:?}");
        let second = shop.charge_as("charge-2").await;
        assert!(next(&second), "{fault:?}: {second:?}");
        assert_eq!(shop.captures(), [AMOUNT], "{fault:?}");
    }
}

#[tokio::test]
async fn what_is_voided_can_never_be_charged_and_is_voided_as_often_as_one_asks() {
    let shop = open().await;
    assert_eq!(void(&shop).await, VoidOutcome::Voided);
    assert_eq!(void(&shop).await, VoidOutcome::Voided);
    for key in ["charge-1", "charge-2"] {
        let outcome = shop.charge_as(key).await;
        assert!(matches!(&outcome, ChargeOutcome::Refused(no) if no.code == "canceled"), "{outcome:?}");
    }
    assert_eq!(shop.found().await.status, ProviderStatus::Failed);
    assert!(shop.captures().is_empty());
}

#[tokio::test]
async fn an_error_of_the_provider_does_not_keep_a_payment_from_being_voided_later() {
    let shop = with_fault(Operation::Void, Fault::ErrorBefore { status: 500 }).await;
    assert!(matches!(void(&shop).await, VoidOutcome::CallFailure(CallFailure::Errored(_))));
    assert_eq!(void(&shop).await, VoidOutcome::Voided);
}

#[tokio::test]
async fn what_is_charged_cannot_be_voided() {
    let shop = open().await;
    shop.charge().await;
    assert_eq!(void(&shop).await, VoidOutcome::TooLate);
    assert_eq!(shop.found().await.status, ProviderStatus::Captured);
}

#[tokio::test]
async fn of_a_charge_and_a_void_at_once_exactly_one_comes_through() {
    for (charge_ms, void_ms) in [(0, 0), (100, 0), (0, 100)] {
        let shop = open().await;
        shop.faults(vec![
            rule(Operation::Confirm, Fault::DelayBefore { ms: charge_ms }),
            rule(Operation::Void, Fault::DelayBefore { ms: void_ms }),
        ]);
        match join(shop.charge(), void(&shop)).await {
            (ChargeOutcome::Captured(_), VoidOutcome::TooLate) => assert_eq!(shop.captures(), [AMOUNT]),
            (ChargeOutcome::Refused(_), VoidOutcome::Voided) => assert!(shop.captures().is_empty()),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_void_that_lost_its_answer_is_unknown_and_its_repeat_voids() {
    for fault in [Fault::DropBefore, Fault::DropAfter, Fault::GarbledAnswer] {
        let shop = with_fault(Operation::Void, fault.clone()).await;
        let outcome = void(&shop).await;
        assert!(
            matches!(outcome, VoidOutcome::CallFailure(CallFailure::OutcomeUnknown(_))),
            "{fault:?}: {outcome:?}"
        );
        assert_eq!(void(&shop).await, VoidOutcome::Voided, "{fault:?}");
    }
    let shop = with_fault(Operation::Void, Fault::ErrorAfter { status: 500 }).await;
    assert!(matches!(void(&shop).await, VoidOutcome::CallFailure(CallFailure::Errored(_))));
    assert_eq!(shop.found().await.status, ProviderStatus::Failed, "the look-up tells");
    assert_eq!(void(&shop).await, VoidOutcome::Voided, "and so does the repeat");
}

#[tokio::test]
async fn without_an_id_a_payment_is_searched_for_which_lags() {
    let lag = Duration::from_secs(4);
    let shop = Shop::with(Dialect::Stripe, Config { search_lag: lag, ..Config::default() }).await;
    let by_order = LookUpRequest { payment_id: None, ..question(&request()) };
    assert_eq!(shop.port.look_up(&by_order).await, LookUpOutcome::NotFound, "which says little");
    tokio::time::sleep(lag).await;
    shop.charge().await;
    let LookUpOutcome::Found(found) = shop.port.look_up(&by_order).await else { panic!("not found") };
    assert_eq!(found.payment_id, shop.payment_id());
    assert_eq!(found.status, ProviderStatus::Captured, "found late, and read as it is now");
    let other = LookUpRequest { order_id: "order-2".into(), ..by_order };
    assert_eq!(shop.port.look_up(&other).await, LookUpOutcome::NotFound);
}

#[tokio::test]
async fn a_refund_that_cannot_be_read_back_is_unknown_and_its_repeat_gives_nothing_more_back() {
    let shop = open().await;
    shop.charge().await;
    for (number, fault) in
        [Fault::DropBefore, Fault::ErrorBefore { status: 500 }, Fault::GarbledAnswer].into_iter().enumerate()
    {
        shop.fault(Operation::LookUp, fault.clone());
        let idempotency_key = format!("refund-{number}");
        let request = RefundRequest { idempotency_key, ..shop.refund_request(1_000) };
        let outcome = shop.port.refund(&request).await;
        assert!(refund_is_unknown(&outcome), "{fault:?}: {outcome:?}");
        let RefundOutcome::Refunded(payment) = shop.port.refund(&request).await else { panic!("{fault:?}") };
        let so_far = 1_000 * i64::try_from(number + 1).expect("a few");
        assert_eq!(payment.refunded, so_far, "{fault:?}: with those before it");
    }
    assert_eq!(shop.refunds(), [1_000; 3]);
}

#[tokio::test]
async fn a_refund_under_a_used_key_with_another_amount_spends_the_key_and_gives_nothing_back() {
    let shop = open().await;
    shop.charge().await;
    shop.refund(1_000).await;
    let outcome = shop.refund(2_000).await;
    assert!(
        matches!(outcome, RefundOutcome::CallFailure(CallFailure::IdempotencyKeyConsumed(_))),
        "{outcome:?}"
    );
    assert_eq!(shop.refunds(), [1_000]);
}
