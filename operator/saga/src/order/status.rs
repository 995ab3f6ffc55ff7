//! The order's status as the domain sees it, and how it moves: phases, filled-in history, conditions.

use crate::machine::Violation;
use crate::phases::{CancellationVerdict, OrderPhase};
use crate::table;
use crate::time::Timestamp;

/// At most so many entries are kept; the oldest after the first go.
pub const HISTORY_LIMIT: usize = 20;

/// The order's status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderState {
    /// Where it stands.
    pub phase: OrderPhase,
    /// Why, in one word; empty when all is well.
    pub reason: String,
    /// Why, in a sentence; empty when all is well.
    pub message: String,
    /// The store that it goes to.
    pub store: Option<String>,
    /// The frozen total, in the currency's smallest unit.
    pub total: Option<i64>,
    /// What its coupon takes off; `None` without one.
    pub discount: Option<i64>,
    /// What it came to when it was first priced, if it had to wait then: it is charged no more than that.
    pub first_total: Option<i64>,
    /// The verdict on the request to cancel, once there is one. It never changes.
    pub cancellation: Option<CancellationVerdict>,
    /// When each phase was entered.
    pub history: Vec<PhaseEntry>,
    /// How many entries after the first were dropped from the history.
    pub dropped: i64,
    /// When the present phase ends by itself.
    pub deadline: Option<Timestamp>,
    /// The conditions, by kind.
    pub conditions: Vec<Condition>,
}

/// An entry of the history. The phase is a string, so that one of a newer version is kept as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhaseEntry {
    /// The phase.
    pub phase: String,
    /// When it was entered.
    pub at: Timestamp,
}

/// What can be waited for. Each is reached or denied in the end, whatever the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConditionKind {
    /// The money is in.
    Paid,
    /// The money is where it belongs, finally.
    Settled,
    /// The food arrived and the customer has it.
    Completed,
    /// The order has come to an end, whichever.
    Ended,
    /// Nothing keeps the order, which is being deleted; said only when something does for long.
    Released,
}

impl ConditionKind {
    /// The condition's type in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Paid => "Paid",
            Self::Settled => "Settled",
            Self::Completed => "Completed",
            Self::Ended => "Ended",
            Self::Released => "Released",
        }
    }
}

/// A condition, for `kubectl wait`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// What it is about, as in [`ConditionKind::as_str`].
    pub kind: String,
    /// Whether it holds.
    pub holds: bool,
    /// Why, in one word.
    pub reason: String,
    /// Why, in a sentence.
    pub message: String,
    /// Since when it has held, or not.
    pub since: Timestamp,
}

impl Default for OrderState {
    fn default() -> Self {
        Self {
            phase: OrderPhase::AwaitingPayment,
            reason: String::new(),
            message: String::new(),
            store: None,
            total: None,
            discount: None,
            first_total: None,
            cancellation: None,
            history: Vec::new(),
            dropped: 0,
            deadline: None,
            conditions: Vec::new(),
        }
    }
}

impl OrderState {
    /// Moves to `phase` at `now`, filling the phases that were skipped into the history. When it stands there already,
    /// nothing changes.
    ///
    /// # Errors
    /// The table leads there from nowhere along the way: nothing changes, and the decision must not pass over it.
    pub fn move_to(
        &mut self,
        phase: OrderPhase,
        now: Timestamp,
        created_at: Timestamp,
    ) -> Result<(), Violation> {
        let Some(way) = table::path(table::ORDER, self.phase, phase) else {
            let detail = format!("nothing leads from {} to {phase}", self.phase);
            return Err(Violation::new("an order moves along the table", detail));
        };
        if way.is_empty() {
            return Ok(());
        }
        self.reason.clear();
        self.message.clear();
        self.deadline = None;
        if self.history.is_empty() {
            self.history.push(PhaseEntry { phase: self.phase.as_str().into(), at: created_at });
        }
        self.history.extend(way.iter().map(|p| PhaseEntry { phase: p.as_str().into(), at: now }));
        if self.history.len() > HISTORY_LIMIT {
            let surplus = self.history.len() - HISTORY_LIMIT;
            self.history.drain(1..=surplus);
            self.dropped = self.dropped.saturating_add(i64::try_from(surplus).unwrap_or(i64::MAX));
        }
        self.phase = phase;
        Ok(())
    }

    /// Says why the order stands where it stands.
    pub fn set_reason(&mut self, reason: impl AsRef<str>, message: &str) {
        reason.as_ref().clone_into(&mut self.reason);
        message.clone_into(&mut self.message);
    }

    /// Since when the present phase has lasted.
    pub fn phase_since(&self, created_at: Timestamp) -> Timestamp {
        self.history.last().map_or(created_at, |entry| entry.at)
    }

    /// Sets a condition; `since` moves only when it turns.
    pub fn set(
        &mut self,
        kind: ConditionKind,
        holds: bool,
        reason: impl AsRef<str>,
        message: &str,
        now: Timestamp,
    ) {
        let fresh = Condition {
            kind: kind.as_str().into(),
            holds,
            reason: reason.as_ref().to_owned(),
            message: message.into(),
            since: now,
        };
        match self.conditions.iter_mut().find(|c| c.kind == fresh.kind) {
            Some(known) => {
                let since = if known.holds == holds { known.since } else { now };
                *known = Condition { since, ..fresh };
            }
            None => self.conditions.push(fresh),
        }
    }

    /// A condition, if it was ever set.
    pub fn condition(&self, kind: ConditionKind) -> Option<&Condition> {
        self.conditions.iter().find(|c| c.kind == kind.as_str())
    }

    /// Whether a condition holds.
    pub fn holds(&self, kind: ConditionKind) -> bool {
        self.condition(kind).is_some_and(|c| c.holds)
    }

    /// Whether a condition gives this reason.
    pub fn says(&self, kind: ConditionKind, reason: impl AsRef<str>) -> bool {
        self.condition(kind).is_some_and(|c| c.reason == reason.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_phases_are_filled_into_the_history() {
        let mut state = OrderState::default();
        state.move_to(OrderPhase::AwaitingStore, Timestamp(1), Timestamp(0)).unwrap();
        state.move_to(OrderPhase::AwaitingRider, Timestamp(2), Timestamp(0)).unwrap();
        let phases: Vec<&str> = state.history.iter().map(|e| e.phase.as_str()).collect();
        assert_eq!(phases, ["AwaitingPayment", "AwaitingStore", "Accepted", "Cooking", "AwaitingRider"]);
    }

    #[test]
    fn a_terminal_phase_never_changes() {
        let mut state = OrderState { phase: OrderPhase::Cancelled, ..OrderState::default() };
        for phase in OrderPhase::ALL {
            let moved = state.move_to(*phase, Timestamp(1), Timestamp(0));
            assert_eq!(moved.is_ok(), *phase == OrderPhase::Cancelled, "{phase}");
        }
        assert_eq!(state.phase, OrderPhase::Cancelled);
    }

    #[test]
    fn the_history_is_bounded_and_keeps_its_beginning() {
        let mut state = OrderState::default();
        state.move_to(OrderPhase::AwaitingRider, Timestamp(0), Timestamp(0)).unwrap();
        for n in 1..100 {
            state.move_to(OrderPhase::RiderAssigned, Timestamp(n), Timestamp(0)).unwrap();
            state.move_to(OrderPhase::AwaitingRider, Timestamp(n), Timestamp(0)).unwrap();
        }
        assert_eq!(state.history.len(), HISTORY_LIMIT);
        assert_eq!(state.history[0].phase, "AwaitingPayment");
        assert_eq!(state.history[HISTORY_LIMIT - 1].at, Timestamp(99));
        assert_eq!(state.dropped, 5 + 2 * 99 - 20, "steps keep their numbers");
    }

    #[test]
    fn a_condition_keeps_its_time_until_it_turns() {
        let mut state = OrderState::default();
        state.set(ConditionKind::Paid, false, "Waiting", "", Timestamp(1));
        state.set(ConditionKind::Paid, false, "Deferred", "", Timestamp(2));
        assert_eq!(state.conditions[0].since, Timestamp(1));
        state.set(ConditionKind::Paid, true, "Captured", "", Timestamp(3));
        assert_eq!(state.conditions[0].since, Timestamp(3));
    }
}
