//! Refunds: whole, in part, repeated, refused, and with their answer lost.

use fooddelivery_providers::{Dialect, RefundRequest};
use fooddelivery_saga::provider::{CallFailure, RefundOutcome};
use fooddelivery_sandbox::faults::{Fault, Operation};

use crate::common::{AMOUNT, Shop, refund_is_unknown, refund_of, rule};

both!(
    a_refund_gives_the_whole_amount_back_once,
    refunds_in_parts_never_exceed_what_was_captured,
    a_refund_that_lost_its_answer_is_unknown_and_its_repeat_gives_nothing_more_back,
    a_refund_meets_409_429_5xx_and_time_outs_like_a_charge,
    what_was_never_paid_cannot_be_refunded,
);

async fn a_refund_gives_the_whole_amount_back_once(dialect: Dialect) {
    let shop = Shop::open(dialect).await;
    shop.charge().await;
    let first = shop.refund(AMOUNT).await;
    assert!(matches!(&first, RefundOutcome::Refunded(payment) if payment.refunded == AMOUNT), "{first:?}");
    assert_eq!(shop.refund(AMOUNT).await, first, "the same key is told the same");
    let other = RefundRequest { idempotency_key: "refund-2".into(), ..shop.refund_request(AMOUNT) };
    assert_eq!(shop.port.refund(&other).await, RefundOutcome::AlreadyRefunded);
    assert_eq!(shop.refunds(), [AMOUNT]);
    assert_eq!(shop.found().await.refunded, AMOUNT);
}

async fn refunds_in_parts_never_exceed_what_was_captured(dialect: Dialect) {
    let shop = Shop::open(dialect).await;
    shop.charge().await;
    let part = shop.refund(4_000).await;
    assert!(matches!(&part, RefundOutcome::Refunded(payment) if payment.refunded == 4_000), "{part:?}");
    let rest = AMOUNT - 4_000;
    let too_much = RefundRequest { idempotency_key: "refund-2".into(), ..shop.refund_request(rest + 1) };
    let outcome = shop.port.refund(&too_much).await;
    let code = match dialect {
        Dialect::Toss => "NOT_CANCELABLE_AMOUNT",
        Dialect::Stripe => "parameter_invalid_integer",
    };
    assert!(matches!(&outcome, RefundOutcome::Refused(no) if no.code == code), "{outcome:?}");
    let exact = RefundRequest { idempotency_key: "refund-3".into(), ..shop.refund_request(rest) };
    let whole = shop.port.refund(&exact).await;
    assert!(matches!(&whole, RefundOutcome::Refunded(payment) if payment.refunded == AMOUNT), "{whole:?}");
    assert_eq!(shop.refunds(), [4_000, rest]);
}

async fn a_refund_that_lost_its_answer_is_unknown_and_its_repeat_gives_nothing_more_back(dialect: Dialect) {
    for fault in [Fault::DropAfter, Fault::GarbledAnswer] {
        let shop = Shop::with_fault(dialect, Operation::Cancel, fault.clone()).await;
        shop.charge().await;
        assert!(refund_is_unknown(&shop.refund(4_000).await), "{fault:?}");
        assert_eq!(shop.found().await.refunded, 4_000, "{fault:?}");
        assert!(matches!(shop.refund(4_000).await, RefundOutcome::Refunded(_)), "{fault:?}");
        assert_eq!(shop.refunds(), [4_000], "{fault:?}");
    }
}

async fn a_refund_meets_409_429_5xx_and_time_outs_like_a_charge(dialect: Dialect) {
    let shop = Shop::open(dialect).await.in_a_hurry();
    shop.charge().await;
    shop.faults(vec![
        rule(Operation::Cancel, Fault::InProgress409),
        rule(Operation::Cancel, Fault::TooManyRequests { retry_after_seconds: Some(1) }),
        rule(Operation::Cancel, Fault::DelayBefore { ms: 800 }),
        rule(Operation::Cancel, Fault::ErrorBefore { status: 502 }),
    ]);
    for failure in [
        CallFailure::InProgress,
        CallFailure::Throttled { retry_after_ms: Some(1_000) },
        CallFailure::OutcomeUnknown("timed out".into()),
    ] {
        assert_eq!(shop.refund(AMOUNT).await, RefundOutcome::CallFailure(failure));
    }
    shop.sandbox.idle().await;
    assert_eq!(shop.refunds(), [AMOUNT]);
    let other = RefundRequest { idempotency_key: "refund-2".into(), ..shop.refund_request(AMOUNT) };
    let errored = shop.port.refund(&other).await;
    assert!(matches!(errored, RefundOutcome::CallFailure(CallFailure::Errored(_))), "{errored:?}");
}

async fn what_was_never_paid_cannot_be_refunded(dialect: Dialect) {
    let shop = Shop::open(dialect).await;
    let never = shop.refund(1).await;
    assert!(matches!(never, RefundOutcome::Refused(_)), "{never:?}");
    let climbing = shop.port.refund(&refund_of("..", 1)).await;
    assert!(matches!(climbing, RefundOutcome::Refused(_)), "{climbing:?}");
    assert!(shop.sandbox.ledger().is_empty());
}
