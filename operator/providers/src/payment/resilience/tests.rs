//! Which calls the policy lets through, and which it rejects. The library measures real time, so the times are short ones.

use std::num::NonZeroU32;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fooddelivery_saga::provider::{CallFailure, ChargeOutcome, LookUpOutcome, ProviderStatus, RefundOutcome};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::fake::{
    Fake, MS, captured, charge, charge_request, errored, observed_policy, payment, refused, timed_out,
};
use super::policy::{RETRY_DELAY_MIN, RETRY_JITTER_MAX};
use super::*;
use crate::payment::port::{ChargeRequest, PaymentPort, RefundRequest};

const LONG: Duration = Duration::from_mins(1);

/// Opens at half of four calls, for long, and calls nothing slow.
fn settings() -> ResilienceSettings {
    ResilienceSettings { minimum_calls: 4, slow_after: LONG, open_for: LONG, ..ResilienceSettings::default() }
}

/// Open for a moment, and with this many trials after it.
fn short(trials: usize) -> ResilienceSettings {
    ResilienceSettings { minimum_calls: 1, open_for: 200 * MS, trials, ..settings() }
}

async fn send(policy: &ResiliencePolicy, fake: &Arc<Fake>, request: Request) -> Result<Response, Rejected> {
    let port: Arc<dyn PaymentPort> = fake.clone();
    let permit = policy.acquire().await.unwrap();
    policy.call(&permit, &port, request).await
}

fn spawned(policy: &Arc<ResiliencePolicy>, fake: &Arc<Fake>) -> JoinHandle<Result<Response, Rejected>> {
    let (policy, fake) = (Arc::clone(policy), Arc::clone(fake));
    tokio::spawn(async move { send(&policy, &fake, charge()).await })
}

/// Waits until as many charges have reached the port.
async fn reached(fake: &Fake, charges: usize) {
    timeout(LONG, async {
        while fake.charges() < charges {
            sleep(MS).await;
        }
    })
    .await
    .unwrap();
}

/// A circuit that has opened, and whose time is over.
async fn half_open(settings: &ResilienceSettings) -> (Arc<ResiliencePolicy>, Arc<Mutex<Vec<Transition>>>) {
    let (policy, seen) = observed_policy(settings);
    send(&policy, &Fake::at_once(|_| errored()), charge()).await.unwrap();
    assert!(matches!(policy.circuit(), Circuit::Open { .. }));
    sleep(settings.open_for + 5 * MS).await;
    assert_eq!(policy.circuit(), Circuit::HalfOpen, "its time is over");
    (policy, seen)
}

fn names(seen: &Mutex<Vec<Transition>>) -> Vec<&'static str> {
    let name = |transition: &Transition| match transition.to {
        Circuit::Closed => "closed",
        Circuit::Open { .. } => "open",
        Circuit::HalfOpen => "half-open",
    };
    seen.lock().unwrap().iter().map(name).collect()
}

#[tokio::test]
async fn the_circuit_opens_at_the_failure_rate_and_not_below_the_minimum_of_calls() {
    let (policy, seen) = observed_policy(&settings());
    let fake = Fake::at_once(|number| if number < 2 { captured() } else { errored() });
    for _ in 0..3 {
        send(&policy, &fake, charge()).await.unwrap();
    }
    assert_eq!(policy.circuit(), Circuit::Closed, "one failure of three calls");
    send(&policy, &fake, charge()).await.unwrap();
    assert!(matches!(policy.circuit(), Circuit::Open { .. }), "two of four");
    let Rejected { retry_in } = send(&policy, &fake, charge()).await.unwrap_err();
    assert!(retry_in > LONG / 2 && retry_in <= LONG.mul_f64(1.0 + RETRY_JITTER_MAX), "{retry_in:?}");
    assert_eq!(fake.charges(), 4, "nothing is sent");
    let seen = seen.lock().unwrap().clone();
    let [Transition { from: Circuit::Closed, to: Circuit::Open { .. }, rates }] = seen[..] else {
        panic!("{seen:?}")
    };
    assert_eq!(rates, Rates { failed: 0.5, slow: 0.0 });
    assert_eq!(policy.rates(), Rates::default(), "counted anew");
}

#[tokio::test]
async fn failures_below_the_minimum_of_calls_open_nothing() {
    let (policy, _) = observed_policy(&settings());
    for _ in 0..3 {
        send(&policy, &Fake::at_once(|_| errored()), charge()).await.unwrap();
    }
    assert_eq!(policy.circuit(), Circuit::Closed);
    assert_eq!(policy.rates(), Rates { failed: 1.0, slow: 0.0 });
}

#[tokio::test]
async fn failures_that_dropped_out_of_the_window_do_not_count() {
    let (policy, _) = observed_policy(&ResilienceSettings { window: 40 * MS, ..settings() });
    for _ in 0..2 {
        for _ in 0..3 {
            send(&policy, &Fake::at_once(|_| errored()), charge()).await.unwrap();
        }
        sleep(50 * MS).await;
    }
    assert_eq!(policy.circuit(), Circuit::Closed);
    assert_eq!(policy.rates(), Rates::default());
}

#[tokio::test]
async fn a_provider_that_answers_slowly_opens_it_by_its_slow_calls() {
    let (policy, seen) = observed_policy(&ResilienceSettings { slow_after: 10 * MS, ..settings() });
    let fake = Fake::timed(|_| (15 * MS, captured()), LookUpOutcome::NotFound);
    for _ in 0..4 {
        send(&policy, &fake, charge()).await.unwrap();
    }
    assert!(matches!(policy.circuit(), Circuit::Open { .. }));
    assert_eq!(seen.lock().unwrap()[0].rates, Rates { failed: 0.0, slow: 1.0 });
}

#[tokio::test]
async fn what_says_nothing_about_the_provider_opens_nothing() {
    let (policy, _) = observed_policy(&settings());
    let fake = Fake::at_once(|number| match number % 5 {
        0 => refused(),
        1 => ChargeOutcome::AlreadyProcessed,
        2 => ChargeOutcome::CallFailure(CallFailure::InProgress),
        3 => ChargeOutcome::CallFailure(CallFailure::IdempotencyKeyConsumed("stored".into())),
        _ => ChargeOutcome::CallFailure(CallFailure::Unauthorized("401".into())),
    });
    for _ in 0..20 {
        send(&policy, &fake, charge()).await.unwrap();
    }
    assert_eq!(policy.circuit(), Circuit::Closed);
    assert_eq!(policy.rates().failed.to_bits(), 0);
}

#[tokio::test]
async fn every_outage_that_stays_one_is_a_failure() {
    for outcome in [
        || ChargeOutcome::CallFailure(CallFailure::NotSent("refused".into())),
        || ChargeOutcome::CallFailure(CallFailure::Throttled { retry_after_ms: None }),
        errored,
        timed_out,
    ] {
        let (policy, _) = observed_policy(&ResilienceSettings { minimum_calls: 1, ..settings() });
        send(&policy, &Fake::timed(move |_| (Duration::ZERO, outcome()), LookUpOutcome::NotFound), charge())
            .await
            .unwrap();
        assert!(matches!(policy.circuit(), Circuit::Open { .. }), "{:?}", outcome());
    }
}

#[tokio::test]
async fn a_charge_that_timed_out_is_looked_up_and_scored_by_what_is_found() {
    let found = |status| LookUpOutcome::Found(payment(status));
    let mut anothers = payment(ProviderStatus::Captured);
    anothers.payment_id = "another".into();
    for (found, failed, times) in [
        (found(ProviderStatus::Captured), false, 1),
        (found(ProviderStatus::Failed), false, 1),
        (found(ProviderStatus::Expired), false, 1),
        (found(ProviderStatus::Open), true, 4),
        (LookUpOutcome::Found(anothers), true, 4),
        (LookUpOutcome::NotFound, true, 4),
        (LookUpOutcome::CallFailure(CallFailure::NotSent("refused".into())), true, 1),
    ] {
        let (policy, _) = observed_policy(&settings());
        let fake = Fake::timed(|_| (Duration::ZERO, timed_out()), found.clone());
        let response = send(&policy, &fake, charge()).await.unwrap();
        let resolved = Some(found.clone());
        assert_eq!(response, Response::Charge { outcome: timed_out(), resolved }, "both go back");
        assert_eq!(policy.rates().failed > 0.5, failed, "{found:?}");
        let asked = fake.asked.lock().unwrap();
        let ChargeRequest { token, order_id, .. } = charge_request();
        assert_eq!((asked.len(), &asked[0].token, &asked[0].order_id), (times, &Some(token), &order_id));
    }
}

#[tokio::test]
async fn what_settled_the_charge_is_not_looked_up() {
    let (policy, _) = observed_policy(&settings());
    for fake in [Fake::at_once(|_| captured()), Fake::at_once(|_| errored())] {
        let response = send(&policy, &fake, charge()).await.unwrap();
        assert!(matches!(response, Response::Charge { resolved: None, .. }), "{response:?}");
        assert!(fake.asked.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn the_other_operations_pass_through() {
    let (policy, _) = observed_policy(&settings());
    let refund = RefundRequest {
        idempotency_key: "key".into(),
        payment_id: "token".into(),
        amount: 1,
        reason: "why".into(),
        correlation_id: "c".into(),
    };
    let fake = Fake::at_once(|_| captured());
    let response = send(&policy, &fake, Request::Refund(refund)).await.unwrap();
    assert_eq!(response, Response::Refund(RefundOutcome::AlreadyRefunded));
}

#[tokio::test]
async fn as_many_trials_as_allowed_are_let_through_and_their_success_closes_the_circuit() {
    let (policy, seen) = half_open(&short(3)).await;
    let fake = Fake::held(|_| captured());
    let trials: Vec<_> = (0..3).map(|_| spawned(&policy, &fake)).collect();
    reached(&fake, 3).await;
    assert_eq!(policy.circuit(), Circuit::HalfOpen);
    let Rejected { retry_in } = send(&policy, &fake, charge()).await.unwrap_err();
    assert!(retry_in >= LONG, "as long as a trial may take: {retry_in:?}");
    fake.release(3);
    for trial in trials {
        trial.await.unwrap().unwrap();
    }
    assert_eq!(policy.circuit(), Circuit::Closed);
    assert_eq!(fake.charges(), 3);
    assert_eq!(names(&seen), ["open", "half-open", "closed"]);
}

#[tokio::test]
async fn a_failed_trial_opens_the_circuit_again() {
    let (policy, seen) = half_open(&short(3)).await;
    send(&policy, &Fake::at_once(|_| errored()), charge()).await.unwrap();
    assert!(matches!(policy.circuit(), Circuit::Open { .. }));
    assert_eq!(names(&seen), ["open", "half-open", "open"]);
    assert_eq!(seen.lock().unwrap()[2].rates, Rates { failed: 1.0, slow: 0.0 });
}

#[tokio::test]
async fn a_trial_that_was_given_up_lets_another_through() {
    let (policy, _) = half_open(&short(1)).await;
    let fake = Fake::held(|_| captured());
    let trial = spawned(&policy, &fake);
    reached(&fake, 1).await;
    send(&policy, &fake, charge()).await.unwrap_err();
    trial.abort();
    assert!(trial.await.unwrap_err().is_cancelled());
    fake.release(1);
    send(&policy, &fake, charge()).await.unwrap();
    assert_eq!(policy.circuit(), Circuit::Closed);
}

#[tokio::test]
async fn trials_further_apart_than_the_window_close_the_circuit_all_the_same() {
    let (policy, seen) = half_open(&ResilienceSettings { window: 40 * MS, ..short(2) }).await;
    let fake = Fake::at_once(|_| captured());
    send(&policy, &fake, charge()).await.unwrap();
    assert_eq!(policy.circuit(), Circuit::HalfOpen);
    sleep(50 * MS).await;
    send(&policy, &fake, charge()).await.unwrap();
    assert_eq!(policy.circuit(), Circuit::Closed);
    assert_eq!(names(&seen), ["open", "half-open", "closed"]);
    send(&policy, &fake, charge()).await.unwrap();
}

#[tokio::test]
async fn no_more_calls_run_at_once_than_there_are_places() {
    let (policy, _) = observed_policy(&ResilienceSettings { concurrency: 3, ..settings() });
    let fake = Fake::timed(|_| (5 * MS, captured()), LookUpOutcome::NotFound);
    let calls: Vec<_> = (0..30).map(|_| spawned(&policy, &fake)).collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!((fake.charges(), fake.most.load(Ordering::SeqCst)), (30, 3));
}

#[tokio::test]
async fn who_finds_no_place_is_sent_away_and_a_call_that_is_given_up_frees_its_own() {
    let (policy, _) = observed_policy(&ResilienceSettings { concurrency: 1, ..settings() });
    let fake = Fake::held(|_| captured());
    let call = spawned(&policy, &fake);
    reached(&fake, 1).await;
    let wait = policy.acquire().await.unwrap_err();
    assert!(wait >= ACQUIRE_WAIT_MAX && wait <= ACQUIRE_WAIT_MAX.mul_f64(1.0 + RETRY_JITTER_MAX), "{wait:?}");
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    policy.acquire().await.unwrap();
}

#[tokio::test]
async fn no_more_calls_start_in_a_second_than_the_rate_allows() {
    let number = |number| NonZeroU32::new(number).unwrap();
    let rate = Rate { per_second: number(50), burst: number(5) };
    let (policy, _) = observed_policy(&ResilienceSettings { rate: Some(rate), ..settings() });
    let started = Instant::now();
    let mut admitted = 0;
    while started.elapsed() < 500 * MS {
        drop(policy.acquire().await.unwrap());
        admitted += 1;
    }
    // One more for what was given at the very end.
    let most = 5.0 + started.elapsed().as_secs_f64() * 50.0 + 1.0;
    assert!(admitted >= 5 && f64::from(admitted) <= most, "{admitted} of {most}");
}

#[tokio::test]
async fn who_would_wait_too_long_for_a_turn_is_sent_away_and_keeps_no_place() {
    let one = NonZeroU32::MIN;
    let rate = Rate { per_second: one, burst: one };
    let (policy, _) = observed_policy(&ResilienceSettings { rate: Some(rate), concurrency: 6, ..settings() });
    let started = Instant::now();
    let permits = futures::future::join_all((0..6).map(|_| policy.acquire())).await;
    assert!(started.elapsed() < ACQUIRE_WAIT_MAX * 3);
    let admitted = permits.iter().filter(|permit| permit.is_ok()).count();
    assert!((1..=2).contains(&admitted), "{admitted}");
    for wait in permits.iter().filter_map(|permit| permit.as_ref().err()) {
        assert!(
            *wait >= RETRY_DELAY_MIN && *wait <= ACQUIRE_WAIT_MAX.mul_f64(1.0 + RETRY_JITTER_MAX),
            "{wait:?}"
        );
    }
    assert_eq!(policy.bulkhead.available_permits(), 6 - admitted);
}

#[test]
fn settings_out_of_bounds_are_refused_in_a_sentence() {
    assert_eq!(ResilienceSettings::default().check(), Ok(()));
    let refused = |change: fn(&mut ResilienceSettings)| {
        let mut settings = ResilienceSettings::default();
        change(&mut settings);
        ResiliencePolicy::new("fake", &settings, |_| ()).unwrap_err().to_string()
    };
    assert_eq!(
        refused(|settings| settings.failure_rate = 0.0),
        "the failure rate must be more than 0 and at most 1"
    );
    assert_eq!(
        refused(|settings| settings.slow_rate = f64::NAN),
        "the slow-call rate must be more than 0 and at most 1"
    );
    assert_eq!(refused(|settings| settings.window = Duration::ZERO), "the window must be more than zero");
    assert_eq!(refused(|settings| settings.trials = 0), "the number of trials must be more than zero");
    assert!(
        refused(|settings| settings.concurrency = usize::MAX).starts_with("the concurrency must be at most")
    );
}
