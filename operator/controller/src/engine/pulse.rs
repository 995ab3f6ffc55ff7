//! Whether the loops of this process turn: those of the watches and of the controllers. For the liveness probe, which must
//! ask about nothing else: a loop that waits for an API server is well.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A turn of a loop takes microseconds. One that takes so long does not come to its end.
const STUCK_AFTER: Duration = Duration::from_secs(15);

const RUNNING: u8 = 0;
const FAILED: u8 = 1;
const STOPPED: u8 = 2;

struct State {
    name: String,
    /// Since when the turn goes on that is under way, in milliseconds from the start, plus 1; 0: none is.
    busy_since: AtomicU64,
    end: AtomicU8,
}

/// The loops of this process.
pub struct Pulses {
    started: Instant,
    loops: Mutex<Vec<Arc<State>>>,
    /// For trying out what a liveness probe does: every loop stands still with its next turn.
    jammed: AtomicBool,
}

impl Default for Pulses {
    fn default() -> Self {
        Self { started: Instant::now(), loops: Mutex::default(), jammed: AtomicBool::new(false) }
    }
}

impl Pulses {
    fn loops(&self) -> MutexGuard<'_, Vec<Arc<State>>> {
        self.loops.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }

    /// A loop begins. It holds its pulse until it ends.
    pub fn begin(self: &Arc<Self>, name: String) -> Pulse {
        let state = Arc::new(State { name, busy_since: AtomicU64::new(0), end: AtomicU8::new(RUNNING) });
        self.loops().push(state.clone());
        Pulse { all: self.clone(), state }
    }

    /// What is wrong with the loops, as a sentence; `None` when they turn.
    pub fn complaint(&self) -> Option<String> {
        let now = self.now_ms();
        self.loops().iter().find_map(|state| {
            if state.end.load(Ordering::SeqCst) == FAILED {
                return Some(format!("the loop of {} has ended", state.name));
            }
            let busy_since = state.busy_since.load(Ordering::SeqCst).checked_sub(1)?;
            let busy = Duration::from_millis(now.saturating_sub(busy_since));
            (busy > STUCK_AFTER)
                .then(|| format!("the loop of {} has been stuck for {} s", state.name, busy.as_secs()))
        })
    }

    /// Every loop stands still with its next turn.
    pub fn jam(&self) {
        self.jammed.store(true, Ordering::SeqCst);
    }
}

/// That one loop turns. Dropped without [`Self::stop`], as when the loop panics, it says that the loop has failed.
pub struct Pulse {
    all: Arc<Pulses>,
    state: Arc<State>,
}

impl Pulse {
    /// One turn, which waits for nothing.
    pub fn turn<T>(&self, work: impl FnOnce() -> T) -> T {
        self.state.busy_since.store(self.all.now_ms() + 1, Ordering::SeqCst);
        let result = work();
        self.state.busy_since.store(0, Ordering::SeqCst);
        result
    }

    /// Never returns when the loops are to stand still.
    pub async fn jam_point(&self) {
        if self.all.jammed.load(Ordering::SeqCst) {
            self.state.busy_since.store(self.all.now_ms() + 1, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }
    }

    /// The loop was told to stop, and has.
    pub fn stop(self) {
        self.state.end.store(STOPPED, Ordering::SeqCst);
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        let _ = self.state.end.compare_exchange(RUNNING, FAILED, Ordering::SeqCst, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_waits_is_well_and_one_that_is_stuck_in_a_turn_is_not() {
        let pulses = Arc::new(Pulses::default());
        let pulse = pulses.begin("orders".into());
        tokio::time::advance(Duration::from_hours(1)).await;
        assert_eq!(pulses.complaint(), None);
        pulse.turn(|| ());
        pulse.jam_point().await;
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(pulses.complaint(), None);
        pulses.jam();
        let stuck = tokio::spawn(async move { pulse.jam_point().await });
        tokio::time::sleep(Duration::from_secs(15)).await;
        assert_eq!(pulses.complaint(), None, "it may be a slow one");
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(pulses.complaint().unwrap(), "the loop of orders has been stuck for 17 s");
        stuck.abort();
    }

    #[test]
    fn a_loop_that_ends_without_being_told_to_is_missed() {
        let pulses = Arc::new(Pulses::default());
        pulses.begin("orders".into()).stop();
        assert_eq!(pulses.complaint(), None);
        drop(pulses.begin("stores".into()));
        assert_eq!(pulses.complaint().unwrap(), "the loop of stores has ended");
    }
}
