//! Finding out what became of a charge: ask first; if that does not tell, repeat the call under its key.
//!
//! Responses are turned into [`ChargeInquiry`] here; what follows from it for an order that wants to be paid, or that wants its
//! money back, is decided in `charge` and `void`.

use super::transitions::throttled;
use super::{
    Command, NoToken, PaymentState, PaymentView, ProviderCall, ProviderPaymentId, ProviderSession, Responses,
    RetryAfter,
};
use crate::provider::{
    CallFailure, ChargeOutcome, LookUpOutcome, PrepareOutcome, ProviderPayment, ProviderStatus, Refusal,
    VoidOutcome,
};
use crate::reason::Reason;
use crate::time::Timestamp;

/// What asking about a charge has come to.
pub(super) enum ChargeInquiry {
    /// Something else has to be asked first.
    Act(Command),
    /// Something was learnt that has to be kept before anything else is asked.
    Keep(Box<PaymentState>),
    /// The money was taken.
    Captured(ProviderPayment),
    /// It was not, and never will be.
    Never(Refusal),
    /// The request never reached the provider.
    Unreachable(String),
    /// Not resolved yet: reason, sentence, and how soon to ask again.
    Unresolved(Reason, String, RetryAfter),
    /// Asking cannot tell: a person has to. Reason and sentence.
    Unknowable(Reason, &'static str),
}

impl From<&CallFailure> for ChargeInquiry {
    fn from(failure: &CallFailure) -> Self {
        match failure {
            CallFailure::NotSent(why) => Self::Unreachable(why.clone()),
            CallFailure::Throttled { retry_after_ms } => {
                let (reason, why, pace) = throttled(*retry_after_ms);
                Self::Unresolved(reason, why, pace)
            }
            CallFailure::Unauthorized(why) => {
                Self::Unresolved(Reason::ProviderRefusesCredentials, why.clone(), RetryAfter::Soon)
            }
            CallFailure::InProgress
            | CallFailure::Errored(_)
            | CallFailure::IdempotencyKeyConsumed(_)
            | CallFailure::OutcomeUnknown(_) => {
                Self::Unresolved(Reason::OutcomeUnknown, failure.why().to_owned(), RetryAfter::Soon)
            }
        }
    }
}

const LOST_SIGHT: ChargeInquiry = ChargeInquiry::Unknowable(
    Reason::OutcomeUnknowable,
    "the provider, its credential or the lifetime of the idempotency key changed while a charge was under session, and \
     the provider knows no such payment: look there whether it was charged",
);

pub(super) const PAYMENT_LOST: ChargeInquiry = ChargeInquiry::Unknowable(
    Reason::PaymentNotFound,
    "the provider does not know the payment that it had prepared under this id: look there whether it was charged",
);

/// Where a payment's charge stands, at a provider that takes a checkout's token and nothing else.
pub(super) fn direct(view: &PaymentView, session: &ProviderSession, now: Timestamp) -> ChargeInquiry {
    let Responses { look_up, charge, intent_is_fresh, .. } = &view.responses;
    let sure = session.is_scope_of(&view.state, now);
    match look_up {
        None if !intent_is_fresh || !sure => return ask(view),
        Some(LookUpOutcome::Found(payment)) => match found(payment) {
            Some(inquiry) => return inquiry,
            // It is known here, so this is the account that it was made at, and its token is good for one charge.
            None if !sure => return ChargeInquiry::Keep(Box::new(session.scoped(&view.state, now))),
            None => {}
        },
        Some(LookUpOutcome::NotFound) if !sure => return LOST_SIGHT,
        Some(LookUpOutcome::CallFailure(failure)) if !sure => return failure.into(),
        None | Some(LookUpOutcome::NotFound | LookUpOutcome::CallFailure(_)) => {}
    }
    match charge {
        None => match &session.no_token {
            None => charge_now(view),
            // Nobody can repeat the charge. What is on its way can still be made, until the checkout has expired.
            Some(_) if has_expired(view, session, now) && *look_up == Some(LookUpOutcome::NotFound) => {
                let message = "its checkout has expired without having been charged".to_owned();
                ChargeInquiry::Never(Refusal { code: "EXPIRED".into(), message })
            }
            Some(why) => without(why),
        },
        Some(ChargeOutcome::Captured(payment)) => ChargeInquiry::Captured(payment.clone()),
        Some(ChargeOutcome::Refused(refusal)) => ChargeInquiry::Never(refusal.clone()),
        // Nothing had been sent for this payment, under any key: somebody else has used the checkout.
        Some(ChargeOutcome::AlreadyProcessed) if *intent_is_fresh => ChargeInquiry::Unknowable(
            Reason::CheckoutUsedBefore,
            "the provider had dealt with this checkout before the order was charged: its token pays for something else",
        ),
        Some(ChargeOutcome::AlreadyProcessed) => dealt_with(),
        Some(ChargeOutcome::CallFailure(failure)) => failure.into(),
    }
}

/// The same at a provider where payments are prepared first.
pub(super) fn prepared(view: &PaymentView, session: &ProviderSession, now: Timestamp) -> ChargeInquiry {
    let Some(payment_id) = view.state.provider_payment_id() else {
        return not_prepared(view, session, now);
    };
    let Responses { look_up, charge, void, intent_is_fresh, .. } = &view.responses;
    let sure = session.is_scope_of(&view.state, now);
    let spent = matches!(charge, Some(ChargeOutcome::CallFailure(CallFailure::IdempotencyKeyConsumed(_))));
    match look_up {
        None if !intent_is_fresh || !sure || spent => return ask(view),
        Some(LookUpOutcome::Found(payment)) => match found(payment) {
            Some(inquiry) => return inquiry,
            None if !sure => return ChargeInquiry::Keep(Box::new(session.scoped(&view.state, now))),
            None => {}
        },
        Some(LookUpOutcome::NotFound) => return PAYMENT_LOST,
        Some(LookUpOutcome::CallFailure(failure)) if !sure || spent => return failure.into(),
        None | Some(LookUpOutcome::CallFailure(_)) => {}
    }
    match charge {
        None => with_token(session, || charge_now(view)),
        Some(ChargeOutcome::Captured(payment)) => ChargeInquiry::Captured(payment.clone()),
        Some(ChargeOutcome::AlreadyProcessed) => dealt_with(),
        // The refusal is final once the prepared payment can no longer be charged by a call that is still on its way.
        Some(ChargeOutcome::Refused(refusal)) => {
            when_voided(void.as_ref(), payment_id, || ChargeInquiry::Never(refusal.clone()))
        }
        Some(ChargeOutcome::CallFailure(CallFailure::IdempotencyKeyConsumed(_))) => {
            when_voided(void.as_ref(), payment_id, || {
                ChargeInquiry::Keep(Box::new(next_attempt(&view.state)))
            })
        }
        Some(ChargeOutcome::CallFailure(failure)) => failure.into(),
    }
}

/// What follows once the prepared payment is voided; before that it has to be.
pub(super) fn when_voided(
    void: Option<&VoidOutcome>,
    payment_id: ProviderPaymentId,
    then: impl FnOnce() -> ChargeInquiry,
) -> ChargeInquiry {
    match void {
        None => ChargeInquiry::Act(Command::Call(ProviderCall::Void { payment_id })),
        Some(VoidOutcome::Voided) => then(),
        Some(VoidOutcome::TooLate) => dealt_with(),
        Some(VoidOutcome::CallFailure(failure)) => failure.into(),
    }
}

/// Only a stored id is ever charged: preparing as often as it takes moves no money.
fn not_prepared(view: &PaymentView, session: &ProviderSession, now: Timestamp) -> ChargeInquiry {
    match &view.responses.prepare {
        None => with_token(session, || {
            ChargeInquiry::Act(Command::Call(ProviderCall::Prepare { amount: view.total }))
        }),
        Some(PrepareOutcome::Prepared(payment)) => {
            let Some(inquiry) = found(payment) else {
                let state = session.scoped(&view.state, now);
                let payment_id = Some(payment.payment_id.clone());
                return ChargeInquiry::Keep(Box::new(PaymentState { payment_id, ..state }));
            };
            // A payment that was voided under this attempt's key, before its successor was recorded.
            if let ChargeInquiry::Never(_) = inquiry {
                ChargeInquiry::Keep(Box::new(next_attempt(&view.state)))
            } else {
                inquiry
            }
        }
        Some(PrepareOutcome::Refused(refusal)) => ChargeInquiry::Never(refusal.clone()),
        Some(PrepareOutcome::CallFailure(CallFailure::IdempotencyKeyConsumed(_))) => {
            ChargeInquiry::Keep(Box::new(next_attempt(&view.state)))
        }
        Some(PrepareOutcome::CallFailure(failure)) => failure.into(),
    }
}

/// Asks the provider what became of the payment.
pub(super) fn ask(view: &PaymentView) -> ChargeInquiry {
    let payment_id = view.state.provider_payment_id();
    ChargeInquiry::Act(Command::Call(ProviderCall::LookUp { payment_id }))
}

fn charge_now(view: &PaymentView) -> ChargeInquiry {
    let (payment_id, amount) = (view.state.provider_payment_id(), view.total);
    ChargeInquiry::Act(Command::Call(ProviderCall::Charge { payment_id, amount }))
}

fn with_token(session: &ProviderSession, then: impl FnOnce() -> ChargeInquiry) -> ChargeInquiry {
    match &session.no_token {
        None => then(),
        Some(why) => without(why),
    }
}

fn without(token: &NoToken) -> ChargeInquiry {
    let (reason, why) = token.reason_and_message();
    ChargeInquiry::Unresolved(reason, why.to_owned(), RetryAfter::Soon)
}

/// Whether no charge that is still on its way can be made any more.
fn has_expired(view: &PaymentView, session: &ProviderSession, now: Timestamp) -> bool {
    let first = view.state.first_attempt_at;
    session.token_lifetime.zip(first).is_some_and(|(lifetime, first)| now >= first + lifetime)
}

/// What the provider says of a payment, where that settles it.
pub(super) fn found(payment: &ProviderPayment) -> Option<ChargeInquiry> {
    let never = |code: &str| {
        let message = "it can never be captured".to_owned();
        Some(ChargeInquiry::Never(Refusal { code: code.into(), message }))
    };
    match payment.status {
        ProviderStatus::Captured => Some(ChargeInquiry::Captured(payment.clone())),
        ProviderStatus::Failed => never("ABORTED"),
        ProviderStatus::Expired => never("EXPIRED"),
        ProviderStatus::Open | ProviderStatus::Unrecognised => None,
    }
}

fn dealt_with() -> ChargeInquiry {
    let why = "the provider has dealt with it before; it is inquiry what came of that";
    ChargeInquiry::Unresolved(Reason::OutcomeUnknown, why.into(), RetryAfter::Soon)
}

/// The last attempt can take no money any more: another key, and another payment at the provider.
fn next_attempt(state: &PaymentState) -> PaymentState {
    PaymentState { attempt: state.attempt.saturating_add(1), payment_id: None, ..state.clone() }
}
