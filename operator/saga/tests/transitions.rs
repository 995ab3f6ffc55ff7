//! Every step of the order's table is taken by a decision in some situation, and every step outside is refused.

use fooddelivery_saga::order::{self, Command, Decision, OrderState, OrderView};
use fooddelivery_saga::phases::{
    CancellationVerdict, DeliveryStage as D, OrderPhase as O, PaymentDesired, PaymentPhase as P,
    TicketStage as T, WhenUnavailable,
};
use fooddelivery_saga::reason::Reason;
use fooddelivery_saga::table::{self, ORDER};
use fooddelivery_saga::time::{Deadlines, Millis, Timestamp};
use fooddelivery_saga::view::{
    Child, ControllerAvailability, DeliverySeen, PaymentSeen, RelatedState, TicketSeen,
};

const NOW: Timestamp = Timestamp(1_000_000_000);

fn payment(phase: P, desired: PaymentDesired) -> PaymentSeen {
    PaymentSeen {
        desired,
        phase,
        total: 9_000,
        discount: None,
        reason: String::new(),
        message: String::new(),
        reversal: None,
        deleting: false,
    }
}

fn captured() -> Child<PaymentSeen> {
    Child::Present(payment(P::Captured, PaymentDesired::Captured))
}

fn ticket(stage: T) -> Child<TicketSeen> {
    Child::Present(TicketSeen { stage, reason: String::new(), created_at: NOW, deleting: false })
}

fn delivery(stage: D, rider: Option<&str>) -> Child<DeliverySeen> {
    let rider = rider.map(str::to_owned);
    Child::Present(DeliverySeen { stage, rider, reason: String::new(), deleting: false })
}

fn view(phase: O) -> OrderView {
    OrderView {
        created_at: NOW,
        has_finalizer: true,
        deleting: false,
        namespace_terminating: false,
        paused: false,
        cancellation: None,
        receipt_confirmed: false,
        when_unavailable: WhenUnavailable::Defer,
        token_replaced: false,
        state: OrderState { phase, ..OrderState::default() },
        payment: captured(),
        ticket: Child::Absent,
        delivery: Child::Absent,
        quote: None,
        session: None,
        store_open: true,
        accepts_by_itself: false,
        availability: ControllerAvailability::of_all(NOW),
        deadlines: Deadlines::default(),
        watching_since: NOW,
        related: RelatedState::default(),
    }
}

/// Situations, each with the phase that the order is to move to.
fn situations() -> Vec<(OrderView, O)> {
    let going_back = || Child::Present(payment(P::Refunding, PaymentDesired::Refunded));
    let back = || Child::Present(payment(P::Refunded, PaymentDesired::Refunded));
    let unpaid = |phase| Child::Present(payment(phase, PaymentDesired::Captured));
    let unreachable = || Child::Present(payment(P::Voiding, PaymentDesired::Refunded));
    let cooked = ticket(T::Cooked);
    let waiting = delivery(D::Waiting, None);
    let taken = delivery(D::Waiting, Some("minjun"));
    let with = |phase, ticket: &Child<TicketSeen>, delivery: &Child<DeliverySeen>| OrderView {
        ticket: ticket.clone(),
        delivery: delivery.clone(),
        ..view(phase)
    };
    let none = Child::Absent;
    let undone =
        |view: OrderView, ticket, delivery| OrderView { ticket, delivery, payment: going_back(), ..view };
    let cancelled = || ticket(T::Cancelled);
    let mut failing = OrderView { payment: unreachable(), ..view(O::PaymentDeferred) };
    if let Child::Present(seen) = &mut failing.payment {
        let (reason, message) = (Reason::ProviderUnavailable.into(), String::new());
        seen.reversal = Some(fooddelivery_saga::view::Reversal { reason, message });
    }
    let gone = |from| undone(view(from), cooked.clone(), delivery(D::Cancelled, None));
    vec![
        (view(O::AwaitingPayment), O::AwaitingStore),
        (OrderView { payment: unpaid(P::Deferred), ..view(O::AwaitingPayment) }, O::PaymentDeferred),
        (OrderView { payment: unpaid(P::Declined), ..view(O::AwaitingPayment) }, O::PaymentFailed),
        (OrderView { payment: going_back(), ..view(O::AwaitingPayment) }, O::Cancelling),
        (view(O::PaymentDeferred), O::AwaitingStore),
        (failing, O::PaymentFailed),
        (OrderView { payment: going_back(), ..view(O::PaymentDeferred) }, O::Cancelling),
        (with(O::AwaitingStore, &ticket(T::Accepted), &none), O::Accepted),
        (with(O::AwaitingStore, &ticket(T::Rejected), &none), O::Rejected),
        (undone(view(O::AwaitingStore), cancelled(), Child::Absent), O::Cancelling),
        (with(O::Accepted, &ticket(T::Cooking), &none), O::Cooking),
        (undone(view(O::Accepted), cancelled(), Child::Absent), O::Cancelling),
        (with(O::Cooking, &cooked, &none), O::AwaitingRider),
        (undone(view(O::Cooking), ticket(T::Abandoned), Child::Absent), O::Cancelling),
        (with(O::AwaitingRider, &cooked, &taken), O::RiderAssigned),
        (gone(O::AwaitingRider), O::Cancelling),
        (with(O::RiderAssigned, &cooked, &delivery(D::PickedUp, Some("minjun"))), O::PickedUp),
        (with(O::RiderAssigned, &cooked, &waiting), O::AwaitingRider),
        (gone(O::RiderAssigned), O::Cancelling),
        (with(O::PickedUp, &cooked, &delivery(D::Delivered, Some("minjun"))), O::Delivered),
        (undone(view(O::PickedUp), cooked.clone(), delivery(D::Failed, Some("minjun"))), O::Cancelling),
        (
            OrderView {
                receipt_confirmed: true,
                ..with(O::Delivered, &cooked, &delivery(D::Delivered, Some("minjun")))
            },
            O::Completed,
        ),
        (OrderView { payment: back(), ticket: cancelled(), ..view(O::Cancelling) }, O::Cancelled),
    ]
}

#[test]
fn every_step_of_the_order_is_taken_by_a_decision() {
    let mut taken = Vec::new();
    for (view, to) in situations() {
        let Decision::Rest(rest) = order::decide(&view, NOW) else { panic!("a status for {view:?}") };
        assert_eq!(rest.state.phase, to, "from {}", view.state.phase);
        taken.push((view.state.phase, to));
    }
    for step in ORDER {
        assert!(taken.contains(&(step.from, step.to)), "nothing leads from {} to {}", step.from, step.to);
    }
    assert_eq!(taken.len(), ORDER.len(), "one situation a step");
}

#[test]
fn an_order_moves_along_the_table_and_nowhere_else() {
    for from in O::ALL {
        for to in O::ALL {
            let mut state = OrderState { phase: *from, ..OrderState::default() };
            let moved = state.move_to(*to, NOW, NOW);
            let open = table::path(ORDER, *from, *to).is_some();
            assert_eq!(state.phase, if open { *to } else { *from }, "{from} to {to}");
            assert_eq!(moved.is_ok(), open, "{from} to {to}: what is not allowed is an error");
        }
    }
}

#[test]
fn an_order_whose_ticket_went_where_no_order_can_follow_is_left_alone_and_says_so() {
    let refused = OrderView { ticket: ticket(T::Rejected), ..view(O::Accepted) };
    match order::decide(&refused, NOW) {
        Decision::Halt(violation) => {
            assert!(violation.detail.contains("Accepted to Rejected"), "{violation}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn no_situation_moves_an_order_that_has_ended() {
    for end in O::ALL.iter().filter(|p| p.is_terminal()) {
        for (situation, _) in situations() {
            let mut view = situation;
            view.state.phase = *end;
            if let Decision::Rest(rest) = order::decide(&view, NOW) {
                assert_eq!(rest.state.phase, *end);
            }
        }
    }
}

#[test]
fn a_cancel_is_refused_from_cooking_on_and_only_then() {
    for stage in T::ALL {
        let phase = if matches!(stage, T::Cooking | T::Cooked) { O::Cooking } else { O::AwaitingStore };
        let asked = OrderView {
            cancellation: Some("no longer hungry".into()),
            ticket: ticket(*stage),
            ..view(phase)
        };
        let fenced = matches!(
            order::decide(&asked, NOW),
            Decision::Act(Command::EndTicket { stage: T::Cancelled, .. })
        );
        assert_eq!(fenced, matches!(stage, T::Pending | T::Accepted), "{stage}");
        if let Decision::Rest(rest) = order::decide(&asked, NOW) {
            let verdict = rest.state.cancellation.map(CancellationVerdict::as_str);
            let begun = matches!(stage, T::Cooking | T::Cooked);
            assert_eq!(verdict == Some("Refused"), begun, "{stage}: {verdict:?}");
        }
    }
}

#[test]
fn a_ticket_made_late_for_an_order_that_was_undone_is_not_cooked() {
    let undone = OrderView { ticket: ticket(T::Pending), ..view(O::Cancelled) };
    let decision = order::decide(&OrderView { payment: Child::Absent, ..undone }, NOW);
    assert!(
        matches!(decision, Decision::Act(Command::EndTicket { stage: T::Cancelled, .. })),
        "{decision:?}"
    );
}

#[test]
fn food_that_arrived_stays_paid_for_in_a_namespace_that_goes_before_the_status_says_so() {
    let gone = OrderView {
        ticket: ticket(T::Cooked),
        delivery: delivery(D::Delivered, Some("minjun")),
        namespace_terminating: true,
        deleting: true,
        ..view(O::AwaitingRider)
    };
    match order::decide(&gone, NOW) {
        Decision::Rest(rest) => assert_eq!(rest.state.phase, O::Completed),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_deadline_that_passed_while_a_child_is_seen_as_it_was_wakes_nobody_until_the_child_is_seen_anew() {
    // The replica's own watch of tickets has stopped: the order is Accepted, and its ticket still looks Pending.
    let mut behind = OrderView { ticket: ticket(T::Pending), ..view(O::Accepted) };
    let due = NOW + behind.deadlines.cooking;
    behind.state.deadline = Some(due);
    for (now, wakes) in [(due + Millis(-1), Some(due)), (due, None), (due + Millis(1), None)] {
        match order::decide(&behind, now) {
            Decision::Rest(rest) => assert_eq!((rest.state.phase, rest.wake_at), (O::Accepted, wakes)),
            other => panic!("{other:?}"),
        }
    }
}
