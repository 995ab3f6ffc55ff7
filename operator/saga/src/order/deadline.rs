//! The deadline of a waiting phase. It stands in status and nowhere else, so that it survives a restart as it is, and
//! it runs only while somebody could act: while nobody can, none stands there, and when somebody can again, it begins
//! anew. It fires only when it stands there and has passed.
//!
//! What this module may not do: decide what follows when it has passed.

use super::{OrderState, OrderView};
use crate::phases::OrderPhase;
use crate::time::{Millis, RESTART_GRACE, Timestamp};

/// What is not worth a status write of its own: a deadline that would move by less than this (or than a tenth of its
/// span), and one for a wait that is over sooner, as that for a payment, or for a ticket to be made.
pub const SLACK: Millis = Millis::seconds(5);

/// How long the present phase may last.
fn span_of(view: &OrderView) -> Option<Millis> {
    let deadlines = &view.deadlines;
    Some(match view.state.phase {
        OrderPhase::AwaitingPayment => deadlines.payment,
        OrderPhase::PaymentDeferred => deadlines.deferral,
        OrderPhase::AwaitingStore => deadlines.acceptance,
        OrderPhase::Accepted | OrderPhase::Cooking => deadlines.cooking,
        OrderPhase::AwaitingRider => deadlines.rider,
        OrderPhase::RiderAssigned => deadlines.pickup,
        OrderPhase::PickedUp => deadlines.delivery,
        OrderPhase::Delivered => deadlines.confirmation,
        _ => return None,
    })
}

fn slack(span: Millis) -> Millis {
    SLACK.min(Millis(span.0 / 10))
}

/// Since when the controllers have been at work on which the present phase rests. All phases rest on that of orders:
/// time in which it was away, or could not reach the API server, is time in which nobody was heard.
fn available_since(view: &OrderView) -> Option<Timestamp> {
    let availability = &view.availability;
    let other = match view.state.phase {
        OrderPhase::AwaitingPayment if view.related.names_coupon && view.payment.is_absent() => {
            availability.coupon
        }
        OrderPhase::AwaitingPayment | OrderPhase::PaymentDeferred => availability.payment,
        OrderPhase::AwaitingStore | OrderPhase::Accepted | OrderPhase::Cooking => availability.ticket,
        OrderPhase::AwaitingRider | OrderPhase::RiderAssigned | OrderPhase::PickedUp => availability.delivery,
        _ => availability.order,
    };
    Some(availability.order?.max(other?))
}

/// Since when somebody could act in the present phase, once the child is there that they act on; `None` while nobody
/// can.
fn acting_since(view: &OrderView) -> Option<Timestamp> {
    let available = available_since(view)?;
    match view.state.phase {
        // The store's opening is waited for, for as long as it takes.
        OrderPhase::AwaitingPayment if view.payment.is_absent() && view.state.reason == "StoreClosed" => None,
        // Where the operator itself accepts, nobody is waited for.
        OrderPhase::AwaitingStore if !view.store_open || view.accepts_by_itself => None,
        OrderPhase::AwaitingStore => {
            Some(view.ticket.present().map_or(available, |t| available.max(t.created_at)))
        }
        // What a closed store has accepted it cooks when it opens; until then the customer may still cancel. Once it
        // cooks, there must be an end.
        OrderPhase::Accepted if !view.store_open => None,
        _ => Some(available),
    }
}

/// Whether there is nothing yet that anybody could act on.
fn child_is_missing(view: &OrderView) -> bool {
    match view.state.phase {
        OrderPhase::AwaitingStore => view.ticket.is_absent(),
        OrderPhase::AwaitingRider => view.delivery.is_absent(),
        _ => false,
    }
}

/// Until when a child that is missing counts as being made.
fn made_by(view: &OrderView, span: Millis) -> Timestamp {
    view.state.phase_since(view.created_at) + slack(span)
}

/// The deadline that is to stand in the status of `view`.
fn deadline(view: &OrderView, now: Timestamp) -> Option<Timestamp> {
    let (span, since) = (span_of(view)?, acting_since(view)?);
    if child_is_missing(view) && now >= made_by(view, span) {
        return None;
    }
    // The whole span from when somebody could act; and never more than the span from now, whatever clock set it.
    let (earliest, latest) = (since + span, now.max(since) + span);
    let standing = view.state.deadline.unwrap_or(latest);
    Some(if earliest > standing + slack(span) {
        earliest
    } else if standing > latest + slack(span) {
        latest
    } else {
        standing
    })
}

/// When the present phase has lasted too long, if nobody acts; `None` also while there is no deadline.
fn due_at(view: &OrderView) -> Option<Timestamp> {
    let (span, since) = (span_of(view)?, acting_since(view)?);
    let standing = view.state.deadline.filter(|_| !child_is_missing(view))?;
    Some(standing.max(since + span).max(view.watching_since + RESTART_GRACE))
}

/// Whether the present phase has lasted too long.
pub(super) fn has_passed(view: &OrderView, now: Timestamp) -> bool {
    due_at(view).is_some_and(|due| now >= due)
}

/// Sets the deadline in `state`, which follows on that of `view`, and returns when to look again.
pub(super) fn set(view: &OrderView, state: &mut OrderState, now: Timestamp) -> Option<Timestamp> {
    let mut next = OrderView { state: state.clone(), ..view.clone() };
    let deadline = deadline(&next, now);
    if let Some(until) = not_yet(&next, &view.state)
        && deadline.is_some()
        && now < until
    {
        return Some(until);
    }
    state.deadline = deadline;
    next.state.deadline = deadline;
    match span_of(&next) {
        Some(span) if child_is_missing(&next) => deadline.map(|_| made_by(&next, span)),
        // What has passed and brought nothing about waits for what a child does, not for the time.
        _ => due_at(&next).filter(|due| now < *due),
    }
}

/// A first payment is mostly made in a moment: its deadline is not worth a write of its own before this.
fn not_yet(next: &OrderView, before: &OrderState) -> Option<Timestamp> {
    let fresh = next.state.phase == OrderPhase::AwaitingPayment && before.deadline.is_none();
    let since = acting_since(next).filter(|_| fresh && next.state == *before)?;
    Some(next.created_at.max(since).max(next.watching_since) + slack(next.deadlines.payment))
}
