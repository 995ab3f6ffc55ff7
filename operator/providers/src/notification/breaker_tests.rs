//! Who is let through, and when, on a clock that stands still but for the test.

use tokio::time::advance;

use super::*;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn gate(places: usize) -> FailFastBreaker {
    FailFastBreaker::new(NonZeroUsize::new(places).unwrap())
}

fn down() -> SendOutcome {
    SendOutcome::CallFailure(CallFailure::NotSent("refused".into()))
}

fn throttled(ms: u64) -> SendOutcome {
    SendOutcome::CallFailure(CallFailure::Throttled { retry_after_ms: Some(ms) })
}

/// A gate that was shut at this moment.
fn shut(places: usize) -> FailFastBreaker {
    let gate = gate(places);
    gate.enter().unwrap().ended(&down());
    gate
}

#[tokio::test(start_paused = true)]
async fn an_open_gate_lets_so_many_through_at_a_time() {
    let gate = gate(2);
    let (first, _second) = (gate.enter().unwrap(), gate.enter().unwrap());
    assert_eq!(gate.enter().unwrap_err(), A_WHILE);
    drop(first);
    let _third = gate.enter().unwrap();
    gate.enter().unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn whatever_tells_of_the_providers_trouble_shuts_it_for_half_a_second() {
    let why = || "why".to_owned();
    for failure in [
        CallFailure::NotSent(why()),
        CallFailure::Errored(why()),
        CallFailure::OutcomeUnknown(why()),
        CallFailure::Unauthorized(why()),
        CallFailure::Throttled { retry_after_ms: None },
    ] {
        let gate = gate(4);
        gate.enter().unwrap().ended(&SendOutcome::CallFailure(failure.clone()));
        assert_eq!(gate.enter().unwrap_err(), FIRST_PAUSE, "{failure:?}");
        assert_eq!(gate.open_for(), Some(FIRST_PAUSE));
    }
}

#[tokio::test(start_paused = true)]
async fn any_answer_about_the_message_leaves_it_open() {
    for outcome in [
        SendOutcome::Sent,
        SendOutcome::Pending,
        SendOutcome::Refused("bad number".into()),
        SendOutcome::CallFailure(CallFailure::InProgress),
        SendOutcome::CallFailure(CallFailure::IdempotencyKeyConsumed("why".into())),
    ] {
        let gate = gate(4);
        gate.enter().unwrap().ended(&outcome);
        assert_eq!(gate.open_for(), None, "{outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_the_pause_one_trial_goes_through_and_its_success_opens_the_gate() {
    let gate = shut(4);
    advance(MS(499)).await;
    gate.enter().unwrap_err();
    advance(MS(1)).await;
    let trial = gate.enter().unwrap();
    assert_eq!(gate.enter().unwrap_err(), A_WHILE, "one trial at a time");
    trial.ended(&SendOutcome::Sent);
    let _all = [gate.enter().unwrap(), gate.enter().unwrap(), gate.enter().unwrap(), gate.enter().unwrap()];
}

#[tokio::test(start_paused = true)]
async fn each_trial_that_fails_doubles_the_pause_up_to_half_a_minute_and_a_success_begins_anew() {
    let gate = shut(1);
    for seconds in [1, 2, 4, 8, 16, 30, 30] {
        advance(gate.open_for().unwrap()).await;
        gate.enter().unwrap().ended(&down());
        assert_eq!(gate.open_for(), Some(Duration::from_secs(seconds)));
    }
    advance(LONGEST_PAUSE).await;
    gate.enter().unwrap().ended(&SendOutcome::Sent);
    gate.enter().unwrap().ended(&down());
    assert_eq!(gate.open_for(), Some(FIRST_PAUSE));
}

#[tokio::test(start_paused = true)]
async fn what_the_provider_asks_for_is_kept_within_reason() {
    let gate = gate(1);
    gate.enter().unwrap().ended(&throttled(7_000));
    assert_eq!(gate.open_for(), Some(MS(7_000)));
    advance(MS(7_000)).await;
    gate.enter().unwrap().ended(&throttled(100));
    assert_eq!(gate.open_for(), Some(MS(1_000)), "less than the pause");
    advance(MS(1_000)).await;
    gate.enter().unwrap().ended(&throttled(u64::MAX));
    assert_eq!(gate.open_for(), Some(LONGEST_ASKED));
}

#[tokio::test(start_paused = true)]
async fn calls_that_were_under_way_when_it_was_shut_neither_lengthen_the_pause_nor_end_the_trial() {
    let gate = gate(4);
    let (first, second, third, fourth) =
        (gate.enter().unwrap(), gate.enter().unwrap(), gate.enter().unwrap(), gate.enter().unwrap());
    first.ended(&down());
    advance(MS(300)).await;
    second.ended(&down());
    assert_eq!(gate.open_for(), Some(MS(200)));
    advance(MS(200)).await;
    let trial = gate.enter().unwrap();
    third.ended(&down());
    gate.enter().unwrap_err();
    trial.ended(&down());
    assert_eq!(gate.open_for(), Some(MS(1_000)));
    fourth.ended(&SendOutcome::Sent);
    assert_eq!(gate.open_for(), None, "a provider that answers is not down");
}

#[tokio::test(start_paused = true)]
async fn a_late_retry_after_lengthens_the_pause_and_never_shortens_it() {
    let gate = gate(2);
    let (first, second) = (gate.enter().unwrap(), gate.enter().unwrap());
    first.ended(&throttled(5_000));
    second.ended(&throttled(2_000));
    assert_eq!(gate.open_for(), Some(MS(5_000)));
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_is_given_up_leaves_room_for_another() {
    let gate = shut(1);
    advance(FIRST_PAUSE).await;
    drop(gate.enter().unwrap());
    gate.enter().unwrap().ended(&SendOutcome::Sent);
}

#[tokio::test(start_paused = true)]
async fn those_who_are_sent_away_together_come_back_apart_and_within_bounds() {
    let gate = shut(10);
    let waits: Vec<_> = (0..5_000).map(|_| gate.enter().unwrap_err()).collect();
    assert_eq!(waits[0], FIRST_PAUSE);
    assert_eq!(waits[100], waits[99] + MS(5), "a tenth of a while, for ten places");
    assert_eq!(waits[4_999], FIRST_PAUSE + LONGEST_SPREAD);
}

#[tokio::test(start_paused = true)]
async fn of_thousands_that_wait_for_a_provider_that_is_down_few_call_and_all_get_through_when_it_is_back() {
    let gate = gate(8);
    let (mut calls_while_down, mut delivered) = (0, 0);
    let back = Instant::now() + Duration::from_mins(2);
    let mut waiting: Vec<Instant> = vec![Instant::now(); 3_000];
    while let Some(next) = waiting.iter().copied().min() {
        tokio::time::sleep_until(next).await;
        let now = Instant::now();
        let due: Vec<usize> = (0..waiting.len()).rev().filter(|index| waiting[*index] <= now).collect();
        for index in due {
            match gate.enter() {
                Err(wait) => waiting[index] = now + wait,
                Ok(pass) if now < back => {
                    calls_while_down += 1;
                    pass.ended(&down());
                    waiting[index] = now + FIRST_PAUSE;
                }
                Ok(pass) => {
                    delivered += 1;
                    pass.ended(&SendOutcome::Sent);
                    waiting.swap_remove(index);
                }
            }
        }
    }
    assert_eq!(delivered, 3_000);
    assert!(calls_while_down <= 12, "{calls_while_down}");
    assert!(Instant::now() < back + Duration::from_mins(1));
}
