//! Which writes of an order's status may wait a moment, because another one may follow at once and say more.

use super::status::OrderState;
use super::steps;

/// Whether the write of `is` over `was` may wait: it shows a phase that nobody waits for, and nothing else is new.
pub fn may_lag(was: &OrderState, is: &OrderState) -> bool {
    was.phase != is.phase
        && !steps::step(is.phase).shown_at_once
        && was.reason == is.reason
        && was.cancellation == is.cancellation
        && was.conditions == is.conditions
        && (&was.store, was.total, was.discount) == (&is.store, is.total, is.discount)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phases::{CancellationVerdict, OrderPhase};
    use crate::time::Timestamp;

    #[test]
    fn a_step_that_nobody_waits_for_may_lag_and_whatever_else_is_new_may_not() {
        let at = |phase| OrderState { phase, ..OrderState::default() };
        let waits = at(OrderPhase::AwaitingStore);
        let step = OrderState { deadline: Some(Timestamp(9)), ..at(OrderPhase::Cooking) };
        assert!(may_lag(&waits, &step));
        assert!(!may_lag(&step, &step), "it is written already");
        let verdict = Some(CancellationVerdict::Refused);
        assert!(!may_lag(&waits, &OrderState { cancellation: verdict, ..step.clone() }));
        assert!(!may_lag(&waits, &OrderState { reason: "Late".into(), ..step.clone() }));
        assert!(!may_lag(&waits, &OrderState { total: Some(1), ..step.clone() }));
        for waited_for in [OrderPhase::AwaitingRider, OrderPhase::Delivered, OrderPhase::Completed] {
            assert!(!may_lag(&step, &at(waited_for)), "{waited_for}");
        }
    }
}
