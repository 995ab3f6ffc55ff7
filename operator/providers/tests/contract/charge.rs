//! Charges that go by the rules, and look-ups.

use std::time::Duration;

use fooddelivery_providers::{ChargeRequest, LookUpRequest, Token};
use fooddelivery_saga::provider::{ChargeOutcome, LookUpOutcome, ProviderPayment, ProviderStatus};
use fooddelivery_sandbox::Config;
use fooddelivery_sandbox::bank::Checkout;
use fooddelivery_sandbox::faults::{Fault, Operation};

use crate::common::{AMOUNT, SECRET, Shop, TOKEN, port_to, question, request};

#[tokio::test]
async fn a_charge_captures_the_amount_once_and_a_repeat_with_the_same_key_is_told_the_same() {
    let shop = Shop::open().await;
    let first = shop.charge().await;
    let expected = ProviderPayment {
        payment_id: TOKEN.into(),
        order_id: "order-1".into(),
        amount: AMOUNT,
        refunded: 0,
        currency: "KRW".into(),
        status: ProviderStatus::Captured,
    };
    assert_eq!(first, ChargeOutcome::Captured(expected));
    assert_eq!(shop.charge().await, first);
    assert_eq!(shop.captures(), [AMOUNT]);
    let calls = shop.sandbox.calls();
    assert_eq!(calls.iter().map(|call| call.replayed).collect::<Vec<_>>(), [false, true]);
    assert_eq!(calls[0].idempotency_key.as_deref(), Some("charge-1"));
    assert_eq!(calls[0].correlation_id.as_deref(), Some("correlation-1"));
}

#[tokio::test]
async fn a_second_idempotency_key_cannot_charge_the_token_again_and_sends_the_caller_to_look_it_up() {
    let shop = Shop::open().await;
    shop.charge().await;
    let outcome = shop.port.charge(&ChargeRequest { idempotency_key: "charge-2".into(), ..request() }).await;
    assert!(matches!(&outcome, ChargeOutcome::Unknown(why) if why.contains("ALREADY_PROCESSED_PAYMENT")));
    assert_eq!(shop.captures(), [AMOUNT]);
}

#[tokio::test]
async fn a_key_used_for_another_order_does_not_pass_off_the_first_orders_payment() {
    let shop = Shop::open().await;
    shop.charge().await;
    let other = ChargeRequest { token: Token::new("pk_other"), order_id: "order-2".into(), ..request() };
    assert!(matches!(shop.port.charge(&other).await, ChargeOutcome::Unknown(_)));
    assert_eq!(shop.captures(), [AMOUNT]);
}

#[tokio::test]
async fn a_decline_is_refused_for_good_and_the_look_up_shows_a_failed_payment() {
    let shop = Shop::with_fault(Operation::Confirm, Fault::Decline { code: None }).await;
    for key in ["charge-1", "charge-1", "charge-2"] {
        let request = ChargeRequest { idempotency_key: key.into(), ..request() };
        let outcome = shop.port.charge(&request).await;
        let refused = matches!(&outcome, ChargeOutcome::Refused(no) if no.code == "REJECT_CARD_PAYMENT");
        assert!(refused, "{key}: {outcome:?}");
    }
    assert_eq!(shop.found().await.status, ProviderStatus::Failed);
    assert!(shop.captures().is_empty());
}

#[tokio::test]
async fn after_a_change_of_credentials_the_same_key_is_another_key() {
    let keys = vec![SECRET.into(), "test_sk_new".into()];
    let shop = Shop::with(Config { secret_keys: keys, ..Config::default() }).await;
    assert!(matches!(shop.charge().await, ChargeOutcome::Captured(_)));
    let rotated = port_to(&shop.sandbox.url(), "test_sk_new");
    assert!(matches!(rotated.charge(&request()).await, ChargeOutcome::Unknown(_)));
    assert_eq!(shop.captures(), [AMOUNT]);
}

#[tokio::test]
async fn after_the_retention_the_same_key_is_a_new_request_that_the_single_use_token_stops() {
    let retention = Duration::from_millis(50);
    let shop = Shop::with(Config { idempotency_retention: retention, ..Config::default() }).await;
    shop.charge().await;
    tokio::time::sleep(retention * 2).await;
    let outcome = shop.charge().await;
    assert!(matches!(&outcome, ChargeOutcome::Unknown(why) if why.contains("ALREADY_PROCESSED_PAYMENT")));
    assert_eq!(shop.captures(), [AMOUNT]);
}

#[tokio::test]
async fn a_checkout_decides_amount_and_order_and_shows_as_open_until_it_is_confirmed() {
    let shop = Shop::with(Config { strict_checkout: true, ..Config::default() }).await;
    assert!(
        matches!(shop.charge().await, ChargeOutcome::Refused(no) if no.code == "NOT_FOUND_PAYMENT_SESSION")
    );
    let checkout = Checkout { payment_key: TOKEN.into(), order_id: "order-1".into(), amount: AMOUNT };
    shop.sandbox.register_checkout(&checkout).unwrap();
    assert_eq!(shop.found().await.status, ProviderStatus::Open);
    let dearer = ChargeRequest { amount: AMOUNT + 1, idempotency_key: "charge-2".into(), ..request() };
    assert!(matches!(shop.port.charge(&dearer).await, ChargeOutcome::Refused(_)));
    let right = ChargeRequest { idempotency_key: "charge-3".into(), ..request() };
    assert!(matches!(shop.port.charge(&right).await, ChargeOutcome::Captured(_)));
}

#[tokio::test]
async fn a_checkout_that_expired_is_refused_and_shows_as_expired() {
    let expiry = Duration::from_millis(20);
    let shop = Shop::with(Config { checkout_expiry: expiry, ..Config::default() }).await;
    let checkout = Checkout { payment_key: TOKEN.into(), order_id: "order-1".into(), amount: AMOUNT };
    shop.sandbox.register_checkout(&checkout).unwrap();
    tokio::time::sleep(expiry * 2).await;
    assert!(
        matches!(shop.charge().await, ChargeOutcome::Refused(no) if no.code == "NOT_FOUND_PAYMENT_SESSION")
    );
    assert_eq!(shop.found().await.status, ProviderStatus::Expired);
}

#[tokio::test]
async fn a_look_up_finds_our_payment_also_when_the_order_was_paid_by_another() {
    let shop = Shop::with_fault(Operation::Confirm, Fault::Decline { code: None }).await;
    shop.charge().await;
    let second =
        ChargeRequest { token: Token::new("pk_second"), idempotency_key: "charge-2".into(), ..request() };
    assert!(matches!(shop.port.charge(&second).await, ChargeOutcome::Captured(_)));
    let ours = shop.found().await;
    assert_eq!((ours.payment_id.as_str(), ours.status), (TOKEN, ProviderStatus::Failed));
    let never_seen = LookUpRequest { token: Token::new("pk_third"), ..question() };
    let LookUpOutcome::Found(other) = shop.port.look_up(&never_seen).await else { panic!("nothing found") };
    assert_eq!(other.payment_id, "pk_second", "the caller compares");
}
