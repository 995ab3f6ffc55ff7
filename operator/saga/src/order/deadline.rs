//! The deadline of a waiting phase. It stands in status and nowhere else, so that it survives a restart as it is, and
//! it runs only while somebody could act: while nobody can, none stands there, and when somebody can again, it begins
//! anew. It fires only when it stands there and has passed.
//!
//! What this module may not do: decide what follows when it has passed.

use super::command::ChildKind;
use super::status::OrderState;
use super::steps::{self, Controller};
use super::view::OrderView;
use crate::phases::OrderPhase;
use crate::reason::Reason;
use crate::time::{Millis, RESTART_GRACE, Timestamp};

/// What is not worth a status write of its own: a deadline that would move by less than this (or than a tenth of its
/// span), and one for a wait that is over sooner, as that for a payment, or for a ticket to be made.
pub const SLACK: Millis = Millis::seconds(5);

/// How long the present phase may last.
fn span_of(view: &OrderView) -> Option<Millis> {
    steps::step(view.state.phase).deadline.map(|span| span.of(&view.deadlines))
}

fn slack(span: Millis) -> Millis {
    SLACK.min(Millis(span.0 / 10))
}

/// Since when the controllers have been at work on which the present phase rests. All phases rest on that of orders:
/// time in which it was away, or could not reach the API server, is time in which nobody was heard.
fn available_since(view: &OrderView) -> Option<Timestamp> {
    let availability = &view.availability;
    let other = match steps::step(view.state.phase).needs {
        Controller::Payment if view.related.names_coupon && is_unpriced(view) => availability.coupon,
        Controller::Payment => availability.payment,
        Controller::Ticket => availability.ticket,
        Controller::Delivery => availability.delivery,
        Controller::Order => availability.order,
    };
    Some(availability.order?.max(other?))
}

/// Since when somebody could act in the present phase, once the child is there that they act on; `None` while nobody
/// can.
fn acting_since(view: &OrderView) -> Option<Timestamp> {
    let available = available_since(view)?;
    let step = steps::step(view.state.phase);
    // The store's opening is waited for, for as long as it takes. What a closed store has accepted it cooks when it
    // opens; until then the customer may still cancel. Once it cooks, there must be an end.
    let waits_for_opening = is_unpriced(view) && view.state.reason == Reason::StoreClosed;
    if waits_for_opening || (step.rests_while_closed && !view.store_open) {
        return None;
    }
    if step.acts_on != Some(ChildKind::Ticket) {
        return Some(available);
    }
    // Where the operator itself accepts, nobody is waited for.
    let made = view.ticket.present().map_or(available, |ticket| available.max(ticket.created_at));
    (!view.accepts_by_itself).then_some(made)
}

/// Whether the order has no price yet, and so no payment.
fn is_unpriced(view: &OrderView) -> bool {
    view.state.phase == OrderPhase::AwaitingPayment && view.payment.is_absent()
}

/// Whether there is nothing yet that anybody could act on.
fn child_is_missing(view: &OrderView) -> bool {
    match steps::step(view.state.phase).acts_on {
        Some(ChildKind::Ticket) => view.ticket.is_absent(),
        Some(ChildKind::Delivery) => view.delivery.is_absent(),
        Some(ChildKind::Payment) => view.payment.is_absent(),
        None => false,
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
