//! Charges that take longer than the limit: the money moves all the same.
#![expect(clippy::expect_used, reason = "in a test, what cannot be set up is a failure")]

use std::time::{Duration, Instant};

use fooddelivery_providers::{ChargeRequest, Dialect, Token};
use fooddelivery_saga::provider::{CallFailure, ChargeOutcome, ProviderStatus};
use fooddelivery_sandbox::faults::{Fault, Operation};
use futures::future::join_all;

use crate::common::{AMOUNT, Shop, is_unknown, request};

both!(
    a_time_out_is_unknown_the_money_moves_all_the_same_and_the_look_up_finds_it,
    a_time_out_after_the_money_moved_is_found_at_once_and_the_key_is_still_busy,
    the_latency_of_the_slower_reference_service_is_within_the_limit_about_two_times_in_five,
);

fn timed_out() -> ChargeOutcome {
    ChargeOutcome::CallFailure(CallFailure::OutcomeUnknown("timed out".into()))
}

async fn a_time_out_is_unknown_the_money_moves_all_the_same_and_the_look_up_finds_it(dialect: Dialect) {
    let delay = Fault::DelayBefore { ms: 5_000 };
    let shop = Shop::with_fault(dialect, Operation::Confirm, delay).await.in_a_hurry();
    let started = Instant::now();
    assert_eq!(shop.charge().await, timed_out());
    let elapsed = started.elapsed();
    assert!((Duration::from_millis(600)..Duration::from_secs(4)).contains(&elapsed), "{elapsed:?}");
    let shop = shop.at_leisure();
    assert!(shop.shows_no_capture().await, "which does not prove that none will come");
    shop.sandbox.idle().await;
    assert_eq!(shop.found().await.status, ProviderStatus::Captured);
    assert!(matches!(shop.charge().await, ChargeOutcome::Captured(_)));
    assert_eq!(shop.captures(), [AMOUNT]);
}

async fn a_time_out_after_the_money_moved_is_found_at_once_and_the_key_is_still_busy(dialect: Dialect) {
    let delay = Fault::DelayAfter { ms: 5_000 };
    let shop = Shop::with_fault(dialect, Operation::Confirm, delay).await.in_a_hurry();
    assert_eq!(shop.charge().await, timed_out());
    let shop = shop.at_leisure();
    assert_eq!(shop.found().await.status, ProviderStatus::Captured);
    assert_eq!(shop.charge().await, ChargeOutcome::CallFailure(CallFailure::InProgress));
    shop.sandbox.idle().await;
    assert!(matches!(shop.charge().await, ChargeOutcome::Captured(_)));
    assert_eq!(shop.captures(), [AMOUNT]);
}

async fn the_latency_of_the_slower_reference_service_is_within_the_limit_about_two_times_in_five(
    dialect: Dialect,
) {
    // Of 60, 24 are expected: 90 of 220 ms are within the limit. A machine that is busy with something else for a while
    // leaves fewer: then it is measured again.
    let started = Instant::now();
    loop {
        let in_time = in_time_of_60(dialect).await;
        if (5..=45).contains(&in_time) {
            return;
        }
        assert!(started.elapsed() < Duration::from_mins(2), "{in_time}");
    }
}

async fn in_time_of_60(dialect: Dialect) -> usize {
    let shop = Shop::open(dialect).await.in_a_hurry();
    let requests = (0..60).map(|number| {
        shop.ready(ChargeRequest {
            idempotency_key: format!("charge-of-{number}"),
            token: Token::new(format!("token_{number}")),
            order_id: format!("order-{number}"),
            ..request()
        })
    });
    let requests = join_all(requests).await;
    shop.sandbox.set_latency("520-740".parse().expect("a latency"));
    let outcomes = join_all(requests.iter().map(|request| shop.port.charge(request))).await;
    let in_time = outcomes.iter().filter(|outcome| matches!(outcome, ChargeOutcome::Captured(_))).count();
    let late = outcomes.iter().filter(|outcome| is_unknown(outcome)).count();
    assert_eq!(in_time + late, 60, "{outcomes:?}");
    shop.sandbox.idle().await;
    assert_eq!(shop.captures().len(), 60, "the late ones are captured all the same");
    in_time
}
