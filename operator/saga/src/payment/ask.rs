//! Finding out what became of a charge: ask first; if that does not tell, repeat the call under its key.
//!
//! Answers are turned into [`Asked`] here; what follows from it for an order that wants to be paid, or that wants its
//! money back, is decided in `charge` and `void`.

use super::outcome::{OUTCOME_UNKNOWN, throttled};
use super::{Answers, Command, NoToken, Pace, PaymentState, PaymentView, Way};
use crate::provider::{
    ChargeOutcome, LookUpOutcome, PrepareOutcome, ProviderPayment, ProviderStatus, Refusal, Trouble,
    VoidOutcome,
};
use crate::time::Timestamp;

/// What asking about a charge has come to.
pub(super) enum Asked {
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
    Unresolved(&'static str, String, Pace),
    /// Asking cannot tell: a person has to. Reason and sentence.
    Unknowable(&'static str, &'static str),
}

impl From<&Trouble> for Asked {
    fn from(trouble: &Trouble) -> Self {
        match trouble {
            Trouble::NotSent(why) => Self::Unreachable(why.clone()),
            Trouble::Throttled { retry_after_ms } => {
                let (reason, why, pace) = throttled(*retry_after_ms);
                Self::Unresolved(reason, why, pace)
            }
            Trouble::Unauthorized(why) => {
                Self::Unresolved("ProviderRefusesCredentials", why.clone(), Pace::Soon)
            }
            other => Self::Unresolved(OUTCOME_UNKNOWN, other.why().to_owned(), Pace::Soon),
        }
    }
}

const LOST_SIGHT: Asked = Asked::Unknowable(
    "OutcomeUnknowable",
    "the provider, its credential or the lifetime of the idempotency key changed while a charge was under way, and \
     the provider knows no such payment: look there whether it was charged",
);

pub(super) const PAYMENT_LOST: Asked = Asked::Unknowable(
    "PaymentNotFound",
    "the provider does not know the payment that it had prepared under this id: look there whether it was charged",
);

/// Where a payment's charge stands, at a provider that takes a checkout's token and nothing else.
pub(super) fn direct(view: &PaymentView, way: &Way, now: Timestamp) -> Asked {
    let Answers { look_up, charge, intent_is_fresh, .. } = &view.answers;
    let sure = way.is_scope_of(&view.state, now);
    match look_up {
        None if !intent_is_fresh || !sure => return Asked::Act(Command::LookUp),
        Some(LookUpOutcome::Found(payment)) => match found(payment) {
            Some(asked) => return asked,
            // It is known here, so this is the account that it was made at, and its token is good for one charge.
            None if !sure => return Asked::Keep(Box::new(way.scoped(&view.state, now))),
            None => {}
        },
        Some(LookUpOutcome::NotFound) if !sure => return LOST_SIGHT,
        Some(LookUpOutcome::Trouble(trouble)) if !sure => return trouble.into(),
        None | Some(LookUpOutcome::NotFound | LookUpOutcome::Trouble(_)) => {}
    }
    match charge {
        None => match &way.no_token {
            None => Asked::Act(Command::Charge),
            // Nobody can repeat the charge. What is on its way can still be made, until the checkout has expired.
            Some(_) if has_expired(view, way, now) && *look_up == Some(LookUpOutcome::NotFound) => {
                let message = "its checkout has expired without having been charged".to_owned();
                Asked::Never(Refusal { code: "EXPIRED".into(), message })
            }
            Some(why) => without(why),
        },
        Some(ChargeOutcome::Captured(payment)) => Asked::Captured(payment.clone()),
        Some(ChargeOutcome::Refused(refusal)) => Asked::Never(refusal.clone()),
        // Nothing had been sent for this payment, under any key: somebody else has used the checkout.
        Some(ChargeOutcome::AlreadyProcessed) if *intent_is_fresh => Asked::Unknowable(
            "CheckoutUsedBefore",
            "the provider had dealt with this checkout before the order was charged: its token pays for something else",
        ),
        Some(ChargeOutcome::AlreadyProcessed) => dealt_with(),
        Some(ChargeOutcome::Trouble(trouble)) => trouble.into(),
    }
}

/// The same at a provider where payments are prepared first.
pub(super) fn prepared(view: &PaymentView, way: &Way, now: Timestamp) -> Asked {
    if view.state.payment_id.is_none() {
        return not_prepared(view, way, now);
    }
    let Answers { look_up, charge, void, intent_is_fresh, .. } = &view.answers;
    let sure = way.is_scope_of(&view.state, now);
    let spent = matches!(charge, Some(ChargeOutcome::Trouble(Trouble::KeySpent(_))));
    match look_up {
        None if !intent_is_fresh || !sure || spent => return Asked::Act(Command::LookUp),
        Some(LookUpOutcome::Found(payment)) => match found(payment) {
            Some(asked) => return asked,
            None if !sure => return Asked::Keep(Box::new(way.scoped(&view.state, now))),
            None => {}
        },
        Some(LookUpOutcome::NotFound) => return PAYMENT_LOST,
        Some(LookUpOutcome::Trouble(trouble)) if !sure || spent => return trouble.into(),
        None | Some(LookUpOutcome::Trouble(_)) => {}
    }
    match charge {
        None => with_token(way, Command::Charge),
        Some(ChargeOutcome::Captured(payment)) => Asked::Captured(payment.clone()),
        Some(ChargeOutcome::AlreadyProcessed) => dealt_with(),
        // The refusal is final once the prepared payment can no longer be charged by a call that is still on its way.
        Some(ChargeOutcome::Refused(refusal)) => when_voided(void.as_ref(), || Asked::Never(refusal.clone())),
        Some(ChargeOutcome::Trouble(Trouble::KeySpent(_))) => {
            when_voided(void.as_ref(), || Asked::Keep(Box::new(next_attempt(&view.state))))
        }
        Some(ChargeOutcome::Trouble(trouble)) => trouble.into(),
    }
}

/// What follows once the prepared payment is voided; before that it has to be.
pub(super) fn when_voided(void: Option<&VoidOutcome>, then: impl FnOnce() -> Asked) -> Asked {
    match void {
        None => Asked::Act(Command::Void),
        Some(VoidOutcome::Voided) => then(),
        Some(VoidOutcome::TooLate) => dealt_with(),
        Some(VoidOutcome::Trouble(trouble)) => trouble.into(),
    }
}

/// Only a stored id is ever charged: preparing as often as it takes moves no money.
fn not_prepared(view: &PaymentView, way: &Way, now: Timestamp) -> Asked {
    match &view.answers.prepare {
        None => with_token(way, Command::Prepare),
        Some(PrepareOutcome::Prepared(payment)) => {
            let Some(asked) = found(payment) else {
                let state = way.scoped(&view.state, now);
                let payment_id = Some(payment.payment_id.clone());
                return Asked::Keep(Box::new(PaymentState { payment_id, ..state }));
            };
            // A payment that was voided under this attempt's key, before its successor was recorded.
            if let Asked::Never(_) = asked { Asked::Keep(Box::new(next_attempt(&view.state))) } else { asked }
        }
        Some(PrepareOutcome::Refused(refusal)) => Asked::Never(refusal.clone()),
        Some(PrepareOutcome::Trouble(Trouble::KeySpent(_))) => {
            Asked::Keep(Box::new(next_attempt(&view.state)))
        }
        Some(PrepareOutcome::Trouble(trouble)) => trouble.into(),
    }
}

fn with_token(way: &Way, command: Command) -> Asked {
    match &way.no_token {
        None => Asked::Act(command),
        Some(why) => without(why),
    }
}

fn without(token: &NoToken) -> Asked {
    let (reason, why) = token.said();
    Asked::Unresolved(reason, why.to_owned(), Pace::Soon)
}

/// Whether no charge that is still on its way can be made any more.
fn has_expired(view: &PaymentView, way: &Way, now: Timestamp) -> bool {
    let first = view.state.first_attempt_at;
    way.token_lifetime.zip(first).is_some_and(|(lifetime, first)| now >= first + lifetime)
}

/// What the provider says of a payment, where that settles it.
pub(super) fn found(payment: &ProviderPayment) -> Option<Asked> {
    let never = |code: &str| {
        let message = "it can never be captured".to_owned();
        Some(Asked::Never(Refusal { code: code.into(), message }))
    };
    match payment.status {
        ProviderStatus::Captured => Some(Asked::Captured(payment.clone())),
        ProviderStatus::Failed => never("ABORTED"),
        ProviderStatus::Expired => never("EXPIRED"),
        ProviderStatus::Open | ProviderStatus::Unrecognised => None,
    }
}

fn dealt_with() -> Asked {
    let why = "the provider has dealt with it before; it is asked what came of that";
    Asked::Unresolved(OUTCOME_UNKNOWN, why.into(), Pace::Soon)
}

/// The last attempt can take no money any more: another key, and another payment at the provider.
fn next_attempt(state: &PaymentState) -> PaymentState {
    PaymentState { attempt: state.attempt.saturating_add(1), payment_id: None, ..state.clone() }
}
