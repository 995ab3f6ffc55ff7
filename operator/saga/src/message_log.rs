//! A customer's log of messages: what was sent of their orders, for them to read. It keeps the latest, also of orders that
//! are gone.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use crate::machine::{Next, Rest, StateMachine, Violation};
use crate::time::Timestamp;

/// Maximum number of messages in a log, as the schema has it.
pub const MESSAGES_MAX: usize = 50;

/// A message that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id, which ends in the number of the step that it reports: see [`crate::notification::id`].
    pub id: String,
    /// The order's name.
    pub order: String,
    /// The phase that it reports.
    pub phase: String,
    /// When the order entered that phase.
    pub at: Timestamp,
}

impl Message {
    /// The number of the step that it reports.
    fn step(&self) -> i64 {
        self.id.rsplit('-').next().and_then(|step| step.parse().ok()).unwrap_or(0)
    }
}

/// All that a decision about a log depends on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MessageLogView {
    /// What stands in the log.
    pub logged: Vec<Message>,
    /// What is known to have been sent, in any order; messages may be among them twice, and may stand in the log.
    pub sent: Vec<Message>,
}

/// The decisions about a customer's log. They command nothing, and depend on no time.
#[derive(Debug, Clone, Copy)]
pub struct MessageLogMachine;

impl StateMachine for MessageLogMachine {
    type View = MessageLogView;
    type Command = Infallible;
    type Status = Vec<Message>;

    fn decide(view: &MessageLogView, _: Timestamp) -> Next<Infallible, Vec<Message>> {
        Next::Rest(Rest { state: merged(view), notes: Vec::new(), wake_at: None })
    }

    fn check(view: &MessageLogView, next: &Next<Infallible, Vec<Message>>) -> Result<(), Violation> {
        let Next::Rest(Rest { state, .. }) = next else { return Ok(()) };
        let ids: BTreeSet<&str> = state.iter().map(|message| message.id.as_str()).collect();
        if state.len() > MESSAGES_MAX || ids.len() < state.len() {
            let detail = format!("{} messages, {} of them different", state.len(), ids.len());
            return Err(Violation::new("a log is bounded, and has each message once", detail));
        }
        let known = view.logged.iter().chain(&view.sent).map(|message| message.id.as_str());
        match ids.difference(&known.collect()).next() {
            Some(unknown) => Err(Violation::new("only what was sent is logged", *unknown)),
            None => Ok(()),
        }
    }
}

/// The log with what was sent: each message once, the latest kept.
fn merged(view: &MessageLogView) -> Vec<Message> {
    let all: BTreeMap<&str, &Message> =
        view.logged.iter().chain(&view.sent).map(|message| (message.id.as_str(), message)).collect();
    let mut all: Vec<Message> = all.into_values().cloned().collect();
    all.sort_by(|a, b| (a.at, &a.order, a.step()).cmp(&(b.at, &b.order, b.step())));
    let surplus = all.len().saturating_sub(MESSAGES_MAX);
    all.drain(..surplus);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(order: &str, step: i64, at: i64) -> Message {
        Message {
            id: format!("uid-{order}-{step}"),
            order: order.into(),
            phase: "Cooking".into(),
            at: Timestamp(at),
        }
    }

    fn log(logged: Vec<Message>, sent: Vec<Message>) -> Vec<Message> {
        let view = MessageLogView { logged, sent };
        let Next::Rest(rest) = MessageLogMachine::step(&view, Timestamp(0)) else { panic!("a log") };
        rest.state
    }

    #[test]
    fn a_message_stands_in_the_log_once_and_in_order() {
        let known = vec![message("a", 0, 1), message("a", 1, 5)];
        let sent = vec![message("a", 10, 5), message("a", 9, 5), message("a", 1, 5), message("b", 0, 3)];
        let ids: Vec<String> = log(known, sent).into_iter().map(|m| m.id).collect();
        assert_eq!(ids, ["uid-a-0", "uid-b-0", "uid-a-1", "uid-a-9", "uid-a-10"]);
    }

    #[test]
    fn the_log_is_bounded_and_keeps_the_latest() {
        let log = log(Vec::new(), (0..200).map(|n| message("a", n, n)).collect());
        assert_eq!(
            (log.len(), log[0].at, log[MESSAGES_MAX - 1].at),
            (MESSAGES_MAX, Timestamp(150), Timestamp(199))
        );
    }

    #[test]
    fn a_log_that_nobody_may_have_is_found_at_its_source() {
        let view = MessageLogView { logged: Vec::new(), sent: vec![message("a", 0, 1)] };
        let broken = |state: Vec<Message>| {
            let next = Next::Rest(Rest { state, notes: Vec::new(), wake_at: None });
            MessageLogMachine::check(&view, &next).expect_err("a rule is broken").rule
        };
        let twice = vec![message("a", 0, 1), message("a", 0, 1)];
        assert_eq!(broken(twice), "a log is bounded, and has each message once");
        assert_eq!(broken(vec![message("b", 0, 1)]), "only what was sent is logged");
    }
}
