//! Refunds: whole, in part, repeated, refused, and with their answer lost.

use fooddelivery_providers::RefundRequest;
use fooddelivery_saga::provider::RefundOutcome;
use fooddelivery_sandbox::faults::{Fault, Operation};

use crate::common::{AMOUNT, Shop, refund_request, rule};

#[tokio::test]
async fn a_refund_gives_the_whole_amount_back_once() {
    let shop = Shop::open().await;
    shop.charge().await;
    let first = shop.port.refund(&refund_request(AMOUNT)).await;
    assert!(matches!(&first, RefundOutcome::Refunded(payment) if payment.refunded == AMOUNT), "{first:?}");
    assert_eq!(shop.port.refund(&refund_request(AMOUNT)).await, first, "the same key is told the same");
    let other = RefundRequest { idempotency_key: "refund-2".into(), ..refund_request(AMOUNT) };
    assert_eq!(shop.port.refund(&other).await, RefundOutcome::AlreadyRefunded);
    assert_eq!(shop.refunds(), [AMOUNT]);
    assert_eq!(shop.found().await.refunded, AMOUNT);
}

#[tokio::test]
async fn refunds_in_parts_never_exceed_what_was_captured() {
    let shop = Shop::open().await;
    shop.charge().await;
    let part = shop.port.refund(&refund_request(4_000)).await;
    assert!(matches!(&part, RefundOutcome::Refunded(payment) if payment.refunded == 4_000), "{part:?}");
    let rest = AMOUNT - 4_000;
    let too_much = RefundRequest { idempotency_key: "refund-2".into(), ..refund_request(rest + 1) };
    let outcome = shop.port.refund(&too_much).await;
    let refused = matches!(&outcome, RefundOutcome::Refused(no) if no.code == "NOT_CANCELABLE_AMOUNT");
    assert!(refused, "{outcome:?}");
    let exact = RefundRequest { idempotency_key: "refund-3".into(), ..refund_request(rest) };
    assert!(matches!(shop.port.refund(&exact).await, RefundOutcome::Refunded(_)));
    assert_eq!(shop.refunds(), [4_000, rest]);
}

#[tokio::test]
async fn a_refund_that_lost_its_answer_is_unknown_and_its_repeat_gives_nothing_more_back() {
    for fault in [Fault::DropAfter, Fault::ErrorAfter { status: 502 }, Fault::GarbledAnswer] {
        let shop = Shop::with_fault(Operation::Cancel, fault.clone()).await;
        shop.charge().await;
        let request = refund_request(4_000);
        assert!(matches!(shop.port.refund(&request).await, RefundOutcome::Unknown(_)), "{fault:?}");
        assert_eq!(shop.found().await.refunded, 4_000, "{fault:?}");
        assert!(matches!(shop.port.refund(&request).await, RefundOutcome::Refunded(_)), "{fault:?}");
        assert_eq!(shop.refunds(), [4_000], "{fault:?}");
    }
}

#[tokio::test]
async fn a_refund_meets_409_429_and_time_outs_like_a_charge() {
    let shop = Shop::open().await.in_a_hurry();
    shop.charge().await;
    shop.faults(vec![
        rule(Operation::Cancel, Fault::InProgress409),
        rule(Operation::Cancel, Fault::TooManyRequests { retry_after_seconds: Some(1) }),
        rule(Operation::Cancel, Fault::DelayBefore { ms: 800 }),
    ]);
    let request = refund_request(AMOUNT);
    assert_eq!(shop.port.refund(&request).await, RefundOutcome::InProgress);
    assert_eq!(shop.port.refund(&request).await, RefundOutcome::Throttled { retry_after_ms: Some(1_000) });
    assert_eq!(shop.port.refund(&request).await, RefundOutcome::Unknown("timed out".into()));
    shop.sandbox.idle().await;
    assert_eq!(shop.refunds(), [AMOUNT]);
}

#[tokio::test]
async fn what_was_never_paid_cannot_be_refunded() {
    let shop = Shop::open().await;
    let unknown = shop.port.refund(&refund_request(1)).await;
    assert!(matches!(&unknown, RefundOutcome::Refused(no) if no.code == "NOT_FOUND_PAYMENT"), "{unknown:?}");
    let climbing = RefundRequest { payment_id: "..".into(), ..refund_request(1) };
    assert!(matches!(shop.port.refund(&climbing).await, RefundOutcome::Refused(_)));
    assert!(shop.sandbox.ledger().is_empty());
}
