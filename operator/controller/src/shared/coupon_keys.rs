//! Where a coupon's counts stand, and how a payment that carries a coupon is seen.

use fooddelivery_api::Payment;
use fooddelivery_api::payment::PaymentCoupon;
use fooddelivery_runtime::Key;
use fooddelivery_saga::coupon::RedemptionRecord;
use sha2::{Digest, Sha256};

/// Where a customer's counts of a coupon stand. The coupon's uid is part of the name, so that one that was made anew
/// begins anew.
pub(crate) fn use_key(namespace: &str, coupon: &str, coupon_uid: &str, customer: &str) -> Key {
    let mut hash = Sha256::new();
    hash.update(coupon_uid.as_bytes());
    hash.update([0]);
    hash.update(customer.as_bytes());
    let digest =
        hash.finalize().iter().take(10).fold(String::new(), |digest, byte| digest + &format!("{byte:02x}"));
    Key::new(namespace, &format!("{coupon}-{digest}"))
}

/// A payment that carries a coupon, as the domain sees it.
pub(crate) fn redemption_record(held: &PaymentCoupon, payment: &Payment) -> RedemptionRecord {
    let state = payment.state();
    let (desired, phase, attempt) = (payment.spec.desired, state.phase, state.attempt);
    RedemptionRecord { returned: held.returned, desired, phase, attempt }
}
