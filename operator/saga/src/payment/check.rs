//! What holds of every decision about a payment, whatever its view: the postconditions.

use super::{Access, Command, Decision, PaymentState, PaymentView, ProviderCall, Responses, void};
use crate::machine::Violation;
use crate::phases::{PaymentDesired, PaymentPhase};
use crate::table;

/// Holds a decision against the rules.
pub(super) fn check(view: &PaymentView, next: &Decision) -> Result<(), Violation> {
    match next {
        Decision::Act(Command::Call(call)) => of_call(view, call),
        Decision::Write(state) => of_status(view, state),
        Decision::Rest(rest) => of_status(view, &rest.state),
        Decision::Act(_) | Decision::Skip | Decision::Halt(_) | Decision::Wait(_) | Decision::Retry(_) => {
            Ok(())
        }
    }
}

fn of_status(view: &PaymentView, is: &PaymentState) -> Result<(), Violation> {
    let broken = |rule, detail: String| Err(Violation::new(rule, detail));
    let was = &view.state;
    if was.phase != is.phase && !table::allows(table::PAYMENT, was.phase, is.phase) {
        return broken("a payment moves along the table", format!("{} to {}", was.phase, is.phase));
    }
    let Responses { intent_is_fresh, access, look_up, charge, .. } = &view.responses;
    let shows_no_charge = match (access, look_up) {
        (Some(Access::Ready(session)), Some(look_up)) => void::shows_no_charge(session, look_up),
        (Some(Access::NotReady { .. }) | None, _) | (_, None) => false,
    };
    let is_known_unsent = *intent_is_fresh || shows_no_charge;
    let may_be_taken_back = view.as_created && is_known_unsent && charge.is_none();
    let is_taken_back = may_be_taken_back && (was.attempt, is.attempt) == (1, 0);
    if (is.attempt < was.attempt && !is_taken_back) || is.refund_attempt < was.refund_attempt {
        let detail = format!(
            "{} to {}, refunds {} to {}",
            was.attempt, is.attempt, was.refund_attempt, is.refund_attempt
        );
        return broken("attempts never fall, but for an intent that nothing was sent under", detail);
    }
    let sound = |state: &PaymentState| (0..=state.captured).contains(&state.refunded);
    if sound(was) && !sound(is) {
        return broken(
            "no more is refunded than was captured",
            format!("{} of {}", is.refunded, is.captured),
        );
    }
    if is.phase == PaymentPhase::Refunded && was.phase != is.phase && is.refunded != is.captured {
        let detail = format!("{} of {}", is.refunded, is.captured);
        return broken("a payment is refunded when all of it went back", detail);
    }
    Ok(())
}

fn of_call(view: &PaymentView, call: &ProviderCall) -> Result<(), Violation> {
    let broken = |rule, detail: String| Err(Violation::new(rule, detail));
    let state = &view.state;
    let Some(Access::Ready(session)) = &view.responses.access else {
        return broken("a provider is called once it can be", format!("{call:?}"));
    };
    let open = matches!(state.phase, PaymentPhase::Pending | PaymentPhase::Voiding);
    match call {
        ProviderCall::Prepare { .. } | ProviderCall::Charge { .. } if session.no_token.is_some() => {
            broken("money is taken with the customer's token", format!("{call:?}"))
        }
        ProviderCall::Prepare { amount } | ProviderCall::Charge { amount, .. } if *amount != view.total => {
            broken("the whole total is charged", format!("{amount} of {}", view.total))
        }
        ProviderCall::Prepare { .. } | ProviderCall::Charge { .. } if !open || state.attempt < 1 => broken(
            "the intent comes before the call",
            format!("{} at attempt {}", state.phase, state.attempt),
        ),
        ProviderCall::Charge { payment_id: None, .. } if session.prepares => {
            broken("only a stored id is charged", format!("{call:?}"))
        }
        ProviderCall::Refund { amount, .. }
            if state.phase != PaymentPhase::Refunding
                || *amount < 1
                || *amount > state.captured - state.refunded =>
        {
            let detail = format!("{amount} of {} less {}", state.captured, state.refunded);
            broken("only what was captured and is still there is refunded", detail)
        }
        ProviderCall::Refund { .. } | ProviderCall::Void { .. }
            if view.desired == PaymentDesired::Captured && state.phase == PaymentPhase::Captured =>
        {
            broken("money that is in and wanted stays", format!("{call:?}"))
        }
        ProviderCall::Prepare { .. }
        | ProviderCall::LookUp { .. }
        | ProviderCall::Charge { .. }
        | ProviderCall::Void { .. }
        | ProviderCall::Refund { .. } => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payment::{ProviderPaymentId, ProviderSession};
    use crate::time::Millis;

    fn view(phase: PaymentPhase) -> PaymentView {
        let session = ProviderSession {
            provider_uid: "p".into(),
            credential: "c".into(),
            prepares: true,
            retention: Millis::seconds(1),
            token_lifetime: None,
            no_token: None,
            open_until: None,
        };
        PaymentView {
            has_finalizer: true,
            deleting: false,
            paused: false,
            desired: PaymentDesired::Captured,
            resolution: None,
            total: 9_000,
            currency: "KRW".into(),
            order_id: "o1".into(),
            state: PaymentState { phase, attempt: 1, captured: 9_000, ..PaymentState::default() },
            as_created: false,
            order_in_cache: true,
            spread: 0,
            responses: Responses { access: Some(Access::Ready(session)), ..Responses::default() },
        }
    }

    fn broken(view: &PaymentView, next: &Decision) -> &'static str {
        check(view, next).expect_err("a rule is broken").rule
    }

    fn written(change: impl FnOnce(&mut PaymentState)) -> &'static str {
        let view = view(PaymentPhase::Refunding);
        let mut state = view.state.clone();
        change(&mut state);
        broken(&view, &Decision::Write(Box::new(state)))
    }

    fn called(phase: PaymentPhase, call: ProviderCall) -> &'static str {
        broken(&view(phase), &Decision::Act(Command::Call(call)))
    }

    #[test]
    fn a_status_that_no_payment_may_have_is_found_at_its_source() {
        assert_eq!(written(|s| s.phase = PaymentPhase::Captured), "a payment moves along the table");
        assert_eq!(
            written(|s| s.attempt = 0),
            "attempts never fall, but for an intent that nothing was sent under"
        );
        assert_eq!(written(|s| s.refunded = 9_001), "no more is refunded than was captured");
        assert_eq!(
            written(|s| (s.phase, s.refunded) = (PaymentPhase::Refunded, 1)),
            "a payment is refunded when all of it went back"
        );
    }

    #[test]
    fn a_call_that_nobody_may_make_is_found_at_its_source() {
        let payment_id = || ProviderPaymentId::new("pk");
        let charge = |payment_id, amount| ProviderCall::Charge { payment_id, amount };
        let pending = |call| called(PaymentPhase::Pending, call);
        assert_eq!(pending(charge(None, 9_000)), "only a stored id is charged");
        assert_eq!(pending(charge(payment_id(), 1)), "the whole total is charged");
        assert_eq!(
            called(PaymentPhase::Captured, charge(payment_id(), 9_000)),
            "the intent comes before the call"
        );
        let payment_id = payment_id().expect("not empty");
        let refund = ProviderCall::Refund { payment_id, amount: 9_001 };
        assert_eq!(
            called(PaymentPhase::Refunding, refund),
            "only what was captured and is still there is refunded"
        );
    }

    #[test]
    fn a_providers_name_for_a_payment_is_never_empty() {
        assert_eq!(ProviderPaymentId::new(""), None);
    }
}
