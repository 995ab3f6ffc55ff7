//! The conditions of an order that has been undone, refused or settled.

use super::status::{ConditionKind, OrderState};
use super::view::OrderView;
use crate::machine::Note;
use crate::phases::PaymentPhase;
use crate::reason::Reason;
use crate::time::Timestamp;

/// Sets the conditions of an order that has been, or is being, undone.
pub(super) fn close(state: &mut OrderState, view: &OrderView, money_back: bool, now: Timestamp) {
    let (reason, message) =
        (non_empty(&state.reason, Reason::Undone.as_str()).to_owned(), state.message.clone());
    if state.phase.is_terminal() {
        state.set(ConditionKind::Ended, true, state.phase.as_str(), "", now);
        state.set(ConditionKind::Completed, false, state.phase.as_str(), "", now);
        if !view.state.holds(ConditionKind::Paid) {
            state.set(ConditionKind::Paid, false, &reason, &message, now);
        }
    }
    let settled = money_back && state.phase.is_terminal();
    let review = view.payment.present().filter(|p| p.phase == PaymentPhase::NeedsReview);
    let (why, detail) = match review {
        Some(payment) => (Reason::PaymentNeedsReview, payment.message.as_str()),
        None if settled => (Reason::MoneyReturned, ""),
        None => (Reason::MoneyOnItsWay, ""),
    };
    state.set(ConditionKind::Settled, settled, why, detail, now);
}

/// A warning, once, when the money waits for a person.
pub(super) fn review_note(view: &OrderView, state: &OrderState) -> Option<Note> {
    let reviewing = |s: &OrderState| s.says(ConditionKind::Settled, Reason::PaymentNeedsReview);
    let payment = view.payment.present()?;
    (reviewing(state) && !reviewing(&view.state))
        .then(|| Note::warning(Reason::PaymentNeedsReview, payment.message.clone()))
}

/// `word`, or `otherwise` where there is none.
pub(super) fn non_empty<'a>(word: &'a str, otherwise: &'a str) -> &'a str {
    if word.is_empty() { otherwise } else { word }
}
