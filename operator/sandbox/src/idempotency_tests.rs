//! What both policies have in common, and where they differ.

use super::*;

const CONFIRM: &str = "/v1/payments/confirm";

fn presented(key: &str) -> Presented {
    Presented {
        key: key.into(),
        api_key: "sk".into(),
        method: "POST",
        path: CONFIRM.into(),
        parameters: "amount=1".into(),
    }
}

fn answer(status: u16) -> Answer {
    Answer::new(status, "{}".into())
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn keys(policy: Policy) -> Keys {
    Keys::new(policy, Duration::from_secs(10))
}

fn each_policy(check: impl Fn(Keys)) {
    check(keys(Policy::PerEndpoint));
    check(keys(Policy::PerAccount));
}

#[test]
fn the_first_executes_the_second_waits_and_the_third_gets_the_first_answer() {
    each_policy(|mut keys| {
        assert_eq!(keys.begin(&presented("a"), at(0)), Admission::Execute);
        assert_eq!(keys.begin(&presented("a"), at(1)), Admission::InProgress);
        keys.finish(&presented("a"), answer(403));
        assert_eq!(keys.begin(&presented("a"), at(2)), Admission::Replay(answer(403)));
    });
}

#[test]
fn another_api_key_is_another_scope_in_both_dialects() {
    each_policy(|mut keys| {
        keys.begin(&presented("a"), at(0));
        let other = Presented { api_key: "sk2".into(), ..presented("a") };
        assert_eq!(keys.begin(&other, at(0)), Admission::Execute);
    });
}

#[test]
fn with_toss_another_method_or_path_is_another_scope_and_the_body_does_not_matter() {
    let mut keys = keys(Policy::PerEndpoint);
    keys.begin(&presented("a"), at(0));
    keys.finish(&presented("a"), answer(200));
    for other in [
        Presented { method: "PUT", ..presented("a") },
        Presented { path: "/v1/payments/x/cancel".into(), ..presented("a") },
    ] {
        assert_eq!(keys.begin(&other, at(0)), Admission::Execute);
    }
    let other_body = Presented { parameters: "amount=2".into(), ..presented("a") };
    assert_eq!(keys.begin(&other_body, at(0)), Admission::Replay(answer(200)));
}

#[test]
fn with_stripe_the_same_key_with_another_path_or_other_parameters_is_refused_even_while_the_first_runs() {
    let mut keys = keys(Policy::PerAccount);
    keys.begin(&presented("a"), at(0));
    let others = [
        Presented { path: "/v1/refunds".into(), ..presented("a") },
        Presented { parameters: "amount=2".into(), ..presented("a") },
    ];
    for other in &others {
        assert_eq!(keys.begin(other, at(0)), Admission::Mismatch);
    }
    keys.finish(&presented("a"), answer(500));
    for other in &others {
        assert_eq!(keys.begin(other, at(0)), Admission::Mismatch);
    }
    assert_eq!(keys.begin(&presented("a"), at(0)), Admission::Replay(answer(500)));
}

#[test]
fn a_mismatch_leaves_the_first_request_as_it_was() {
    let mut keys = keys(Policy::PerAccount);
    keys.begin(&presented("a"), at(0));
    keys.begin(&Presented { parameters: "amount=2".into(), ..presented("a") }, at(1));
    assert_eq!(keys.begin(&presented("a"), at(2)), Admission::InProgress);
}

#[test]
fn after_a_restart_a_stripe_key_is_known_by_its_paths_alone() {
    let mut keys = keys(Policy::PerAccount);
    keys.restore("a", "sk", &[CONFIRM.into(), "/v1/other".into()], &answer(200), at(0));
    let parameters = Presented { parameters: "amount=2".into(), ..presented("a") };
    assert_eq!(keys.begin(&parameters, at(1)), Admission::Replay(answer(200)));
    let path = Presented { path: "/v1/refunds".into(), ..presented("a") };
    assert_eq!(keys.begin(&path, at(1)), Admission::Mismatch);
}

#[test]
fn retention_counts_from_the_first_use_and_then_the_key_executes_anew() {
    each_policy(|mut keys| {
        keys.begin(&presented("a"), at(0));
        keys.finish(&presented("a"), answer(200));
        assert_eq!(keys.begin(&presented("a"), at(9)), Admission::Replay(answer(200)));
        assert_eq!(keys.begin(&presented("a"), at(10)), Admission::Execute);
    });
}

#[test]
fn a_request_that_still_runs_never_expires() {
    each_policy(|mut keys| {
        keys.begin(&presented("a"), at(0));
        assert_eq!(keys.begin(&presented("a"), at(1000)), Admission::InProgress);
    });
}

#[test]
fn a_forgotten_key_executes_again_with_whatever_parameters_and_keeps_its_new_age() {
    each_policy(|mut keys| {
        let other = Presented { parameters: "amount=2".into(), ..presented("a") };
        keys.begin(&presented("a"), at(0));
        keys.forget(&presented("a"));
        assert_eq!(keys.begin(&other, at(5)), Admission::Execute);
        keys.finish(&other, answer(200));
        assert_eq!(keys.begin(&other, at(12)), Admission::Replay(answer(200)));
        assert_eq!(keys.begin(&other, at(15)), Admission::Execute);
    });
}
