//! A payment in the middle of things, to be changed by each test.

use fooddelivery_saga::payment::{
    Access, Command, Decision, OrderStanding, PaymentState, PaymentView, ProviderCall, ProviderPaymentId,
    ProviderSession, Responses, decide,
};
use fooddelivery_saga::phases::{PaymentDesired as Want, PaymentPhase as P, Resolution};
use fooddelivery_saga::provider::{
    ChargeOutcome, LookUpOutcome, ProviderPayment, ProviderStatus, RefundOutcome, Refusal,
};
use fooddelivery_saga::time::{Millis, Timestamp};

pub(crate) const NOW: Timestamp = Timestamp(1_000_000_000);
pub(crate) const TOTAL: i64 = 9_000;

pub(crate) fn way() -> ProviderSession {
    ProviderSession {
        provider_uid: "p".into(),
        credential: "c".into(),
        prepares: false,
        retention: Millis::seconds(15 * 24 * 3600),
        token_lifetime: Some(Millis::seconds(900)),
        no_token: None,
        open_until: None,
    }
}

/// A payment with a recorded intent (but in Pending), and everything about it asked but the charge itself.
pub(crate) fn paying(phase: P, desired: Want) -> PaymentView {
    let begun = !matches!(phase, P::Pending);
    let moved = matches!(phase, P::Captured | P::Refunding);
    PaymentView {
        has_finalizer: true,
        deleting: false,
        paused: false,
        desired,
        resolution: None,
        total: TOTAL,
        currency: "KRW".into(),
        order_id: "o1".into(),
        state: PaymentState {
            phase,
            attempt: i64::from(begun),
            captured: if moved { TOTAL } else { 0 },
            payment_id: moved.then(|| "pk".into()),
            provider_uid: begun.then(|| "p".into()),
            credential: begun.then(|| "c".into()),
            first_attempt_at: begun.then_some(NOW),
            ..PaymentState::default()
        },
        as_created: false,
        order_in_cache: true,
        spread: 0,
        responses: Responses {
            order: Some(OrderStanding::Wants),
            access: Some(Access::Ready(way())),
            look_up: Some(LookUpOutcome::NotFound),
            ..Responses::default()
        },
    }
}

pub(crate) fn begun(mut view: PaymentView) -> PaymentView {
    view.state.attempt = 1;
    view.state.provider_uid = Some("p".into());
    view.state.credential = Some("c".into());
    view.state.first_attempt_at = Some(NOW);
    view
}

/// The same at a provider that prepares payments, with this one's id stored.
pub(crate) fn prepared(view: PaymentView) -> PaymentView {
    let mut view = begun(view);
    view.state.payment_id = Some("pk".into());
    view.responses.access = Some(Access::Ready(ProviderSession { prepares: true, ..way() }));
    view.responses.look_up = Some(LookUpOutcome::Found(at_provider(ProviderStatus::Open, 0)));
    view
}

pub(crate) fn at_provider(status: ProviderStatus, refunded: i64) -> ProviderPayment {
    ProviderPayment {
        payment_id: "pk".into(),
        order_id: "o1".into(),
        amount: TOTAL,
        refunded,
        currency: "KRW".into(),
        status,
    }
}

pub(crate) fn taken() -> ProviderPayment {
    at_provider(ProviderStatus::Captured, 0)
}

pub(crate) fn of_another_amount() -> ProviderPayment {
    ProviderPayment { amount: 1, ..taken() }
}

pub(crate) fn refusal() -> Refusal {
    Refusal { code: "REJECT".into(), message: "no".into() }
}

pub(crate) fn charged(phase: P, desired: Want, outcome: ChargeOutcome) -> PaymentView {
    let mut view = begun(paying(phase, desired));
    view.responses.charge = Some(outcome);
    view
}

pub(crate) fn refunded(outcome: RefundOutcome) -> PaymentView {
    let mut view = paying(P::Refunding, Want::Refunded);
    view.responses.refund = Some(outcome);
    view
}

pub(crate) fn resolved(desired: Want, attempt: i64, captured: i64, resolution: Resolution) -> PaymentView {
    let mut view = paying(P::NeedsReview, desired);
    view.state.attempt = attempt;
    view.state.captured = captured;
    view.resolution = Some(resolution);
    view
}

pub(crate) fn written(view: &PaymentView) -> PaymentState {
    match decide(view, NOW) {
        Decision::Write(state) => *state,
        other => panic!("a status, not {other:?}, for {view:?}"),
    }
}

pub(crate) fn acts(view: &PaymentView) -> Command {
    match decide(view, NOW) {
        Decision::Act(command) => command,
        other => panic!("a command, not {other:?}, for {view:?}"),
    }
}

fn id(view: &PaymentView) -> ProviderPaymentId {
    let Some(id) = view.state.provider_payment_id() else { panic!("a payment that the provider knows") };
    id
}

pub(crate) fn look_up(view: &PaymentView) -> Command {
    Command::Call(ProviderCall::LookUp { payment_id: view.state.provider_payment_id() })
}

pub(crate) fn charge(view: &PaymentView) -> Command {
    Command::Call(ProviderCall::Charge { payment_id: view.state.provider_payment_id(), amount: view.total })
}

pub(crate) fn void(view: &PaymentView) -> Command {
    Command::Call(ProviderCall::Void { payment_id: id(view) })
}

pub(crate) fn refund(view: &PaymentView, amount: i64) -> Command {
    Command::Call(ProviderCall::Refund { payment_id: id(view), amount })
}
