//! Charges that go wrong: whatever the answer was, the ledger shows the money once.

use fooddelivery_providers::{ChargeRequest, Dialect, Token};
use fooddelivery_saga::provider::{CallFailure, ChargeOutcome, ProviderStatus};
use fooddelivery_sandbox::Outage;
use fooddelivery_sandbox::faults::{Fault, Operation};
use futures::future::join_all;

use crate::common::{AMOUNT, Shop, is_unknown, request, rule};

both!(
    a_connection_dropped_before_the_money_moved_is_unknown_and_the_repeat_captures_once,
    a_fault_after_the_money_moved_is_unknown_the_look_up_finds_it_and_the_repeat_captures_no_more,
    a_5xx_is_an_error_of_the_provider_and_the_look_up_tells_whether_the_money_moved,
    a_dropped_connection_is_seen_as_one_and_not_as_an_answer,
    of_many_calls_at_once_with_one_key_one_captures_and_the_others_wait,
    a_request_delivered_twice_moves_the_money_once,
    a_429_is_throttled_with_the_providers_delay_and_a_409_is_in_progress,
    a_tokens_prefix_brings_its_fault_once,
    a_provider_that_is_out_charges_nothing_and_says_so_in_its_way,
);

async fn a_connection_dropped_before_the_money_moved_is_unknown_and_the_repeat_captures_once(
    dialect: Dialect,
) {
    let shop = Shop::with_fault(dialect, Operation::Confirm, Fault::DropBefore).await;
    assert!(is_unknown(&shop.charge().await));
    assert!(shop.shows_no_capture().await);
    assert!(shop.captures().is_empty());
    assert!(matches!(shop.charge().await, ChargeOutcome::Captured(_)));
    assert_eq!(shop.captures(), [AMOUNT]);
}

async fn a_fault_after_the_money_moved_is_unknown_the_look_up_finds_it_and_the_repeat_captures_no_more(
    dialect: Dialect,
) {
    for fault in [Fault::DropAfter, Fault::GarbledAnswer] {
        let shop = Shop::with_fault(dialect, Operation::Confirm, fault.clone()).await;
        assert!(is_unknown(&shop.charge().await), "{fault:?}");
        assert_eq!(shop.found().await.status, ProviderStatus::Captured, "{fault:?}");
        assert!(matches!(shop.charge().await, ChargeOutcome::Captured(_)), "{fault:?}");
        assert_eq!(shop.captures(), [AMOUNT], "{fault:?}");
    }
}

async fn a_5xx_is_an_error_of_the_provider_and_the_look_up_tells_whether_the_money_moved(dialect: Dialect) {
    for (fault, moved) in
        [(Fault::ErrorBefore { status: 503 }, false), (Fault::ErrorAfter { status: 500 }, true)]
    {
        let shop = Shop::with_fault(dialect, Operation::Confirm, fault.clone()).await;
        let outcome = shop.charge().await;
        assert!(
            matches!(outcome, ChargeOutcome::CallFailure(CallFailure::Errored(_))),
            "{fault:?}: {outcome:?}"
        );
        assert_eq!(shop.shows_no_capture().await, !moved, "{fault:?}");
        assert_eq!(shop.captures().len(), usize::from(moved), "{fault:?}");
    }
}

async fn a_dropped_connection_is_seen_as_one_and_not_as_an_answer(dialect: Dialect) {
    let shop = Shop::with_fault(dialect, Operation::Confirm, Fault::DropAfter).await;
    let ChargeOutcome::CallFailure(CallFailure::OutcomeUnknown(why)) = shop.charge().await else {
        panic!("known")
    };
    assert!(why.starts_with("no answer: "), "{why}");
    assert_eq!(shop.calls(Operation::Confirm)[0].status, None);
}

async fn of_many_calls_at_once_with_one_key_one_captures_and_the_others_wait(dialect: Dialect) {
    let shop = Shop::with_fault(dialect, Operation::Confirm, Fault::DelayBefore { ms: 500 }).await;
    let outcomes = join_all((0..8).map(|_| shop.charge())).await;
    let count =
        |wanted: fn(&ChargeOutcome) -> bool| outcomes.iter().filter(|outcome| wanted(outcome)).count();
    assert_eq!(count(|outcome| matches!(outcome, ChargeOutcome::Captured(_))), 1, "{outcomes:?}");
    let waiting = count(|outcome| *outcome == ChargeOutcome::CallFailure(CallFailure::InProgress));
    assert_eq!(waiting, 7, "{outcomes:?}");
    assert_eq!(shop.captures(), [AMOUNT]);
}

async fn a_request_delivered_twice_moves_the_money_once(dialect: Dialect) {
    let shop = Shop::with_fault(dialect, Operation::Confirm, Fault::DuplicateDelivery).await;
    assert!(matches!(shop.charge().await, ChargeOutcome::Captured(_)));
    assert!(shop.calls(Operation::Confirm)[0].replayed);
    assert_eq!(shop.captures(), [AMOUNT]);
}

async fn a_429_is_throttled_with_the_providers_delay_and_a_409_is_in_progress(dialect: Dialect) {
    let shop = Shop::open(dialect).await;
    shop.faults(vec![
        rule(Operation::Confirm, Fault::TooManyRequests { retry_after_seconds: Some(2) }),
        rule(Operation::Confirm, Fault::TooManyRequests { retry_after_seconds: None }),
        rule(Operation::Confirm, Fault::InProgress409),
    ]);
    for failure in [
        CallFailure::Throttled { retry_after_ms: Some(2_000) },
        CallFailure::Throttled { retry_after_ms: None },
        CallFailure::InProgress,
    ] {
        assert_eq!(shop.charge().await, ChargeOutcome::CallFailure(failure));
    }
    assert!(shop.captures().is_empty());
    assert!(matches!(shop.charge().await, ChargeOutcome::Captured(_)));
}

async fn a_tokens_prefix_brings_its_fault_once(dialect: Dialect) {
    let shop = Shop::open(dialect).await.in_a_hurry();
    for (number, prefix) in ["drop_before_", "drop_after_", "slow_"].iter().enumerate() {
        let request = ChargeRequest {
            token: Token::new(format!("{prefix}{number}")),
            order_id: format!("order-{number}"),
            idempotency_key: format!("charge-of-{number}"),
            ..request()
        };
        let request = shop.ready(request).await;
        assert!(is_unknown(&shop.port.charge(&request).await), "{prefix}");
        shop.sandbox.idle().await;
        assert!(matches!(shop.port.charge(&request).await, ChargeOutcome::Captured(_)), "{prefix}");
    }
    assert_eq!(shop.captures().len(), 3);
}

async fn a_provider_that_is_out_charges_nothing_and_says_so_in_its_way(dialect: Dialect) {
    let shop = Shop::open(dialect).await.in_a_hurry();
    let unknown: fn(&ChargeOutcome) -> bool = is_unknown;
    for (outage, expected) in [
        (Outage::Refuse, unknown),
        (Outage::Hang, unknown),
        (Outage::Error, |outcome| matches!(outcome, ChargeOutcome::CallFailure(CallFailure::Errored(_)))),
    ] {
        shop.sandbox.set_outage(outage);
        let outcome = shop.charge().await;
        assert!(expected(&outcome), "{outage:?}: {outcome:?}");
    }
    shop.sandbox.set_outage(Outage::None);
    assert!(shop.captures().is_empty());
    assert!(matches!(shop.charge().await, ChargeOutcome::Captured(_)), "its keys are as they were");
}
