//! What happens on the way: not sent, not let in, not shown.

use fooddelivery_providers::{ChargeRequest, Dialect, LookUpRequest, RefundRequest, Token};
use fooddelivery_saga::provider::{
    CallFailure, ChargeOutcome, LookUpOutcome, PrepareOutcome, RefundOutcome, VoidOutcome,
};
use fooddelivery_sandbox::Config;
use fooddelivery_sandbox::faults::{Fault, Operation};
use fooddelivery_sandbox::ledger::EntryKind;

use crate::common::{
    AMOUNT, SECRET, Shop, TOKEN, port_to, preparation, question, refund_of, request, rule, void_of,
};

both!(
    a_provider_that_is_not_there_got_nothing,
    a_tls_handshake_that_fails_sent_no_request,
    a_wrong_secret_key_is_unauthorized_and_uses_up_neither_key_nor_fault,
    a_token_and_an_order_id_with_awkward_characters_arrive_whole,
    an_idempotency_key_that_cannot_be_sent_or_is_too_long_moves_no_money,
    neither_token_nor_credential_is_in_any_debug_output_or_reason,
);

async fn a_provider_that_is_not_there_got_nothing(dialect: Dialect) {
    let refused = port_to(dialect, "http://127.0.0.1:1", SECRET);
    let outcome = refused.charge(&request()).await;
    assert!(matches!(outcome, ChargeOutcome::CallFailure(CallFailure::NotSent(_))), "{outcome:?}");
    let outcome = refused.refund(&refund_of("pi_1", 1)).await;
    assert!(matches!(outcome, RefundOutcome::CallFailure(CallFailure::NotSent(_))), "{outcome:?}");
    let outcome = refused.look_up(&question(&request())).await;
    assert!(matches!(outcome, LookUpOutcome::CallFailure(CallFailure::NotSent(_))), "{outcome:?}");
    // Where payments are not prepared, the port itself refuses to.
    let outcome = refused.prepare(&preparation(&request())).await;
    assert!(matches!(outcome, PrepareOutcome::CallFailure(CallFailure::NotSent(_))), "{outcome:?}");
    let outcome = refused.void(&void_of("pi_1")).await;
    assert!(matches!(outcome, VoidOutcome::CallFailure(CallFailure::NotSent(_))), "{outcome:?}");
    let no_name = port_to(dialect, "http://provider.invalid", SECRET);
    let outcome = no_name.charge(&request()).await;
    assert!(matches!(outcome, ChargeOutcome::CallFailure(CallFailure::NotSent(_))), "{outcome:?}");
}

async fn a_tls_handshake_that_fails_sent_no_request(dialect: Dialect) {
    let shop = Shop::open(dialect).await;
    let tls = port_to(dialect, &shop.sandbox.url().replace("http:", "https:"), SECRET);
    let outcome = tls.charge(&shop.request()).await;
    assert!(matches!(outcome, ChargeOutcome::CallFailure(CallFailure::NotSent(_))), "{outcome:?}");
    assert!(shop.calls(Operation::Confirm).is_empty());
}

async fn a_wrong_secret_key_is_unauthorized_and_uses_up_neither_key_nor_fault(dialect: Dialect) {
    let shop = Shop::with_fault(dialect, Operation::Confirm, Fault::DuplicateDelivery).await;
    let wrong = port_to(dialect, &shop.sandbox.url(), "test_sk_wrong");
    let outcome = wrong.charge(&shop.request()).await;
    assert!(matches!(outcome, ChargeOutcome::CallFailure(CallFailure::Unauthorized(_))), "{outcome:?}");
    let outcome = wrong.refund(&shop.refund_request(1)).await;
    assert!(matches!(outcome, RefundOutcome::CallFailure(CallFailure::Unauthorized(_))), "{outcome:?}");
    let outcome = wrong.look_up(&question(&shop.request())).await;
    assert!(matches!(outcome, LookUpOutcome::CallFailure(CallFailure::Unauthorized(_))), "{outcome:?}");
    assert!(matches!(shop.charge().await, ChargeOutcome::Captured(_)));
}

async fn a_token_and_an_order_id_with_awkward_characters_arrive_whole(dialect: Dialect) {
    let shop =
        Shop::with(dialect, Config { search_lag: std::time::Duration::ZERO, ..Config::default() }).await;
    let awkward = ChargeRequest {
        idempotency_key: "charge-2".into(),
        token: Token::new("token/한?#% ;&=+.."),
        order_id: r"or/de'r\?#% 1".into(),
        correlation_id: "line\nbreak".into(),
        ..request()
    };
    let awkward = shop.ready(awkward).await;
    let ChargeOutcome::Captured(captured) = shop.port.charge(&awkward).await else { panic!("not captured") };
    for question in [question(&awkward), LookUpRequest { payment_id: None, ..question(&awkward) }] {
        assert_eq!(shop.port.look_up(&question).await, LookUpOutcome::Found(captured.clone()));
    }
    let refund = RefundRequest { payment_id: captured.payment_id, ..shop.refund_request(AMOUNT) };
    assert!(matches!(shop.port.refund(&refund).await, RefundOutcome::Refunded(_)));
    let kinds: Vec<_> = shop.sandbox.ledger().iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [EntryKind::Capture, EntryKind::Refund]);
}

async fn an_idempotency_key_that_cannot_be_sent_or_is_too_long_moves_no_money(dialect: Dialect) {
    let shop = Shop::open(dialect).await;
    let outcome = shop.charge_as("line\nbreak").await;
    assert!(matches!(outcome, ChargeOutcome::CallFailure(CallFailure::NotSent(_))), "{outcome:?}");
    let (longest, code) = match dialect {
        Dialect::Toss => (300, "INVALID_IDEMPOTENCY_KEY"),
        Dialect::Stripe => (255, "invalid_request_error"),
    };
    let outcome = shop.charge_as(&"k".repeat(longest + 1)).await;
    assert!(matches!(&outcome, ChargeOutcome::Refused(no) if no.code == code), "{outcome:?}");
    assert!(shop.captures().is_empty());
    assert!(matches!(shop.charge_as(&"k".repeat(longest)).await, ChargeOutcome::Captured(_)));
}

async fn neither_token_nor_credential_is_in_any_debug_output_or_reason(dialect: Dialect) {
    let shop = Shop::open(dialect).await.in_a_hurry();
    shop.faults(vec![
        rule(Operation::Confirm, Fault::DropBefore),
        rule(Operation::Confirm, Fault::DelayBefore { ms: 800 }),
        rule(Operation::Confirm, Fault::ErrorBefore { status: 500 }),
        rule(Operation::Cancel, Fault::DropBefore),
        rule(Operation::LookUp, Fault::DropBefore),
    ]);
    let (charge, refund) = (shop.request(), shop.refund_request(1));
    let mut seen = vec![format!("{charge:?} {refund:?} {:?}", question(&charge))];
    seen.push(format!("{:?}", preparation(&charge)));
    for _ in 0..3 {
        seen.push(format!("{:?}", shop.charge().await));
    }
    seen.push(format!("{:?} {:?}", shop.port.refund(&refund).await, shop.look_up().await));
    let wrong = port_to(dialect, &shop.sandbox.url(), "test_sk_wrong");
    let away = ["http://127.0.0.1:1", "https://127.0.0.1:1", "http://provider.invalid"];
    for port in away.map(|endpoint| port_to(dialect, endpoint, SECRET)).into_iter().chain([wrong]) {
        seen.push(format!("{:?} {:?}", port.charge(&charge).await, port.refund(&refund).await));
        seen.push(format!("{:?}", port.look_up(&question(&charge)).await));
        seen.push(format!("{:?}", port.prepare(&preparation(&charge)).await));
    }
    for text in seen {
        for secret in [TOKEN, SECRET, "test_sk_wrong", "/v1/"] {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
    }
}
