//! What a person found out about a payment that the operator could not resolve.

use super::{PaymentState, PaymentView};
use crate::phases::{PaymentDesired, PaymentPhase, Resolution};
use crate::reason::Reason;

/// The status that follows from a person's finding. From there it goes on as ever: money that is in and not wanted is
/// refunded, and so on.
pub(super) fn resolved(view: &PaymentView, resolution: Resolution) -> PaymentState {
    let state = PaymentState { deferrals: 0, next_attempt_at: None, ..view.state.clone() };
    let by_hand = |phase: PaymentPhase, state: PaymentState| PaymentState {
        phase,
        reason: Reason::ResolvedByHand.into(),
        message: format!("a person resolved it as {resolution}"),
        ..state
    };
    match resolution {
        Resolution::Captured => {
            by_hand(PaymentPhase::Captured, PaymentState { captured: view.total, refunded: 0, ..state })
        }
        Resolution::Refunded => {
            let captured = if state.captured > 0 { state.captured } else { view.total };
            by_hand(PaymentPhase::Refunded, PaymentState { captured, refunded: captured, ..state })
        }
        Resolution::NotCharged if view.desired == PaymentDesired::Captured => {
            by_hand(PaymentPhase::Declined, state)
        }
        Resolution::NotCharged => by_hand(PaymentPhase::Voided, state),
        // It is asked again at the provider as it is configured now, and the calls may be repeated there.
        Resolution::Retry | Resolution::Unknown => PaymentState {
            phase: match view.desired {
                PaymentDesired::Captured => PaymentPhase::Pending,
                PaymentDesired::Refunded | PaymentDesired::Unknown => {
                    if state.captured > 0 {
                        PaymentPhase::Refunding
                    } else if state.attempt == 0 {
                        PaymentPhase::Voided
                    } else {
                        PaymentPhase::Voiding
                    }
                }
            },
            reason: String::new(),
            message: String::new(),
            provider_uid: None,
            credential: None,
            first_attempt_at: None,
            ..state
        },
    }
}
