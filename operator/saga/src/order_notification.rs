//! Notifying everybody of an order: one provider after the other, each as [`crate::notification`] says; then what the order's
//! status says of it, and when that is written. Nothing in the saga waits for a message, so a write of its own is for the
//! end, or for messages that wait for long.

use crate::machine::{Next, Rest, StateMachine, Violation};
use crate::notification::{
    self, NotificationMachine, NotificationStatus, NotificationView, Progress, Retry, Step,
};
use crate::time::Timestamp;

/// Maximum number of providers that an order keeps track of, as the schema has it.
pub const PROVIDERS_MAX: usize = 8;

/// All that a decision about notifying everybody of an order depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderNotificationView {
    /// The providers, in the order in which they are notified.
    pub providers: Vec<NotificationView>,
    /// Why the last message that was refused for good was refused, if one was.
    pub refused: Option<String>,
    /// Whether the order has ended.
    pub ended: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether its status says that messages wait, or cannot be sent.
    pub says_pending: bool,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Read the provider of this name and its credential.
    Open(String),
    /// Ask the breaker of the provider of this name for a place.
    Acquire(String),
    /// Send this step to the provider of this name. Repeated, it is the same message, by its id.
    Send(String, Step),
    /// Keep in mind how far the provider of this name was notified.
    Advance(String, Progress),
}

/// What is left when nobody can be notified of anything more for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// How it stands, over all providers.
    pub status: NotificationStatus,
    /// When the rest is tried; `None` when there is none.
    pub retry: Option<Retry>,
    /// When the order's status is written if it says something else, and nobody else writes it.
    pub write: WriteProgress,
    /// Whether the order, which is being deleted, may have waited for this.
    pub wakes_order: bool,
}

/// When the progress is written for its own sake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteProgress {
    /// Not at all: the order's next status takes it along.
    WithTheNextStatus,
    /// After a moment in which the order may write something itself.
    AtTheEnd,
    /// When messages have waited for long.
    WhenWaitingForLong,
}

/// The decisions about notifying everybody of an order. They depend on no time.
#[derive(Debug, Clone, Copy)]
pub struct OrderNotificationMachine;

/// The answer of the machine.
pub type Decision = Next<Command, Standing>;

impl StateMachine for OrderNotificationMachine {
    type View = OrderNotificationView;
    type Command = Command;
    type Status = Standing;

    fn decide(view: &OrderNotificationView, now: Timestamp) -> Decision {
        if view.providers.is_empty() {
            return Next::Wait(None);
        }
        let refused = view.refused.clone().map(NotificationStatus::Refused);
        let (mut status, mut retry) = (NotificationStatus::Done, None);
        for provider in &view.providers {
            let name = || provider.provider.clone();
            match NotificationMachine::decide(provider, now) {
                Next::Act(notification::Command::Open) => return Next::Act(Command::Open(name())),
                Next::Act(notification::Command::Acquire) => return Next::Act(Command::Acquire(name())),
                Next::Act(notification::Command::Send(step)) => {
                    return Next::Act(Command::Send(name(), step));
                }
                Next::Write(progress) => return Next::Act(Command::Advance(name(), *progress)),
                Next::Rest(Rest { state, .. }) => {
                    status = status.or_worse(state.standing);
                    retry = retry.into_iter().chain(state.retry).min();
                }
                Next::Skip | Next::Halt(_) | Next::Wait(_) | Next::Retry(_) => {}
            }
        }
        let status = refused.into_iter().fold(status, NotificationStatus::or_worse);
        let write = match retry {
            Some(_) => WriteProgress::WhenWaitingForLong,
            None if view.ended || view.says_pending => WriteProgress::AtTheEnd,
            None => WriteProgress::WithTheNextStatus,
        };
        let wakes_order = view.deleting && retry.is_none();
        let state = Standing { status, retry, write, wakes_order };
        Next::Rest(Rest { state, notes: Vec::new(), wake_at: None })
    }

    fn check(view: &OrderNotificationView, next: &Decision) -> Result<(), Violation> {
        let of = |name: &str| view.providers.iter().find(|provider| provider.provider == name);
        match next {
            Next::Act(Command::Send(name, step)) => of(name).map_or_else(
                || Err(Violation::new("only a provider that is there is notified", name)),
                |view| {
                    let next = Next::Act(notification::Command::Send(step.clone()));
                    NotificationMachine::check(view, &next)
                },
            ),
            Next::Act(Command::Advance(name, progress)) => of(name).map_or_else(
                || Err(Violation::new("only a provider that is there is notified", name)),
                |view| NotificationMachine::check(view, &Next::Write(Box::new(progress.clone()))),
            ),
            Next::Rest(Rest { state, .. }) => of_rest(view, state),
            Next::Act(Command::Open(_) | Command::Acquire(_))
            | Next::Skip
            | Next::Halt(_)
            | Next::Write(_)
            | Next::Wait(_)
            | Next::Retry(_) => Ok(()),
        }
    }
}

/// At rest everybody was told, cannot be told, or is told later.
fn of_rest(view: &OrderNotificationView, state: &Standing) -> Result<(), Violation> {
    let owed = view.providers.iter().find(|provider| provider.is_owed());
    if let (Some(provider), None) = (owed, state.retry) {
        return Err(Violation::new("nobody who can be told is forgotten", provider.provider.clone()));
    }
    if state.retry.is_some() && (state.status == NotificationStatus::Done || state.wakes_order) {
        return Err(Violation::new("what waits is not done", format!("{state:?}")));
    }
    Ok(())
}

/// Whether an order's status says how notifying stands: once all is done, or something is amiss. `is_behind`: a step is still
/// to be told; `is_said`: the status says something of it already; `ended`: whether the order has ended.
pub fn is_said(status: &NotificationStatus, is_behind: bool, is_said: bool, ended: bool) -> bool {
    *status != NotificationStatus::Done || (!is_behind && (is_said || ended))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::Response;
    use crate::time::Millis;

    fn step(number: i64) -> Step {
        Step { number, phase: "Cooking".into(), at: Timestamp(5) }
    }

    /// A provider that was told of the first `notified` of two steps.
    fn provider(name: &str, notified: i64) -> NotificationView {
        NotificationView {
            provider: name.into(),
            steps: vec![step(0), step(1)],
            notified,
            since: Timestamp(0),
            needs_contact: false,
            has_contact: false,
            session: Some(Ok(())),
            permit: Some(Ok(())),
            response: None,
        }
    }

    fn waiting(name: &str, after: Option<Millis>) -> NotificationView {
        let response = Some(Response::Failed("time-out".into(), after));
        NotificationView { response, ..provider(name, 0) }
    }

    fn view(providers: Vec<NotificationView>) -> OrderNotificationView {
        OrderNotificationView { providers, refused: None, ended: false, deleting: false, says_pending: false }
    }

    fn decided(view: &OrderNotificationView) -> Decision {
        OrderNotificationMachine::step(view, Timestamp(0))
    }

    fn standing(view: &OrderNotificationView) -> Standing {
        let Next::Rest(rest) = decided(view) else { panic!("a rest for {view:?}") };
        rest.state
    }

    #[test]
    fn one_provider_comes_after_the_other_and_none_waits_for_another() {
        let sends = |view: &OrderNotificationView| {
            let Next::Act(Command::Send(name, step)) = decided(view) else { panic!("a message") };
            (name, step.number)
        };
        assert_eq!(sends(&view(vec![provider("a", 1), provider("b", 0)])), ("a".into(), 1));
        assert_eq!(sends(&view(vec![provider("a", 2), provider("b", 0)])), ("b".into(), 0));
        assert_eq!(sends(&view(vec![waiting("a", None), provider("b", 0)])), ("b".into(), 0));
    }

    #[test]
    fn what_was_answered_is_kept_in_mind_before_anything_else_is_sent() {
        let sent = NotificationView { response: Some(Response::Sent), ..provider("a", 0) };
        let Next::Act(Command::Advance(name, progress)) = decided(&view(vec![sent])) else {
            panic!("a step further");
        };
        assert_eq!((name.as_str(), progress.notified), ("a", 1));
    }

    #[test]
    fn without_a_provider_nothing_is_done_and_nothing_said() {
        assert_eq!(decided(&view(Vec::new())), Next::Wait(None));
    }

    #[test]
    fn the_soonest_retry_is_that_of_the_order_and_a_time_comes_before_back_off() {
        let retry = |of: &[Option<Millis>]| {
            standing(&view(of.iter().map(|after| waiting("a", *after)).collect())).retry
        };
        assert_eq!(retry(&[None, None]), Some(Retry::WithBackoff));
        assert_eq!(retry(&[None, Some(Millis(9))]), Some(Retry::After(Millis(9))));
        assert_eq!(retry(&[Some(Millis(9)), Some(Millis(3))]), Some(Retry::After(Millis(3))));
    }

    #[test]
    fn progress_is_written_for_its_own_sake_at_the_end_or_after_long() {
        let done = || view(vec![provider("a", 2)]);
        let write = |view: OrderNotificationView| standing(&view).write;
        assert_eq!(write(done()), WriteProgress::WithTheNextStatus);
        assert_eq!(write(OrderNotificationView { ended: true, ..done() }), WriteProgress::AtTheEnd);
        assert_eq!(write(OrderNotificationView { says_pending: true, ..done() }), WriteProgress::AtTheEnd);
        let waits = view(vec![provider("a", 2), waiting("b", None)]);
        let waits = OrderNotificationView { ended: true, ..waits };
        assert_eq!(write(waits), WriteProgress::WhenWaitingForLong);
    }

    #[test]
    fn a_deleted_order_is_woken_when_nobody_is_left_to_tell() {
        let wakes =
            |providers| standing(&OrderNotificationView { deleting: true, ..view(providers) }).wakes_order;
        assert!(wakes(vec![provider("a", 2)]));
        assert!(!wakes(vec![provider("a", 2), waiting("b", None)]));
        let nobody = NotificationView { needs_contact: true, ..provider("a", 0) };
        assert!(wakes(vec![nobody]), "who has left no number need not be told");
    }

    #[test]
    fn a_message_that_was_refused_is_not_forgotten_and_hides_nothing_worse() {
        let refused = |providers| OrderNotificationView { refused: Some("no".into()), ..view(providers) };
        assert_eq!(
            standing(&refused(vec![provider("a", 2)])).status,
            NotificationStatus::Refused("no".into())
        );
        let waits = standing(&refused(vec![waiting("a", None)])).status;
        assert!(matches!(waits, NotificationStatus::Waits(_)));
    }

    #[test]
    fn the_status_says_how_it_stands_once_all_is_done_or_amiss() {
        let done = |is_behind, said, ended| is_said(&NotificationStatus::Done, is_behind, said, ended);
        assert!(!done(false, false, false) && done(false, true, false) && done(false, false, true));
        assert!(!done(true, true, true));
        assert!(is_said(&NotificationStatus::NoContact, true, false, false));
    }

    #[test]
    fn a_decision_that_nobody_may_carry_out_is_found_at_its_source() {
        let broken = |view: &OrderNotificationView, next: &Decision| {
            OrderNotificationMachine::check(view, next).expect_err("a rule is broken").rule
        };
        let one = view(vec![provider("a", 1)]);
        let send = |name: &str, number| Next::Act(Command::Send(name.into(), step(number)));
        assert_eq!(broken(&one, &send("b", 1)), "only a provider that is there is notified");
        assert_eq!(broken(&one, &send("a", 0)), "no step is sent after a later one");
        let barred = view(vec![NotificationView { permit: None, ..provider("a", 1) }]);
        assert_eq!(broken(&barred, &send("a", 1)), "nothing is sent to nobody, or past the breaker");
        let rest = |retry, wakes_order| {
            let (status, write) = (NotificationStatus::Done, WriteProgress::WithTheNextStatus);
            let state = Standing { status, retry, write, wakes_order };
            Next::Rest(Rest { state, notes: Vec::new(), wake_at: None })
        };
        assert_eq!(broken(&one, &rest(None, false)), "nobody who can be told is forgotten");
        assert_eq!(broken(&one, &rest(Some(Retry::WithBackoff), false)), "what waits is not done");
    }
}
