//! What only Toss promises: checkouts, payment keys that are used once, keys that are matched without the body.

use std::time::Duration;

use fooddelivery_providers::{ChargeRequest, Dialect, LookUpRequest, Token};
use fooddelivery_saga::provider::{CallFailure, ChargeOutcome, LookUpOutcome, ProviderStatus, RefundOutcome};
use fooddelivery_sandbox::bank::Checkout;
use fooddelivery_sandbox::faults::{Fault, Operation};
use fooddelivery_sandbox::{Config, ServerErrorMemory};

use crate::common::{AMOUNT, Shop, TOKEN, is_unknown, question, request};

async fn open() -> Shop {
    Shop::open(Dialect::Toss).await
}

async fn with(config: Config) -> Shop {
    Shop::with(Dialect::Toss, config).await
}

fn checkout() -> Checkout {
    Checkout { payment_key: TOKEN.into(), order_id: "order-1".into(), amount: AMOUNT }
}

fn is_no_session(outcome: &ChargeOutcome) -> bool {
    matches!(outcome, ChargeOutcome::Refused(no) if no.code == "NOT_FOUND_PAYMENT_SESSION")
}

#[tokio::test]
async fn nothing_is_prepared_and_an_answer_is_kept_for_fifteen_days() {
    let traits = open().await.port.traits();
    assert_eq!((traits.prepares, traits.key_retention), (false, Duration::from_hours(360)));
}

#[tokio::test]
async fn a_key_used_for_another_order_does_not_pass_off_the_first_orders_payment() {
    let shop = open().await;
    shop.charge().await;
    let other = ChargeRequest { token: Token::new("other"), order_id: "order-2".into(), ..request() };
    assert!(is_unknown(&shop.port.charge(&other).await));
    assert_eq!(shop.captures(), [AMOUNT]);
}

#[tokio::test]
async fn a_declined_token_is_refused_under_any_key_and_the_look_up_shows_a_failed_payment() {
    let shop = Shop::with_fault(Dialect::Toss, Operation::Confirm, Fault::Decline { code: None }).await;
    for key in ["charge-1", "charge-2"] {
        let outcome = shop.charge_as(key).await;
        let refused = matches!(&outcome, ChargeOutcome::Refused(no) if no.code == "REJECT_CARD_PAYMENT");
        assert!(refused, "{key}: {outcome:?}");
    }
    assert_eq!(shop.found().await.status, ProviderStatus::Failed);
    assert!(shop.captures().is_empty());
}

#[tokio::test]
async fn a_checkout_decides_amount_and_order_and_shows_as_open_until_it_is_confirmed() {
    let shop = with(Config { strict_checkout: true, ..Config::default() }).await;
    assert!(is_no_session(&shop.charge().await));
    shop.sandbox.register_checkout(&checkout()).expect("a checkout");
    assert_eq!(shop.found().await.status, ProviderStatus::Open);
    let dearer = ChargeRequest { amount: AMOUNT + 1, idempotency_key: "charge-2".into(), ..request() };
    assert!(matches!(shop.port.charge(&dearer).await, ChargeOutcome::Refused(_)));
    assert!(matches!(shop.charge_as("charge-3").await, ChargeOutcome::Captured(_)));
}

#[tokio::test]
async fn a_checkout_that_expired_is_refused_and_shows_as_expired() {
    let expiry = Duration::from_millis(20);
    let shop = with(Config { checkout_expiry: expiry, ..Config::default() }).await;
    shop.sandbox.register_checkout(&checkout()).expect("a checkout");
    tokio::time::sleep(expiry * 2).await;
    assert!(is_no_session(&shop.charge().await));
    assert_eq!(shop.found().await.status, ProviderStatus::Expired);
}

#[tokio::test]
async fn a_look_up_tells_first_of_all_that_the_order_was_paid_and_else_of_our_payment() {
    let shop = Shop::with_fault(Dialect::Toss, Operation::Confirm, Fault::Decline { code: None }).await;
    shop.charge().await;
    let never_seen = LookUpRequest { token: Some(Token::new("third")), ..question(&request()) };
    assert_eq!(
        shop.port.look_up(&never_seen).await,
        LookUpOutcome::NotFound,
        "another's decline says nothing"
    );
    let ours = shop.found().await;
    assert_eq!((ours.payment_id.as_str(), ours.status), (TOKEN, ProviderStatus::Failed));
    let second =
        ChargeRequest { token: Token::new("second"), idempotency_key: "charge-2".into(), ..request() };
    assert!(matches!(shop.port.charge(&second).await, ChargeOutcome::Captured(_)));
    for question in [question(&request()), never_seen] {
        let LookUpOutcome::Found(paid) = shop.port.look_up(&question).await else { panic!("nothing found") };
        assert_eq!((paid.payment_id.as_str(), paid.status), ("second", ProviderStatus::Captured));
    }
}

#[tokio::test]
async fn whatever_toss_remembers_of_a_5xx_the_look_up_finds_the_capture() {
    let captured: fn(&ChargeOutcome) -> bool = |outcome| matches!(outcome, ChargeOutcome::Captured(_));
    for (memory, expected) in [
        (ServerErrorMemory::Result, captured),
        (ServerErrorMemory::Forget, |outcome| *outcome == ChargeOutcome::AlreadyProcessed),
        (ServerErrorMemory::Replay, |outcome| {
            matches!(outcome, ChargeOutcome::CallFailure(CallFailure::Errored(_)))
        }),
    ] {
        let shop = with(Config { after_server_error: memory, ..Config::default() }).await;
        shop.fault(Operation::Confirm, Fault::ErrorAfter { status: 500 });
        shop.charge().await;
        let repeat = shop.charge().await;
        assert!(expected(&repeat), "{memory:?}: {repeat:?}");
        assert_eq!(shop.found().await.status, ProviderStatus::Captured, "{memory:?}");
        assert_eq!(shop.captures(), [AMOUNT], "{memory:?}");
    }
}

#[tokio::test]
async fn a_refund_of_an_unknown_payment_is_refused() {
    let never = open().await.refund(1).await;
    let refused = matches!(&never, RefundOutcome::Refused(no) if no.code == "NOT_FOUND_PAYMENT");
    assert!(refused, "{never:?}");
}
