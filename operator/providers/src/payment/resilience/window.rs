//! A mirror of the breaker's sliding window, readable at any time, also when a transition has just cleared it.
//!
//! The library counts behind a lock that its own listeners cannot take, and forgets at each transition. It calls its
//! listeners for every score and every transition while it holds that lock, so this mirror sees the same, in the same
//! order. Pure: times are handed in.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::circuit::{Circuit, Rates};

#[derive(Debug, Clone, Copy)]
struct Score {
    at: Instant,
    failed: bool,
    slow: bool,
}

/// The scores in the window, and where the circuit stands.
#[derive(Debug)]
pub(super) struct CallWindow {
    window: Duration,
    trials: usize,
    circuit: Circuit,
    scores: VecDeque<Score>,
    /// How many calls succeeded since the last change, in the window or not.
    successes: usize,
    /// The call that is scored next was slow.
    slow: bool,
}

impl CallWindow {
    pub(super) fn new(window: Duration, trials: usize) -> Self {
        let (circuit, scores) = (Circuit::Closed, VecDeque::new());
        Self { window, trials, circuit, scores, successes: 0, slow: false }
    }

    /// The call that is scored next was slow; the library says so before it scores it.
    pub(super) fn slow(&mut self) {
        self.slow = true;
    }

    pub(super) fn score(&mut self, at: Instant, failed: bool) {
        self.forget(at);
        let slow = std::mem::take(&mut self.slow);
        self.scores.push_back(Score { at, failed, slow });
        self.successes += usize::from(!failed);
    }

    /// Notes a change and gives the rates that led to it.
    pub(super) fn change(&mut self, at: Instant, to: Circuit) -> (Circuit, Rates) {
        let rates = self.rates(at);
        self.scores.clear();
        self.successes = 0;
        (std::mem::replace(&mut self.circuit, to), rates)
    }

    /// Where the circuit stands as the next call will find it.
    pub(super) fn circuit(&self, now: Instant) -> Circuit {
        match self.circuit {
            Circuit::Open { until } if until <= now => Circuit::HalfOpen,
            circuit => circuit,
        }
    }

    pub(super) fn rates(&mut self, now: Instant) -> Rates {
        self.forget(now);
        let part = |count: usize| {
            #[expect(clippy::cast_precision_loss, reason = "2^52 calls do not fit in the memory")]
            if count == 0 { 0.0 } else { count as f64 / self.scores.len() as f64 }
        };
        Rates {
            failed: part(self.scores.iter().filter(|score| score.failed).count()),
            slow: part(self.scores.iter().filter(|score| score.slow).count()),
        }
    }

    /// Whether the circuit is half-open although all of its trials succeeded. The library lets no more trials
    /// through then, and closes only on as many successes *within the window*: where the trials came further apart,
    /// it would stay like this for ever.
    pub(super) fn is_stuck(&self) -> bool {
        self.circuit == Circuit::HalfOpen && self.successes >= self.trials
    }

    fn forget(&mut self, now: Instant) {
        let window = self.window;
        let old = |score: &Score| now.saturating_duration_since(score.at) > window;
        while self.scores.front().is_some_and(old) {
            self.scores.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn rates_are_of_the_calls_in_the_window_and_a_change_gives_them_and_starts_anew() {
        let start = Instant::now();
        let mut window = CallWindow::new(10 * SECOND, 1);
        assert_eq!(window.rates(start), Rates::default());
        for (second, failed, slow) in [(0, true, true), (1, false, true), (9, true, false), (9, false, false)]
        {
            if slow {
                window.slow();
            }
            window.score(start + second * SECOND, failed);
        }
        assert_eq!(window.rates(start + 9 * SECOND), Rates { failed: 0.5, slow: 0.5 });
        let later = start + 12 * SECOND;
        assert_eq!(window.rates(later), Rates { failed: 0.5, slow: 0.0 });
        let (from, rates) = window.change(later, Circuit::HalfOpen);
        assert_eq!((from, rates), (Circuit::Closed, Rates { failed: 0.5, slow: 0.0 }));
        assert_eq!(window.rates(later), Rates::default());
    }

    #[test]
    fn an_open_circuit_counts_as_half_open_once_its_time_is_over() {
        let start = Instant::now();
        let until = start + SECOND;
        let mut window = CallWindow::new(SECOND, 1);
        window.change(start, Circuit::Open { until });
        assert_eq!(window.circuit(start), Circuit::Open { until });
        assert_eq!(window.circuit(until), Circuit::HalfOpen);
    }

    #[test]
    fn a_half_open_circuit_is_stuck_when_all_of_its_trials_succeeded_however_long_ago() {
        let start = Instant::now();
        let mut window = CallWindow::new(SECOND, 2);
        window.score(start, false);
        window.score(start, false);
        assert!(!window.is_stuck(), "closed");
        window.change(start, Circuit::HalfOpen);
        window.score(start, false);
        assert!(!window.is_stuck(), "one more to come");
        window.score(start + 2 * SECOND, false);
        assert!(window.is_stuck());
    }
}
