//! What the machines of `saga` say about messages: asked in the shape of the small model of notifications, where a step is a
//! number and a time is a number of moves. Nothing is decided here.

use std::cell::RefCell;
use std::collections::HashMap;

use fooddelivery_saga::machine::{Next, StateMachine};
use fooddelivery_saga::notification::{
    Command, NotificationMachine, NotificationView, Response, Step, steps,
};
use fooddelivery_saga::order::OrderState;
use fooddelivery_saga::order_notification::{OrderNotificationMachine, OrderNotificationView, WriteProgress};
use fooddelivery_saga::phases::OrderPhase;
use fooddelivery_saga::time::Timestamp;

/// The phases that the order moves to before it is cancelled, which is two steps at once.
const PATH: &[OrderPhase] = &[OrderPhase::AwaitingStore, OrderPhase::Accepted];

/// Maximum number of providers.
pub(crate) const PROVIDERS_MAX: usize = 2;

/// Outcome of sending a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It arrives, and is answered.
    Answered,
    /// It does not arrive, or only later, or its answer is lost.
    Lost,
}

/// What a machine of `saga` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decided {
    /// There is nothing to do now.
    Rest,
    /// A rule would be broken.
    Halt,
    /// This step is sent.
    Send(u8),
    /// So many steps, from the first on, are behind the order.
    Told(u8),
    /// The progress is written.
    Write,
}

/// The end of the order, the copy of it, the steps that a provider was told of, when it came, and what came of sending.
type Asked = (u8, u8, u8, u8, Option<Fate>);
/// The end of the order, the copy of it, and for each provider the steps that it was told of and when it came.
type AskedOfAll = (u8, u8, [(u8, Option<u8>); PROVIDERS_MAX]);

thread_local! {
    /// Machines are pure: what they said of a view once, they say again.
    static KNOWN: RefCell<HashMap<Asked, Decided>> = RefCell::new(HashMap::new());
    static KNOWN_OF_ALL: RefCell<HashMap<AskedOfAll, Decided>> = RefCell::new(HashMap::new());
}

/// The decisions about messages of one order.
#[derive(Debug, Clone)]
pub(crate) struct Decisions {
    /// After how many moves it has ended.
    end: u8,
    /// The steps that are known after each number of moves, from 0 on.
    known: Vec<Vec<Step>>,
}

/// The time of a move.
pub(crate) fn at(moves: u8) -> Timestamp {
    Timestamp(i64::from(moves))
}

impl Decisions {
    /// Of an order that has ended after `end` moves.
    pub(crate) fn new(end: u8) -> Self {
        let mut state = OrderState::default();
        let mut known = vec![steps(&state, at(0))];
        let last = usize::from(end);
        for (moves, phase) in (1..).zip(PATH.iter().take(last.saturating_sub(1))) {
            let moved = state.move_to(*phase, at(moves), at(0));
            debug_assert!(moved.is_ok(), "{moved:?}");
            known.push(steps(&state, at(0)));
        }
        let moved = state.move_to(OrderPhase::Cancelled, at(end), at(0));
        debug_assert!(moved.is_ok(), "{moved:?}");
        known.push(steps(&state, at(0)));
        Self { end, known }
    }

    /// All steps of the order after so many moves.
    pub(crate) fn steps(&self, moves: u8) -> &[Step] {
        self.known.get(usize::from(moves)).map_or(&[], Vec::as_slice)
    }

    fn view(&self, moves: u8, told: u8, came: u8, fate: Option<Fate>) -> NotificationView {
        let response = |fate| match fate {
            Fate::Answered => Response::Sent,
            Fate::Lost => Response::Failed("no answer".into(), None),
        };
        NotificationView {
            provider: format!("since {came}"),
            steps: self.steps(moves).to_vec(),
            notified: told.into(),
            since: at(came),
            needs_contact: false,
            has_contact: false,
            session: Some(Ok(())),
            permit: Some(Ok(())),
            response: fate.map(response),
        }
    }

    /// What is to be done for a provider that came after `came` moves and was told of `told` steps.
    pub(crate) fn decided(&self, moves: u8, told: u8, came: u8, fate: Option<Fate>) -> Decided {
        let number = |n: i64| u8::try_from(n).unwrap_or(u8::MAX);
        let ask = || match NotificationMachine::step(&self.view(moves, told, came, fate), at(0)) {
            Next::Act(Command::Send(step)) => Decided::Send(number(step.number)),
            Next::Write(progress) => Decided::Told(number(progress.notified)),
            Next::Halt(_) => Decided::Halt,
            Next::Act(Command::Open | Command::Acquire)
            | Next::Skip
            | Next::Rest(_)
            | Next::Wait(_)
            | Next::Retry(_) => Decided::Rest,
        };
        let asked = (self.end, moves, told, came, fate);
        KNOWN.with_borrow_mut(|known| *known.entry(asked).or_insert_with(ask))
    }

    /// Whether the progress is written for its own sake, when what is still to be told has met no answer.
    pub(crate) fn decided_of_all(&self, moves: u8, providers: [(u8, Option<u8>); PROVIDERS_MAX]) -> Decided {
        let view = |(told, came): (u8, Option<u8>)| {
            let view = self.view(moves, told, came?, None);
            let waits = view.is_owed().then(|| Response::Failed("no answer".into(), None));
            Some(NotificationView { response: waits, ..view })
        };
        let ask = || {
            let providers = providers.into_iter().filter_map(view).collect();
            let (ended, deleting) = (moves == self.end, false);
            let view =
                OrderNotificationView { providers, refused: None, ended, deleting, says_pending: false };
            match OrderNotificationMachine::step(&view, at(0)) {
                Next::Rest(rest) if rest.state.write != WriteProgress::WithTheNextStatus => Decided::Write,
                Next::Halt(_) => Decided::Halt,
                Next::Rest(_)
                | Next::Act(_)
                | Next::Skip
                | Next::Write(_)
                | Next::Wait(_)
                | Next::Retry(_) => Decided::Rest,
            }
        };
        let asked = (self.end, moves, providers);
        KNOWN_OF_ALL.with_borrow_mut(|known| *known.entry(asked).or_insert_with(ask))
    }
}
