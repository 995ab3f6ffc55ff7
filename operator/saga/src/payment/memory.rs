//! What a reconcile of a payment remembers over a write of its status.

use super::{Access, PaymentState, Responses};
use crate::phases::PaymentPhase;

impl Responses {
    /// What a reconcile knows from the first of a payment that this replica has just created with an intent, and that is still
    /// as it was created.
    pub fn of_created() -> Self {
        Self { intent_is_fresh: true, ..Self::default() }
    }

    /// What is remembered once `written` stands where `was` stood. What was read of the order and of the way to the
    /// provider is recent, and is kept; responses about money are forgotten, as the next decision is made from the status.
    #[must_use]
    pub fn after_write(&self, was: &PaymentState, written: &PaymentState) -> Self {
        Self {
            order: self.order,
            access: self.access.clone(),
            unresolved_attempts: self.unresolved_attempts,
            intent_is_fresh: written.phase == PaymentPhase::Pending && self.intent_recorded(was, written),
            ..Self::default()
        }
    }

    /// Whether what a charge is made under was recorded just now, so that no earlier charge can have been sent under it.
    fn intent_recorded(&self, was: &PaymentState, written: &PaymentState) -> bool {
        match &self.access {
            Some(Access::Ready(session)) if session.prepares => {
                was.payment_id.is_none() && written.payment_id.is_some()
            }
            Some(_) | None => was.attempt == 0 && written.attempt > 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payment::ProviderSession;
    use crate::provider::LookUpOutcome;
    use crate::time::Millis;

    fn responses(prepares: bool) -> Responses {
        let session = ProviderSession {
            provider_uid: "p".into(),
            credential: "c".into(),
            prepares,
            retention: Millis::seconds(1),
            token_lifetime: None,
            no_token: None,
            open_until: None,
        };
        let access = Some(Access::Ready(session));
        Responses {
            access,
            unresolved_attempts: 2,
            look_up: Some(LookUpOutcome::NotFound),
            ..Responses::default()
        }
    }

    fn intent() -> PaymentState {
        PaymentState { attempt: 1, ..PaymentState::default() }
    }

    #[test]
    fn responses_about_money_are_forgotten_and_what_was_read_is_kept() {
        let kept = responses(false).after_write(&intent(), &intent());
        assert_eq!(kept, Responses { look_up: None, ..responses(false) });
    }

    #[test]
    fn an_intent_is_fresh_when_this_write_recorded_it() {
        let none = PaymentState::default();
        assert!(responses(false).after_write(&none, &intent()).intent_is_fresh);
        assert!(!responses(false).after_write(&intent(), &intent()).intent_is_fresh, "it stood there before");
        let captured = PaymentState { phase: PaymentPhase::Captured, ..intent() };
        assert!(!responses(false).after_write(&none, &captured).intent_is_fresh, "nothing is to be charged");
    }

    #[test]
    fn a_prepared_payment_is_charged_under_its_id_and_not_under_the_attempt() {
        let prepared = PaymentState { payment_id: Some("pi_1".into()), ..intent() };
        assert!(!responses(true).after_write(&PaymentState::default(), &intent()).intent_is_fresh);
        assert!(responses(true).after_write(&intent(), &prepared).intent_is_fresh);
    }
}
