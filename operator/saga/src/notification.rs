//! What people are told of an order: each phase that it enters, skipped ones included, in order, as one message. A step's
//! number stays the same for ever, so that a message that is repeated can be recognised.

use crate::machine::{Next, Rest, StateMachine, Violation};
use crate::order::OrderState;
use crate::phases::OrderPhase;
use crate::reason::Reason;
use crate::time::{Millis, Timestamp};

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

/// The steps that were told to somebody who was told of `told` steps, and who has been there since `since`.
pub fn told(steps: &[Step], told: i64, since: Timestamp) -> impl Iterator<Item = &Step> {
    steps.iter().filter(move |step| step.number < told && step.at >= since)
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

/// All that a decision about notifying one provider of an order depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotificationView {
    /// The provider's name.
    pub provider: String,
    /// All steps of the order.
    pub steps: Vec<Step>,
    /// How many of them, from the first on, were delivered, or need not be.
    pub notified: i64,
    /// Since when there has been such a provider.
    pub since: Timestamp,
    /// Whether it needs the customer's telephone number.
    pub needs_contact: bool,
    /// Whether the customer has left one.
    pub has_contact: bool,
    /// Whether it can be called, or why not; `None` until [`Command::Open`] was carried out.
    pub session: Option<Result<(), String>>,
    /// What its breaker said: that a message may be sent now, or how long to come back after; `None` until
    /// [`Command::Acquire`] was carried out.
    pub permit: Option<Result<(), Millis>>,
    /// What came of the last [`Command::Send`].
    pub response: Option<Response>,
}

/// What came of sending a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// It was delivered.
    Sent,
    /// It was refused for good; why.
    Refused(String),
    /// It is under way: the provider has not delivered it yet.
    Pending,
    /// It is not known, or it was not sent: why, and how long the breaker is open, if it is.
    Failed(String, Option<Millis>),
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Read the provider and its credential.
    Open,
    /// Ask its breaker for a place.
    Acquire,
    /// Send this step. Repeated, it is the same message, by its id.
    Send(Step),
}

/// How far notifying came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// How many steps, from the first on, were delivered, or need not be.
    pub notified: i64,
    /// How it stands.
    pub standing: NotificationStatus,
    /// When the rest is tried; `None` when there is none.
    pub retry: Option<Retry>,
}

/// When to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Retry {
    /// After this time.
    After(Millis),
    /// With back-off.
    WithBackoff,
}

/// The decisions about notifying one provider of an order. They depend on no time.
#[derive(Debug, Clone, Copy)]
pub struct NotificationMachine;

/// The answer of the machine.
pub type Decision = Next<Command, Progress>;

impl StateMachine for NotificationMachine {
    type View = NotificationView;
    type Command = Command;
    type Status = Progress;

    fn decide(view: &NotificationView, _: Timestamp) -> Decision {
        let waits = |why: String, retry| view.rest(NotificationStatus::Waits(why), Some(retry));
        let Some(step) = next(&view.steps, view.notified, view.since) else {
            return view.rest(NotificationStatus::Done, None);
        };
        let name = &view.provider;
        match &view.response {
            None => {}
            Some(Response::Sent) => return passed(step, NotificationStatus::Done),
            Some(Response::Refused(why)) => {
                return passed(step, NotificationStatus::Refused(why.clone()));
            }
            Some(Response::Pending) => {
                return waits(format!("{name} has not delivered it yet"), Retry::WithBackoff);
            }
            Some(Response::Failed(why, open_for)) => {
                let retry = open_for.map_or(Retry::WithBackoff, Retry::After);
                return waits(format!("{name}: {why}"), retry);
            }
        }
        match (&view.session, view.permit) {
            (None, _) => Next::Act(Command::Open),
            (Some(Err(why)), _) => waits(why.clone(), Retry::WithBackoff),
            (Some(Ok(())), _) if !view.is_reachable() => view.rest(NotificationStatus::NoContact, None),
            (Some(Ok(())), None) => Next::Act(Command::Acquire),
            (Some(Ok(())), Some(Err(left))) => waits(format!("{name} is not reachable"), Retry::After(left)),
            (Some(Ok(())), Some(Ok(()))) => Next::Act(Command::Send(step.clone())),
        }
    }

    fn check(view: &NotificationView, next: &Decision) -> Result<(), Violation> {
        match next {
            Next::Act(Command::Send(step)) if step.number < view.notified => {
                let detail = format!("{} of {}", step.number, view.notified);
                Err(Violation::new("no step is sent after a later one", detail))
            }
            Next::Act(Command::Send(step)) if !view.may_send() => {
                let detail = format!("{} to {}", step.number, view.provider);
                Err(Violation::new("nothing is sent to nobody, or past the breaker", detail))
            }
            Next::Write(progress) if progress.notified <= view.notified => {
                let detail = format!("{} to {}", view.notified, progress.notified);
                Err(Violation::new("progress never falls", detail))
            }
            Next::Skip
            | Next::Halt(_)
            | Next::Act(_)
            | Next::Write(_)
            | Next::Rest(_)
            | Next::Wait(_)
            | Next::Retry(_) => Ok(()),
        }
    }
}

impl NotificationView {
    /// Whether something is still to be told, and can be.
    pub fn is_owed(&self) -> bool {
        self.is_reachable() && next(&self.steps, self.notified, self.since).is_some()
    }

    fn is_reachable(&self) -> bool {
        !self.needs_contact || self.has_contact
    }

    fn may_send(&self) -> bool {
        self.session == Some(Ok(())) && self.permit == Some(Ok(())) && self.is_reachable()
    }

    fn rest(&self, standing: NotificationStatus, retry: Option<Retry>) -> Decision {
        let state = Progress { notified: self.notified, standing, retry };
        Next::Rest(Rest { state, notes: Vec::new(), wake_at: None })
    }
}

/// The step is behind the order: it was delivered, or never will be.
fn passed(step: &Step, standing: NotificationStatus) -> Decision {
    Next::Write(Box::new(Progress { notified: step.number.saturating_add(1), standing, retry: None }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> NotificationView {
        NotificationView {
            provider: "kakao".into(),
            steps: steps(&travelled(0), Timestamp(1)),
            notified: 0,
            since: Timestamp(0),
            needs_contact: true,
            has_contact: true,
            session: Some(Ok(())),
            permit: Some(Ok(())),
            response: None,
        }
    }

    fn decided(view: &NotificationView) -> Decision {
        NotificationMachine::step(view, Timestamp(0))
    }

    fn rests(view: &NotificationView) -> (NotificationStatus, Option<Retry>) {
        let Next::Rest(rest) = decided(view) else { panic!("a rest for {view:?}") };
        (rest.state.standing, rest.state.retry)
    }

    #[test]
    fn each_step_is_sent_once_its_predecessor_was_delivered_or_refused() {
        let mut view = view();
        let mut sent = Vec::new();
        while let Next::Act(Command::Send(step)) = decided(&view) {
            let refused = step.number == 2;
            sent.push(step.number);
            view.response = Some(if refused { Response::Refused("no".into()) } else { Response::Sent });
            let Next::Write(progress) = decided(&view) else { panic!("progress for {view:?}") };
            assert_eq!(matches!(progress.standing, NotificationStatus::Refused(_)), refused);
            (view.notified, view.response) = (progress.notified, None);
        }
        assert_eq!(sent, [0, 1, 2, 3, 4]);
        assert_eq!(rests(&view), (NotificationStatus::Done, None));
    }

    #[test]
    fn a_message_whose_outcome_is_not_known_is_sent_again_later() {
        let failed = |left| Response::Failed("time-out".into(), left);
        let waits = |response| rests(&NotificationView { response: Some(response), ..view() });
        let why = NotificationStatus::Waits("kakao: time-out".into());
        assert_eq!(waits(failed(None)), (why.clone(), Some(Retry::WithBackoff)));
        assert_eq!(waits(failed(Some(Millis(5)))), (why, Some(Retry::After(Millis(5)))));
        assert_eq!(waits(Response::Pending).1, Some(Retry::WithBackoff));
    }

    #[test]
    fn nothing_is_sent_to_nobody_or_through_an_open_breaker() {
        let nobody = NotificationView { has_contact: false, ..view() };
        assert_eq!(rests(&nobody), (NotificationStatus::NoContact, None));
        let open = NotificationView { permit: Some(Err(Millis(9))), ..view() };
        assert_eq!(rests(&open).1, Some(Retry::After(Millis(9))));
        let barred = NotificationView { session: Some(Err("no secret".into())), ..view() };
        assert_eq!(rests(&barred).0, NotificationStatus::Waits("no secret".into()));
        let closed = NotificationView { session: None, ..view() };
        assert_eq!(decided(&closed), Next::Act(Command::Open));
        let unasked = NotificationView { permit: None, ..view() };
        assert_eq!(decided(&unasked), Next::Act(Command::Acquire));
        assert_eq!((nobody.is_owed(), barred.is_owed()), (false, true), "nobody need not be told");
    }

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
