//! Charges that go by the rules, and look-ups.

use std::time::Duration;

use fooddelivery_providers::{ChargeRequest, Dialect};
use fooddelivery_saga::provider::{ChargeOutcome, ProviderStatus};
use fooddelivery_sandbox::Config;
use fooddelivery_sandbox::faults::{Fault, Operation};

use crate::common::{AMOUNT, SECRET, Shop, is_unknown, port_to};

both!(
    a_charge_captures_the_amount_once_and_a_repeat_with_the_same_key_is_told_the_same,
    a_second_idempotency_key_cannot_charge_again_and_sends_the_caller_to_look_it_up,
    a_decline_is_refused_and_its_repeat_too,
    after_a_change_of_credentials_the_same_key_is_another_key,
    after_the_retention_the_same_key_is_a_new_request_and_charges_no_more,
    another_amount_than_was_asked_for_is_no_capture_of_ours,
);

async fn a_charge_captures_the_amount_once_and_a_repeat_with_the_same_key_is_told_the_same(dialect: Dialect) {
    let shop = Shop::open(dialect).await;
    assert!(shop.captures().is_empty(), "a preparation moves no money");
    let first = shop.charge().await;
    let expected = shop.payment(ProviderStatus::Captured);
    assert_eq!(first, ChargeOutcome::Captured(expected.clone()));
    assert_eq!(shop.charge().await, first);
    assert_eq!(shop.found().await, expected);
    assert_eq!(shop.captures(), [AMOUNT]);
    let calls = shop.calls(Operation::Confirm);
    assert_eq!(calls.iter().map(|call| call.replayed).collect::<Vec<_>>(), [false, true]);
    assert_eq!(calls[0].idempotency_key.as_deref(), Some("charge-1"));
    assert_eq!(calls[0].correlation_id.as_deref(), Some("correlation-1"));
}

async fn a_second_idempotency_key_cannot_charge_again_and_sends_the_caller_to_look_it_up(dialect: Dialect) {
    let shop = Shop::open(dialect).await;
    shop.charge().await;
    assert_eq!(shop.charge_as("charge-2").await, ChargeOutcome::AlreadyProcessed);
    assert_eq!(shop.captures(), [AMOUNT]);
}

async fn a_decline_is_refused_and_its_repeat_too(dialect: Dialect) {
    let shop = Shop::with_fault(dialect, Operation::Confirm, Fault::Decline { code: None }).await;
    let code = match dialect {
        Dialect::Toss => "REJECT_CARD_PAYMENT",
        Dialect::Stripe => "generic_decline",
    };
    for _ in 0..2 {
        let outcome = shop.charge().await;
        assert!(matches!(&outcome, ChargeOutcome::Refused(no) if no.code == code), "{outcome:?}");
    }
    assert!(shop.captures().is_empty());
}

async fn after_a_change_of_credentials_the_same_key_is_another_key(dialect: Dialect) {
    let keys = vec![SECRET.into(), "test_sk_new".into()];
    let shop = Shop::with(dialect, Config { secret_keys: keys, ..Config::default() }).await;
    assert!(matches!(shop.charge().await, ChargeOutcome::Captured(_)));
    let rotated = port_to(dialect, &shop.sandbox.url(), "test_sk_new");
    assert_eq!(rotated.charge(&shop.request()).await, ChargeOutcome::AlreadyProcessed);
    assert_eq!(shop.captures(), [AMOUNT]);
}

async fn after_the_retention_the_same_key_is_a_new_request_and_charges_no_more(dialect: Dialect) {
    let retention = Duration::from_millis(50);
    let config = Config {
        idempotency_retention: retention,
        stripe_idempotency_retention: retention,
        ..Config::default()
    };
    let shop = Shop::with(dialect, config).await;
    shop.charge().await;
    tokio::time::sleep(retention * 2).await;
    assert_eq!(shop.charge().await, ChargeOutcome::AlreadyProcessed);
    assert_eq!(shop.captures(), [AMOUNT]);
}

async fn another_amount_than_was_asked_for_is_no_capture_of_ours(dialect: Dialect) {
    let shop = Shop::open(dialect).await;
    shop.charge().await;
    for other in [
        ChargeRequest { amount: AMOUNT + 1, ..shop.request() },
        ChargeRequest { order_id: "order-2".into(), ..shop.request() },
        ChargeRequest { currency: "USD".into(), ..shop.request() },
    ] {
        let outcome = shop.port.charge(&other).await;
        assert!(is_unknown(&outcome), "{outcome:?}");
    }
    assert_eq!(shop.captures(), [AMOUNT]);
}
