//! Charges that go wrong: whatever the answer was, the ledger shows the money once.

use std::time::{Duration, Instant};

use fooddelivery_providers::{ChargeRequest, Token};
use fooddelivery_saga::provider::{ChargeOutcome, LookUpOutcome, ProviderStatus};
use fooddelivery_sandbox::faults::{Fault, Operation};
use fooddelivery_sandbox::{Config, ServerErrorMemory};
use futures::future::join_all;

use crate::common::{AMOUNT, Shop, request, rule};

#[tokio::test]
async fn a_fault_before_the_money_moved_is_unknown_and_the_repeat_captures_once() {
    for fault in [Fault::ErrorBefore { status: 503 }, Fault::DropBefore] {
        let shop = Shop::with_fault(Operation::Confirm, fault.clone()).await;
        assert!(matches!(shop.charge().await, ChargeOutcome::Unknown(_)), "{fault:?}");
        assert_eq!(shop.look_up().await, LookUpOutcome::NotFound, "{fault:?}");
        assert!(shop.captures().is_empty(), "{fault:?}");
        assert!(matches!(shop.charge().await, ChargeOutcome::Captured(_)), "{fault:?}");
        assert_eq!(shop.captures(), [AMOUNT], "{fault:?}");
    }
}

#[tokio::test]
async fn a_fault_after_the_money_moved_is_unknown_the_look_up_finds_it_and_the_repeat_captures_no_more() {
    for fault in [Fault::ErrorAfter { status: 500 }, Fault::DropAfter, Fault::GarbledAnswer] {
        let shop = Shop::with_fault(Operation::Confirm, fault.clone()).await;
        assert!(matches!(shop.charge().await, ChargeOutcome::Unknown(_)), "{fault:?}");
        assert_eq!(shop.found().await.status, ProviderStatus::Captured, "{fault:?}");
        assert!(matches!(shop.charge().await, ChargeOutcome::Captured(_)), "{fault:?}");
        assert_eq!(shop.captures(), [AMOUNT], "{fault:?}");
    }
}

#[tokio::test]
async fn a_dropped_connection_is_seen_as_one_and_not_as_an_answer() {
    let shop = Shop::with_fault(Operation::Confirm, Fault::DropAfter).await;
    let outcome = shop.charge().await;
    assert!(matches!(&outcome, ChargeOutcome::Unknown(why) if why.starts_with("no answer: ")), "{outcome:?}");
    assert_eq!(shop.sandbox.calls()[0].status, None);
}

#[tokio::test]
async fn whatever_a_provider_remembers_of_a_5xx_the_look_up_finds_the_capture() {
    for (memory, repeat_is_captured) in [
        (ServerErrorMemory::Result, true),
        (ServerErrorMemory::Forget, false),
        (ServerErrorMemory::Replay, false),
    ] {
        let shop = Shop::with(Config { after_server_error: memory, ..Config::default() }).await;
        shop.fault(Operation::Confirm, Fault::ErrorAfter { status: 500 });
        assert!(matches!(shop.charge().await, ChargeOutcome::Unknown(_)), "{memory:?}");
        let repeat = shop.charge().await;
        assert_eq!(
            matches!(repeat, ChargeOutcome::Captured(_)),
            repeat_is_captured,
            "{memory:?}: {repeat:?}"
        );
        assert!(repeat_is_captured || matches!(repeat, ChargeOutcome::Unknown(_)), "{memory:?}: {repeat:?}");
        assert_eq!(shop.found().await.status, ProviderStatus::Captured, "{memory:?}");
        assert_eq!(shop.captures(), [AMOUNT], "{memory:?}");
    }
}

#[tokio::test]
async fn of_many_calls_at_once_with_one_key_one_captures_and_the_others_wait() {
    let shop = Shop::with_fault(Operation::Confirm, Fault::DelayBefore { ms: 500 }).await;
    let outcomes = join_all((0..8).map(|_| shop.charge())).await;
    let count =
        |wanted: fn(&ChargeOutcome) -> bool| outcomes.iter().filter(|outcome| wanted(outcome)).count();
    assert_eq!(count(|outcome| matches!(outcome, ChargeOutcome::Captured(_))), 1, "{outcomes:?}");
    assert_eq!(count(|outcome| *outcome == ChargeOutcome::InProgress), 7, "{outcomes:?}");
    assert_eq!(shop.captures(), [AMOUNT]);
}

#[tokio::test]
async fn a_request_delivered_twice_moves_the_money_once() {
    let shop = Shop::with_fault(Operation::Confirm, Fault::DuplicateDelivery).await;
    assert!(matches!(shop.charge().await, ChargeOutcome::Captured(_)));
    assert!(shop.sandbox.calls()[0].replayed);
    assert_eq!(shop.captures(), [AMOUNT]);
}

#[tokio::test]
async fn a_time_out_is_unknown_the_money_moves_all_the_same_and_the_look_up_finds_it() {
    let shop = Shop::with_fault(Operation::Confirm, Fault::DelayBefore { ms: 1_500 }).await.in_a_hurry();
    let started = Instant::now();
    assert_eq!(shop.charge().await, ChargeOutcome::Unknown("timed out".into()));
    let elapsed = started.elapsed();
    assert!((Duration::from_millis(600)..Duration::from_millis(1_200)).contains(&elapsed), "{elapsed:?}");
    assert_eq!(shop.look_up().await, LookUpOutcome::NotFound, "which does not prove that nothing will come");
    shop.sandbox.idle().await;
    assert_eq!(shop.found().await.status, ProviderStatus::Captured);
    assert!(matches!(shop.charge().await, ChargeOutcome::Captured(_)));
    assert_eq!(shop.captures(), [AMOUNT]);
}

#[tokio::test]
async fn a_time_out_after_the_money_moved_is_found_at_once_and_the_key_is_still_busy() {
    let shop = Shop::with_fault(Operation::Confirm, Fault::DelayAfter { ms: 2_000 }).await.in_a_hurry();
    assert_eq!(shop.charge().await, ChargeOutcome::Unknown("timed out".into()));
    assert_eq!(shop.found().await.status, ProviderStatus::Captured);
    assert_eq!(shop.charge().await, ChargeOutcome::InProgress);
    shop.sandbox.idle().await;
    assert!(matches!(shop.charge().await, ChargeOutcome::Captured(_)));
    assert_eq!(shop.captures(), [AMOUNT]);
}

#[tokio::test]
async fn the_latency_of_the_slower_reference_service_passes_the_limit_about_three_times_in_five() {
    let shop =
        Shop::with(Config { latency: "520-740".parse().unwrap(), ..Config::default() }).await.in_a_hurry();
    let requests = (0..60).map(|number| ChargeRequest {
        idempotency_key: format!("charge-{number}"),
        token: Token::new(format!("pk_{number}")),
        order_id: format!("order-{number}"),
        ..request()
    });
    let requests: Vec<_> = requests.collect();
    let outcomes = join_all(requests.iter().map(|request| shop.port.charge(request))).await;
    let in_time = outcomes.iter().filter(|outcome| matches!(outcome, ChargeOutcome::Captured(_))).count();
    assert!(
        outcomes
            .iter()
            .all(|outcome| matches!(outcome, ChargeOutcome::Captured(_) | ChargeOutcome::Unknown(_)))
    );
    // Of 60, 24 are expected (90 of 220 ms are within the limit); 5 to 45 leaves room for a busy machine.
    assert!((5..=45).contains(&in_time), "{in_time}");
    shop.sandbox.idle().await;
    assert_eq!(shop.captures().len(), 60, "the late ones are captured all the same");
}

#[tokio::test]
async fn a_429_is_throttled_with_the_providers_delay_and_a_409_is_in_progress() {
    let shop = Shop::open().await;
    shop.faults(vec![
        rule(Operation::Confirm, Fault::TooManyRequests { retry_after_seconds: Some(2) }),
        rule(Operation::Confirm, Fault::TooManyRequests { retry_after_seconds: None }),
        rule(Operation::Confirm, Fault::InProgress409),
    ]);
    assert_eq!(shop.charge().await, ChargeOutcome::Throttled { retry_after_ms: Some(2_000) });
    assert_eq!(shop.charge().await, ChargeOutcome::Throttled { retry_after_ms: None });
    assert_eq!(shop.charge().await, ChargeOutcome::InProgress);
    assert!(shop.captures().is_empty());
    assert!(matches!(shop.charge().await, ChargeOutcome::Captured(_)));
}

#[tokio::test]
async fn a_payment_key_prefix_brings_its_fault_once() {
    let shop = Shop::open().await.in_a_hurry();
    for (number, prefix) in
        ["error_before_", "error_after_", "drop_before_", "drop_after_", "slow_"].iter().enumerate()
    {
        let request = ChargeRequest {
            token: Token::new(format!("{prefix}{number}")),
            order_id: format!("order-{number}"),
            idempotency_key: format!("charge-{number}"),
            ..request()
        };
        assert!(matches!(shop.port.charge(&request).await, ChargeOutcome::Unknown(_)), "{prefix}");
        shop.sandbox.idle().await;
        assert!(matches!(shop.port.charge(&request).await, ChargeOutcome::Captured(_)), "{prefix}");
    }
    assert_eq!(shop.captures().len(), 5);
}
