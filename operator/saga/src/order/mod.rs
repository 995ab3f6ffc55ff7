//! What is to be done for an order: [`decide`] looks at a snapshot and names one next step.
//!
//! The order's controller carries a command out, looks again and asks again, until the answer is [`Decision::Rest`];
//! only then the status is written, once, as a compare-and-set. So the status never runs ahead of the facts, and a
//! crash at any point leaves something from which the same decision follows.

pub mod admission;
mod check;
mod command;
mod compensate;
mod conditions;
mod deadline;
mod finished;
mod forward;
mod lag;
mod status;
pub mod steps;
mod view;

pub use command::{ChildKind, Command, Decision, Rest};
pub use compensate::Cause;
pub use deadline::SLACK;
pub use lag::may_lag;
pub use status::{Condition, ConditionKind, HISTORY_LIMIT, OrderState, PhaseEntry};
pub use view::OrderView;

pub use crate::machine::Note;

use crate::machine::{StateMachine, Violation};
use crate::phases::OrderPhase;
use crate::reason::Reason;
use crate::time::Timestamp;

/// The order's decisions.
#[derive(Debug, Clone, Copy)]
pub struct OrderMachine;

impl StateMachine for OrderMachine {
    type View = OrderView;
    type Command = Command;
    type Status = OrderState;

    fn decide(view: &OrderView, now: Timestamp) -> Decision {
        next(view, now)
    }

    fn check(view: &OrderView, next: &Decision) -> Result<(), Violation> {
        check::check(view, next)
    }
}

/// Names the next step for an order, or what its status should be when there is none.
pub fn decide(view: &OrderView, now: Timestamp) -> Decision {
    OrderMachine::step(view, now)
}

fn next(view: &OrderView, now: Timestamp) -> Decision {
    if view.speaks_of_another_version() {
        return Decision::Skip;
    }
    if view.paused {
        return paused(view);
    }
    if view.state.reason == Reason::Paused {
        // What held it up before is found out anew.
        let mut resumed = view.clone();
        resumed.state.set_reason("", "");
        return next(&resumed, now);
    }
    if !view.has_finalizer {
        return if view.deleting { Decision::Skip } else { Decision::Act(Command::AddFinalizer) };
    }
    if view.has_foreign_child() {
        return forward::wait_for_namesake(view);
    }
    if view.state.phase.is_terminal() {
        return finished::decide(view, now);
    }
    match compensate::cause(view, now) {
        Some(cause) => compensate::decide(view, &cause, now),
        None => forward::decide(view, now),
    }
}

/// A person stopped it where it is: it says so, and its deadline does not run. Nothing else is done.
fn paused(view: &OrderView) -> Decision {
    let phase = view.state.phase;
    // While it is undone, the reason in status is why: it is not to be lost.
    if !view.has_finalizer || phase.is_terminal() || phase == OrderPhase::Cancelling {
        return Decision::Skip;
    }
    let mut state = view.state.clone();
    state.set_reason(
        Reason::Paused,
        "a person stopped the order where it is; its deadline begins anew when it goes on",
    );
    state.deadline = None;
    Decision::Rest(Rest { state, notes: Vec::new(), wake_at: None })
}
