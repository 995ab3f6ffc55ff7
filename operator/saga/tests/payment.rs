//! Decisions about a payment, one situation at a time: every step of its table is taken in one of them, and where the
//! provider's word does not settle it, nothing moves that could move twice.
#![allow(clippy::unwrap_used)]

use fooddelivery_saga::payment::{
    Access, Answers, Command, Decision, OrderStanding, PROVIDER_UNAVAILABLE, PaymentState, PaymentView, Way,
    decide,
};
use fooddelivery_saga::provider::{
    ChargeOutcome, LookUpOutcome, PrepareOutcome, ProviderPayment, ProviderStatus, RefundOutcome, Refusal,
    Trouble, VoidOutcome,
};
use fooddelivery_saga::table::{self, PAYMENT};
use fooddelivery_saga::time::{Millis, Timestamp};
use fooddelivery_saga::words::{PaymentDesired as Want, PaymentPhase as P, Resolution};

const NOW: Timestamp = Timestamp(1_000_000_000);
const TOTAL: i64 = 9_000;

fn way() -> Way {
    Way {
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
fn paying(phase: P, desired: Want) -> PaymentView {
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
        order_in_cache: true,
        spread: 0,
        answers: Answers {
            order: Some(OrderStanding::Wants),
            access: Some(Access::Ready(way())),
            look_up: Some(LookUpOutcome::NotFound),
            ..Answers::default()
        },
    }
}

fn begun(mut view: PaymentView) -> PaymentView {
    view.state.attempt = 1;
    view.state.provider_uid = Some("p".into());
    view.state.credential = Some("c".into());
    view.state.first_attempt_at = Some(NOW);
    view
}

/// The same at a provider that prepares payments, with this one's id stored.
fn prepared(view: PaymentView) -> PaymentView {
    let mut view = begun(view);
    view.state.payment_id = Some("pk".into());
    view.answers.access = Some(Access::Ready(Way { prepares: true, ..way() }));
    view.answers.look_up = Some(LookUpOutcome::Found(at_provider(ProviderStatus::Open, 0)));
    view
}

fn at_provider(status: ProviderStatus, refunded: i64) -> ProviderPayment {
    ProviderPayment {
        payment_id: "pk".into(),
        order_id: "o1".into(),
        amount: TOTAL,
        refunded,
        currency: "KRW".into(),
        status,
    }
}

fn taken() -> ProviderPayment {
    at_provider(ProviderStatus::Captured, 0)
}

fn of_another_amount() -> ProviderPayment {
    ProviderPayment { amount: 1, ..taken() }
}

fn refusal() -> Refusal {
    Refusal { code: "REJECT".into(), message: "no".into() }
}

fn charged(phase: P, desired: Want, outcome: ChargeOutcome) -> PaymentView {
    let mut view = begun(paying(phase, desired));
    view.answers.charge = Some(outcome);
    view
}

fn refunded(outcome: RefundOutcome) -> PaymentView {
    let mut view = paying(P::Refunding, Want::Refunded);
    view.answers.refund = Some(outcome);
    view
}

fn resolved(desired: Want, attempt: i64, captured: i64, resolution: Resolution) -> PaymentView {
    let mut view = paying(P::NeedsReview, desired);
    view.state.attempt = attempt;
    view.state.captured = captured;
    view.resolution = Some(resolution);
    view
}

fn written(view: &PaymentView) -> PaymentState {
    match decide(view, NOW) {
        Decision::Write(state) => *state,
        other => panic!("a status, not {other:?}, for {view:?}"),
    }
}

fn acts(view: &PaymentView) -> Command {
    match decide(view, NOW) {
        Decision::Act(command) => command,
        other => panic!("a command, not {other:?}, for {view:?}"),
    }
}

/// Situations, each with the phase that the payment is to move to.
fn situations() -> Vec<(PaymentView, P)> {
    use ChargeOutcome as C;
    let (want, back) = (Want::Captured, Want::Refunded);
    let not_sent = || C::Trouble(Trouble::NotSent("refused".into()));
    let mut never_begun = paying(P::Deferred, back);
    never_begun.state.attempt = 0;
    let mut lost = paying(P::Pending, want);
    lost = begun(lost);
    lost.state.credential = Some("another".into());
    vec![
        (charged(P::Pending, want, C::Captured(taken())), P::Captured),
        (charged(P::Pending, want, not_sent()), P::Deferred),
        (charged(P::Pending, want, C::Refused(refusal())), P::Declined),
        (begun(paying(P::Pending, back)), P::Voiding),
        (paying(P::Pending, back), P::Voided),
        (lost, P::NeedsReview),
        (paying(P::Deferred, want), P::Pending),
        (paying(P::Deferred, back), P::Voiding),
        (never_begun, P::Voided),
        (paying(P::Captured, back), P::Refunding),
        (refunded(RefundOutcome::Refunded(at_provider(ProviderStatus::Captured, TOTAL))), P::Refunded),
        (refunded(RefundOutcome::Refused(refusal())), P::NeedsReview),
        (charged(P::Voiding, back, C::Refused(refusal())), P::Voided),
        (charged(P::Voiding, back, C::Captured(taken())), P::Refunding),
        (charged(P::Voiding, back, C::Captured(of_another_amount())), P::NeedsReview),
        (resolved(want, 1, 0, Resolution::Retry), P::Pending),
        (resolved(want, 1, 0, Resolution::Captured), P::Captured),
        (resolved(want, 1, 0, Resolution::NotCharged), P::Declined),
        (resolved(back, 1, 0, Resolution::Retry), P::Voiding),
        (resolved(back, 0, 0, Resolution::Retry), P::Voided),
        (resolved(back, 1, 0, Resolution::NotCharged), P::Voided),
        (resolved(back, 1, TOTAL, Resolution::Retry), P::Refunding),
        (resolved(back, 1, TOTAL, Resolution::Refunded), P::Refunded),
    ]
}

#[test]
fn every_step_of_the_payment_is_taken_by_a_decision() {
    let mut taken = Vec::new();
    for (view, to) in situations() {
        let state = written(&view);
        assert_eq!(state.phase, to, "from {}", view.state.phase);
        assert!(table::allows(PAYMENT, view.state.phase, to), "{} to {to} is in the table", view.state.phase);
        taken.push((view.state.phase, to));
    }
    // Deferred to NeedsReview was taken by an earlier version: both run side by side during an upgrade.
    taken.push((P::Deferred, P::NeedsReview));
    for step in PAYMENT {
        assert!(taken.contains(&(step.from, step.to)), "nothing leads from {} to {}", step.from, step.to);
    }
}

#[test]
fn an_unknown_outcome_moves_nothing() {
    let unknown = [
        Trouble::Unknown("time-out".into()),
        Trouble::Errored("500".into()),
        Trouble::InProgress,
        Trouble::Throttled { retry_after_ms: Some(5) },
        Trouble::Unauthorized("401".into()),
    ];
    for (trouble, desired) in unknown.iter().flat_map(|o| [(o, Want::Captured), (o, Want::Refunded)]) {
        let phase = if desired == Want::Captured { P::Pending } else { P::Voiding };
        let mut views = vec![charged(phase, desired, ChargeOutcome::Trouble(trouble.clone()))];
        let mut view = prepared(paying(phase, desired));
        view.answers.charge = Some(ChargeOutcome::Trouble(trouble.clone()));
        view.answers.void = Some(VoidOutcome::Trouble(trouble.clone()));
        views.push(view);
        for view in views {
            match decide(&view, NOW) {
                Decision::AskAgain(_) => {}
                Decision::Write(state) => {
                    assert_eq!((state.phase, state.attempt), (phase, 1), "{trouble:?}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn a_payment_is_never_charged_for_an_order_that_does_not_want_it() {
    for standing in
        [OrderStanding::Undoing, OrderStanding::Ended, OrderStanding::Gone { store_has_begun: false }]
    {
        for prepares in [false, true] {
            let view = begun(paying(P::Pending, Want::Captured));
            let mut view = if prepares { prepared(view) } else { view };
            view.answers.order = Some(standing);
            let decision = decide(&view, NOW);
            let moves =
                matches!(decision, Decision::Act(Command::Charge | Command::Prepare) | Decision::Write(_));
            assert!(!moves, "{standing:?}: {decision:?}");
        }
    }
}

#[test]
fn a_payment_made_late_under_an_order_that_has_ended_is_taken_back() {
    let mut view = paying(P::Pending, Want::Captured);
    view.answers.order = Some(OrderStanding::Ended);
    assert_eq!(acts(&view), Command::WantMoneyBack);
}

#[test]
fn the_provider_is_asked_before_a_call_is_repeated_and_not_before_the_first_one() {
    let mut view = begun(paying(P::Pending, Want::Captured));
    view.answers.look_up = None;
    assert_eq!(acts(&view), Command::LookUp);
    view.answers.intent_is_fresh = true;
    assert_eq!(acts(&view), Command::Charge);
}

#[test]
fn another_amount_currency_order_or_payment_waits_for_a_person() {
    for wrong in [
        of_another_amount(),
        ProviderPayment { currency: "USD".into(), ..taken() },
        ProviderPayment { order_id: "o2".into(), ..taken() },
        ProviderPayment { refunded: 1, ..taken() },
    ] {
        let state = written(&charged(P::Pending, Want::Captured, ChargeOutcome::Captured(wrong.clone())));
        assert_eq!(state.phase, P::NeedsReview, "{wrong:?}");
        assert_eq!(state.captured, 0, "what is not understood is not stated");
    }
}

// --- Keys mean something in a scope and for a time.

#[test]
fn with_another_credential_or_provider_or_beyond_the_retention_the_provider_is_asked_and_no_call_is_repeated()
{
    let rotated = |v: &mut PaymentView| v.state.credential = Some("older".into());
    let replaced = |v: &mut PaymentView| v.state.provider_uid = Some("older".into());
    let expired = |v: &mut PaymentView| v.state.first_attempt_at = Some(Timestamp(NOW.0 - way().retention.0));
    let changes: [&dyn Fn(&mut PaymentView); 3] = [&rotated, &replaced, &expired];
    for change in changes {
        for (phase, desired) in [(P::Pending, Want::Captured), (P::Voiding, Want::Refunded)] {
            let mut view = begun(paying(phase, desired));
            change(&mut view);
            view.answers.look_up = None;
            view.answers.intent_is_fresh = true;
            assert_eq!(acts(&view), Command::LookUp, "asked first");
            view.answers.look_up = Some(LookUpOutcome::Found(taken()));
            assert_eq!(written(&view).captured, TOTAL, "what it says counts");
            view.answers.look_up = Some(LookUpOutcome::NotFound);
            assert_eq!(written(&view).phase, P::NeedsReview, "asking could not tell");
            view.answers.look_up = Some(LookUpOutcome::Trouble(Trouble::Unknown("time-out".into())));
            assert!(matches!(decide(&view, NOW), Decision::AskAgain(_)), "it was not asked yet");
            view.answers.look_up = Some(LookUpOutcome::Found(at_provider(ProviderStatus::Open, 0)));
            let state = written(&view);
            let scope = (state.provider_uid.as_deref(), state.credential.as_deref(), state.first_attempt_at);
            assert_eq!(scope, (Some("p"), Some("c"), Some(NOW)), "it is known here: the keys begin anew");
            assert_eq!((state.phase, state.attempt), (phase, 1));
        }
    }
}

#[test]
fn a_refund_under_another_credential_asks_first_and_then_begins_anew() {
    let mut view = paying(P::Refunding, Want::Refunded);
    view.state.credential = Some("older".into());
    view.answers.look_up = None;
    assert_eq!(acts(&view), Command::LookUp);
    view.answers.look_up = Some(LookUpOutcome::Found(at_provider(ProviderStatus::Captured, TOTAL)));
    assert_eq!(written(&view).phase, P::Refunded, "it had been given back");
    view.answers.look_up = Some(LookUpOutcome::Found(taken()));
    let state = written(&view);
    assert_eq!((state.phase, state.credential.as_deref()), (P::Refunding, Some("c")));
    view.answers.look_up = Some(LookUpOutcome::NotFound);
    assert_eq!(written(&view).phase, P::NeedsReview);
}

#[test]
fn an_intent_that_was_deferred_keeps_the_scope_that_it_was_recorded_under() {
    let mut view = paying(P::Deferred, Want::Captured);
    view.state.credential = Some("older".into());
    assert_eq!(written(&view).credential.as_deref(), Some("older"));
    view.state.attempt = 0;
    assert_eq!(written(&view).credential.as_deref(), Some("c"), "nothing was ever sent");
}

#[test]
fn a_checkout_that_was_used_before_the_first_call_pays_for_something_else() {
    let mut view = charged(P::Pending, Want::Captured, ChargeOutcome::AlreadyProcessed);
    assert!(matches!(decide(&view, NOW), Decision::AskAgain(_)), "an earlier call of ours may have done it");
    view.answers.intent_is_fresh = true;
    let state = written(&view);
    assert_eq!((state.phase, state.reason.as_str()), (P::NeedsReview, "CheckoutUsedBefore"));
}

// --- Prepared payments.

#[test]
fn a_payment_is_prepared_and_its_id_stored_before_it_is_charged() {
    let mut view = prepared(paying(P::Pending, Want::Captured));
    view.state.payment_id = None;
    view.answers.look_up = None;
    assert_eq!(acts(&view), Command::Prepare);
    view.answers.prepare = Some(PrepareOutcome::Prepared(at_provider(ProviderStatus::Open, 0)));
    let state = written(&view);
    assert_eq!((state.phase, state.payment_id.as_deref()), (P::Pending, Some("pk")));
    view.answers.prepare = Some(PrepareOutcome::Trouble(Trouble::KeySpent("500".into())));
    assert_eq!(written(&view).attempt, 2, "nothing can have been charged under a payment that nobody knows");
    view.answers.prepare = Some(PrepareOutcome::Refused(refusal()));
    assert_eq!(written(&view).phase, P::Declined);
}

#[test]
fn a_refusal_of_a_prepared_payment_is_final_only_when_it_is_voided() {
    let mut view = prepared(paying(P::Pending, Want::Captured));
    view.answers.charge = Some(ChargeOutcome::Refused(refusal()));
    assert_eq!(acts(&view), Command::Void);
    view.answers.void = Some(VoidOutcome::TooLate);
    assert!(matches!(decide(&view, NOW), Decision::AskAgain(_)));
    view.answers.void = Some(VoidOutcome::Voided);
    let state = written(&view);
    assert_eq!((state.phase, state.message.as_str()), (P::Declined, "REJECT: no"));
}

#[test]
fn a_spent_key_leads_to_another_attempt_only_when_the_first_can_take_no_money_any_more() {
    let mut view = prepared(paying(P::Pending, Want::Captured));
    view.answers.charge = Some(ChargeOutcome::Trouble(Trouble::KeySpent("500".into())));
    view.answers.look_up = None;
    assert_eq!(acts(&view), Command::LookUp);
    view.answers.look_up = Some(LookUpOutcome::Found(taken()));
    assert_eq!(written(&view).phase, P::Captured, "the first call had done it");
    view.answers.look_up = Some(LookUpOutcome::Found(at_provider(ProviderStatus::Open, 0)));
    assert_eq!(acts(&view), Command::Void);
    view.answers.void = Some(VoidOutcome::Voided);
    let state = written(&view);
    assert_eq!((state.attempt, state.payment_id, state.phase), (2, None, P::Pending));
}

#[test]
fn a_prepared_payment_is_voided_at_the_provider_and_never_charged_to_find_out() {
    let mut view = prepared(paying(P::Voiding, Want::Refunded));
    view.answers.look_up = None;
    assert_eq!(acts(&view), Command::LookUp);
    view.answers.look_up = Some(LookUpOutcome::Found(taken()));
    assert_eq!(written(&view).phase, P::Refunding);
    view.answers.look_up = Some(LookUpOutcome::Found(at_provider(ProviderStatus::Failed, 0)));
    assert_eq!(written(&view).phase, P::Voided);
    view.answers.look_up = Some(LookUpOutcome::Found(at_provider(ProviderStatus::Open, 0)));
    assert_eq!(acts(&view), Command::Void);
    view.answers.void = Some(VoidOutcome::Voided);
    assert_eq!(written(&view).phase, P::Voided);
    view.state.payment_id = None;
    view.answers = Answers { access: view.answers.access.clone(), ..Answers::default() };
    assert_eq!(written(&view).phase, P::Voided, "without an id nothing was ever charged");
}

#[test]
fn a_prepared_payment_that_its_provider_does_not_know_waits_for_a_person() {
    for (phase, desired) in [(P::Pending, Want::Captured), (P::Voiding, Want::Refunded)] {
        let mut view = prepared(paying(phase, desired));
        view.answers.look_up = Some(LookUpOutcome::NotFound);
        assert_eq!(written(&view).reason, "PaymentNotFound");
    }
}

// --- Refunds.

#[test]
fn a_refund_whose_key_is_spent_gets_another_when_the_provider_says_that_nothing_went_back() {
    let mut view = refunded(RefundOutcome::Trouble(Trouble::KeySpent("500".into())));
    view.answers.look_up = None;
    assert_eq!(acts(&view), Command::LookUp);
    view.answers.look_up = Some(LookUpOutcome::Found(at_provider(ProviderStatus::Captured, TOTAL)));
    assert_eq!(written(&view).phase, P::Refunded);
    view.answers.look_up = Some(LookUpOutcome::Found(taken()));
    let state = written(&view);
    assert_eq!((state.phase, state.refund_attempt), (P::Refunding, 1));
}

#[test]
fn a_refund_that_met_an_error_keeps_its_key_for_the_first_few_times() {
    let mut view = refunded(RefundOutcome::Trouble(Trouble::Errored("500".into())));
    view.answers.look_up = None;
    assert!(matches!(decide(&view, NOW), Decision::AskAgain(_)));
    view.answers.asked_in_vain = 3;
    assert_eq!(acts(&view), Command::LookUp);
}

#[test]
fn a_refund_that_stays_pending_is_found_done_by_asking_about_the_payment() {
    let mut view = refunded(RefundOutcome::Trouble(Trouble::Unknown("pending".into())));
    view.answers.look_up = None;
    assert!(matches!(decide(&view, NOW), Decision::AskAgain(_)), "the same call again, at first");
    view.answers.asked_in_vain = 3;
    assert_eq!(acts(&view), Command::LookUp);
    view.answers.look_up = Some(LookUpOutcome::Found(taken()));
    assert!(!matches!(decide(&view, NOW), Decision::Write(s) if s.refund_attempt > 0), "it may still come");
    view.answers.look_up = Some(LookUpOutcome::Found(at_provider(ProviderStatus::Captured, TOTAL)));
    assert_eq!(written(&view).phase, P::Refunded);
}

#[test]
fn a_part_that_went_back_some_other_way_leaves_the_rest_to_be_refunded_under_another_key() {
    let mut view = refunded(RefundOutcome::Refused(refusal()));
    view.answers.look_up = Some(LookUpOutcome::Found(at_provider(ProviderStatus::Captured, 4_000)));
    let state = written(&view);
    assert_eq!((state.phase, state.refunded, state.refund_attempt), (P::Refunding, 4_000, 1));
    view.state = state;
    view.answers.refund = None;
    assert_eq!(acts(&view), Command::Refund(TOTAL - 4_000));
}

#[test]
fn more_given_back_than_was_captured_waits_for_a_person() {
    let view = refunded(RefundOutcome::Refunded(at_provider(ProviderStatus::Captured, TOTAL + 1)));
    assert_eq!(written(&view).phase, P::NeedsReview);
}

// --- The circuit.

fn with_open_circuit(mut view: PaymentView) -> PaymentView {
    view.answers.access = Some(Access::Ready(Way { open_until: Some(NOW + Millis(10_000)), ..way() }));
    view
}

#[test]
fn with_an_open_circuit_a_payment_is_deferred_before_anything_is_recorded_or_sent() {
    let state = written(&with_open_circuit(paying(P::Pending, Want::Captured)));
    assert_eq!((state.phase, state.attempt), (P::Deferred, 0));
    assert_eq!(state.next_attempt_at, Some(NOW + Millis(10_000)), "not before the circuit may be tried");
    assert_eq!(state.reason, PROVIDER_UNAVAILABLE);
}

#[test]
fn a_deferred_payment_that_is_due_waits_for_the_circuit_without_a_write() {
    let mut view = with_open_circuit(paying(P::Deferred, Want::Captured));
    view.state.next_attempt_at = Some(NOW);
    view.spread = 500;
    assert_eq!(decide(&view, NOW), Decision::Wait(Some(NOW + Millis(10_000 + 30_000))));
}

#[test]
fn voids_and_refunds_say_once_that_they_wait_for_the_circuit() {
    for view in [paying(P::Refunding, Want::Refunded), begun(paying(P::Voiding, Want::Refunded))] {
        let mut view = with_open_circuit(view);
        let state = written(&view);
        assert_eq!((state.phase, state.reason.as_str()), (view.state.phase, PROVIDER_UNAVAILABLE));
        view.state = state;
        assert!(matches!(decide(&view, NOW), Decision::Wait(Some(_))));
    }
}

#[test]
fn deferrals_are_spread_out_and_grow_and_are_bounded() {
    let trouble = || ChargeOutcome::Trouble(Trouble::NotSent("refused".into()));
    let mut last = 0;
    for deferrals in 0..12 {
        let mut at = Vec::new();
        for spread in [0, 500, 1_000] {
            let mut view = charged(P::Pending, Want::Captured, trouble());
            view.state.deferrals = deferrals;
            view.spread = spread;
            at.push(written(&view).next_attempt_at.unwrap().0 - NOW.0);
        }
        assert!(at[0] < at[1] && at[1] < at[2] && at[0] >= last && at[2] <= 450_000, "{at:?}");
        last = at[0];
    }
}

// --- Without the token.

fn without_token(mut view: PaymentView, prepares: bool) -> PaymentView {
    let no_token = Some("Secret t is missing".into());
    view.answers.access = Some(Access::Ready(Way { no_token, prepares, ..way() }));
    view
}

#[test]
fn without_the_token_nothing_is_charged_and_the_reason_is_shown() {
    let fresh = without_token(paying(P::Pending, Want::Captured), false);
    let state = written(&fresh);
    assert_eq!((state.attempt, state.reason.as_str()), (0, "TokenSecretMissing"));
    for prepares in [false, true] {
        let view = without_token(prepared(paying(P::Pending, Want::Captured)), prepares);
        assert_eq!(written(&view).reason, "TokenSecretMissing", "prepares: {prepares}");
    }
}

#[test]
fn without_the_token_money_goes_back_all_the_same() {
    for prepares in [false, true] {
        let mut view = without_token(paying(P::Refunding, Want::Refunded), prepares);
        view.answers.look_up = None;
        assert_eq!(acts(&view), Command::Refund(TOTAL));
    }
    let mut view = without_token(prepared(paying(P::Voiding, Want::Refunded)), true);
    view.answers.charge = None;
    assert_eq!(acts(&view), Command::Void);
}

#[test]
fn without_the_token_a_charge_on_its_way_is_waited_for_until_its_checkout_has_expired() {
    let mut view = without_token(begun(paying(P::Voiding, Want::Refunded)), false);
    assert_eq!(written(&view).reason, "TokenSecretMissing");
    view.state.first_attempt_at = Some(Timestamp(NOW.0 - 900_000));
    assert_eq!(written(&view).phase, P::Voided);
    view.answers.look_up = Some(LookUpOutcome::Found(taken()));
    assert_eq!(written(&view).phase, P::Refunding);
}

// --- By a person's word.

#[test]
fn a_resolution_is_acted_on_once_and_then_taken_out_of_the_spec() {
    let mut view = resolved(Want::Captured, 1, 0, Resolution::Retry);
    let state = written(&view);
    assert_eq!((state.provider_uid.as_ref(), state.first_attempt_at), (None, None), "the keys begin anew");
    view.state = state;
    assert_eq!(acts(&view), Command::ClearResolution);
    view.resolution = None;
    assert_eq!(written(&view).provider_uid.as_deref(), Some("p"));
}

#[test]
fn without_a_resolution_a_payment_that_needs_review_stays_as_it_is() {
    for desired in [Want::Captured, Want::Refunded] {
        assert_eq!(decide(&paying(P::NeedsReview, desired), NOW), Decision::Wait(None));
        let mut deleting = paying(P::NeedsReview, desired);
        deleting.deleting = true;
        deleting.order_in_cache = false;
        assert_eq!(decide(&deleting, NOW), Decision::Wait(None), "its finalizer holds");
    }
}
