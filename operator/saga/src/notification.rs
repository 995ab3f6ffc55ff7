//! What people are told of an order: each phase that it enters, skipped ones included, in order, as one message. A step's
//! number stays the same for ever, so that a message that is repeated can be recognised.

use crate::order::OrderState;
use crate::phases::OrderPhase;
use crate::reason::Reason;
use crate::time::Timestamp;

/// A step in an order's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// 0 for the first, and so on.
    pub number: i64,
    /// The phase that was entered.
    pub phase: String,
    /// When.
    pub at: Timestamp,
}

/// All steps of an order that are known. An order of which nothing was written yet has its first.
pub fn steps(state: &OrderState, created_at: Timestamp) -> Vec<Step> {
    if state.history.is_empty() {
        return vec![Step { number: 0, phase: OrderPhase::AwaitingPayment.as_str().into(), at: created_at }];
    }
    let number = |n: usize| {
        let n = i64::try_from(n).unwrap_or(i64::MAX);
        if n == 0 { 0 } else { n.saturating_add(state.dropped) }
    };
    let entries = state.history.iter().enumerate();
    entries.map(|(n, entry)| Step { number: number(n), phase: entry.phase.clone(), at: entry.at }).collect()
}

/// The next step to be told to somebody who was told of `told` steps, and who has been there since `since`: what was
/// before is nothing to them.
pub fn next(steps: &[Step], told: i64, since: Timestamp) -> Option<&Step> {
    steps.iter().find(|step| step.number >= told && step.at >= since)
}

/// The id of a message.
pub fn id(order_uid: &str, step: i64) -> String {
    format!("{order_uid}-{step}")
}

/// How telling people stands, where there is something to say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotificationStatus {
    /// Everything was told.
    Done,
    /// Something cannot be told: the customer has left no telephone number.
    NoContact,
    /// A message was refused for good; why.
    Refused(String),
    /// The messages wait for their provider; why.
    Waits(String),
}

impl NotificationStatus {
    /// As a condition: whether it holds, its reason and its message.
    pub fn condition(&self) -> (bool, Reason, String) {
        match self {
            Self::Done => (true, Reason::Told, String::new()),
            Self::NoContact => (false, Reason::NoContact, "the customer has left no telephone number".into()),
            Self::Refused(why) => (false, Reason::MessageRefused, why.clone()),
            Self::Waits(why) => (false, Reason::MessagesWait, why.clone()),
        }
    }

    /// The worse of two.
    #[must_use]
    pub fn or_worse(self, other: Self) -> Self {
        let rank = |telling: &Self| match telling {
            Self::Done => 0,
            Self::Refused(_) => 1,
            Self::NoContact => 2,
            Self::Waits(_) => 3,
        };
        if rank(&other) > rank(&self) { other } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn travelled(flaps: i64) -> OrderState {
        let mut state = OrderState::default();
        state.move_to(OrderPhase::AwaitingRider, Timestamp(10), Timestamp(1)).unwrap();
        for n in 0..flaps {
            state.move_to(OrderPhase::RiderAssigned, Timestamp(20 + n), Timestamp(1)).unwrap();
            state.move_to(OrderPhase::AwaitingRider, Timestamp(20 + n), Timestamp(1)).unwrap();
        }
        state
    }

    #[test]
    fn a_fresh_order_has_its_first_step_and_keeps_it() {
        let fresh = steps(&OrderState::default(), Timestamp(1));
        let later = steps(&travelled(0), Timestamp(1));
        assert_eq!(fresh.as_slice(), &later[..1]);
        let phases: Vec<&str> = later.iter().map(|s| s.phase.as_str()).collect();
        assert_eq!(phases, ["AwaitingPayment", "AwaitingStore", "Accepted", "Cooking", "AwaitingRider"]);
    }

    #[test]
    fn steps_keep_their_numbers_when_the_history_is_cut() {
        let (short, long) = (steps(&travelled(7), Timestamp(1)), steps(&travelled(30), Timestamp(1)));
        assert_eq!(short.last().map(|s| s.number), Some(18));
        assert_eq!(long.last().map(|s| s.number), Some(64));
        assert!(long.iter().zip(long.iter().skip(1)).skip(1).all(|(a, b)| a.number + 1 == b.number));
    }

    #[test]
    fn everything_is_told_in_order_and_what_was_before_somebody_came_is_not() {
        let all = steps(&travelled(1), Timestamp(1));
        let told = |since| {
            let (mut told, mut phases) = (0, Vec::new());
            while let Some(step) = next(&all, told, Timestamp(since)) {
                phases.push(step.phase.as_str());
                told = step.number + 1;
            }
            phases.len()
        };
        assert_eq!((told(0), told(10), told(20), told(21)), (7, 6, 2, 0));
    }

    #[test]
    fn what_waits_is_worse_than_what_is_lost() {
        let refused = NotificationStatus::Refused("bad number".into());
        let waits = NotificationStatus::Waits("no answer".into());
        assert_eq!(NotificationStatus::Done.or_worse(refused.clone()), refused);
        assert_eq!(waits.clone().or_worse(refused), waits);
    }
}
