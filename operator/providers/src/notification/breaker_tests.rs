//! Which calls are permitted, and when, on a clock that stands still but for the test.

use tokio::time::advance;

use super::*;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn breaker(concurrency: usize) -> FailFastBreaker {
    FailFastBreaker::new(NonZeroUsize::new(concurrency).unwrap())
}

fn down() -> SendOutcome {
    SendOutcome::CallFailure(CallFailure::NotSent("refused".into()))
}

fn throttled(ms: u64) -> SendOutcome {
    SendOutcome::CallFailure(CallFailure::Throttled { retry_after_ms: Some(ms) })
}

/// A circuit that opened at this moment.
fn opened(concurrency: usize) -> FailFastBreaker {
    let breaker = breaker(concurrency);
    breaker.acquire().unwrap().record(&down());
    breaker
}

#[tokio::test(start_paused = true)]
async fn a_closed_circuit_lets_a_bounded_number_of_calls_run_at_a_time() {
    let breaker = breaker(2);
    let (first, _second) = (breaker.acquire().unwrap(), breaker.acquire().unwrap());
    assert_eq!(breaker.acquire().unwrap_err(), RETRY_DELAY);
    drop(first);
    let _third = breaker.acquire().unwrap();
    breaker.acquire().unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn any_failure_of_the_provider_opens_it_for_half_a_second() {
    let why = || "why".to_owned();
    for failure in [
        CallFailure::NotSent(why()),
        CallFailure::Errored(why()),
        CallFailure::OutcomeUnknown(why()),
        CallFailure::Unauthorized(why()),
        CallFailure::Throttled { retry_after_ms: None },
    ] {
        let breaker = breaker(4);
        breaker.acquire().unwrap().record(&SendOutcome::CallFailure(failure.clone()));
        assert_eq!(breaker.acquire().unwrap_err(), OPEN_FOR_MIN, "{failure:?}");
        assert_eq!(breaker.open_for(), Some(OPEN_FOR_MIN));
    }
}

#[tokio::test(start_paused = true)]
async fn any_response_about_the_message_leaves_it_closed() {
    for outcome in [
        SendOutcome::Sent,
        SendOutcome::Pending,
        SendOutcome::Refused("bad number".into()),
        SendOutcome::CallFailure(CallFailure::InProgress),
        SendOutcome::CallFailure(CallFailure::IdempotencyKeyConsumed("why".into())),
    ] {
        let breaker = breaker(4);
        breaker.acquire().unwrap().record(&outcome);
        assert_eq!(breaker.open_for(), None, "{outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_the_pause_one_trial_goes_through_and_its_success_closes_the_circuit() {
    let breaker = opened(4);
    advance(MS(499)).await;
    breaker.acquire().unwrap_err();
    advance(MS(1)).await;
    let trial = breaker.acquire().unwrap();
    assert_eq!(breaker.acquire().unwrap_err(), RETRY_DELAY, "one trial at a time");
    trial.record(&SendOutcome::Sent);
    let _all = [
        breaker.acquire().unwrap(),
        breaker.acquire().unwrap(),
        breaker.acquire().unwrap(),
        breaker.acquire().unwrap(),
    ];
}

#[tokio::test(start_paused = true)]
async fn each_trial_that_fails_doubles_the_pause_up_to_half_a_minute_and_a_success_begins_anew() {
    let breaker = opened(1);
    for seconds in [1, 2, 4, 8, 16, 30, 30] {
        advance(breaker.open_for().unwrap()).await;
        breaker.acquire().unwrap().record(&down());
        assert_eq!(breaker.open_for(), Some(Duration::from_secs(seconds)));
    }
    advance(OPEN_FOR_MAX).await;
    breaker.acquire().unwrap().record(&SendOutcome::Sent);
    breaker.acquire().unwrap().record(&down());
    assert_eq!(breaker.open_for(), Some(OPEN_FOR_MIN));
}

#[tokio::test(start_paused = true)]
async fn what_the_provider_asks_for_is_kept_within_reason() {
    let breaker = breaker(1);
    breaker.acquire().unwrap().record(&throttled(7_000));
    assert_eq!(breaker.open_for(), Some(MS(7_000)));
    advance(MS(7_000)).await;
    breaker.acquire().unwrap().record(&throttled(100));
    assert_eq!(breaker.open_for(), Some(MS(1_000)), "less than the pause");
    advance(MS(1_000)).await;
    breaker.acquire().unwrap().record(&throttled(u64::MAX));
    assert_eq!(breaker.open_for(), Some(RETRY_AFTER_MAX));
}

#[tokio::test(start_paused = true)]
async fn calls_that_were_under_way_when_it_opened_neither_lengthen_the_pause_nor_end_the_trial() {
    let breaker = breaker(4);
    let (first, second, third, fourth) = (
        breaker.acquire().unwrap(),
        breaker.acquire().unwrap(),
        breaker.acquire().unwrap(),
        breaker.acquire().unwrap(),
    );
    first.record(&down());
    advance(MS(300)).await;
    second.record(&down());
    assert_eq!(breaker.open_for(), Some(MS(200)));
    advance(MS(200)).await;
    let trial = breaker.acquire().unwrap();
    third.record(&down());
    breaker.acquire().unwrap_err();
    trial.record(&down());
    assert_eq!(breaker.open_for(), Some(MS(1_000)));
    fourth.record(&SendOutcome::Sent);
    assert_eq!(breaker.open_for(), None, "a provider that answers is not down");
}

#[tokio::test(start_paused = true)]
async fn a_late_retry_after_lengthens_the_pause_and_never_shortens_it() {
    let breaker = breaker(2);
    let (first, second) = (breaker.acquire().unwrap(), breaker.acquire().unwrap());
    first.record(&throttled(5_000));
    second.record(&throttled(2_000));
    assert_eq!(breaker.open_for(), Some(MS(5_000)));
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_is_given_up_leaves_room_for_another() {
    let breaker = opened(1);
    advance(OPEN_FOR_MIN).await;
    drop(breaker.acquire().unwrap());
    breaker.acquire().unwrap().record(&SendOutcome::Sent);
}

#[tokio::test(start_paused = true)]
async fn callers_that_are_rejected_together_come_back_apart_and_within_bounds() {
    let breaker = opened(10);
    let waits: Vec<_> = (0..5_000).map(|_| breaker.acquire().unwrap_err()).collect();
    assert_eq!(waits[0], OPEN_FOR_MIN);
    assert_eq!(waits[100], waits[99] + MS(5), "a tenth of the delay, for ten places");
    assert_eq!(waits[4_999], OPEN_FOR_MIN + RETRY_SPREAD_MAX);
}

#[tokio::test(start_paused = true)]
async fn of_thousands_that_wait_for_a_provider_that_is_down_few_call_and_all_get_through_when_it_is_back() {
    let breaker = breaker(8);
    let (mut calls_while_down, mut delivered) = (0, 0);
    let back = Instant::now() + Duration::from_mins(2);
    let mut waiting: Vec<Instant> = vec![Instant::now(); 3_000];
    while let Some(next) = waiting.iter().copied().min() {
        tokio::time::sleep_until(next).await;
        let now = Instant::now();
        let due: Vec<usize> = (0..waiting.len()).rev().filter(|index| waiting[*index] <= now).collect();
        for index in due {
            match breaker.acquire() {
                Err(wait) => waiting[index] = now + wait,
                Ok(permit) if now < back => {
                    calls_while_down += 1;
                    permit.record(&down());
                    waiting[index] = now + OPEN_FOR_MIN;
                }
                Ok(permit) => {
                    delivered += 1;
                    permit.record(&SendOutcome::Sent);
                    waiting.swap_remove(index);
                }
            }
        }
    }
    assert_eq!(delivered, 3_000);
    assert!(calls_while_down <= 12, "{calls_while_down}");
    assert!(Instant::now() < back + Duration::from_mins(1));
}
