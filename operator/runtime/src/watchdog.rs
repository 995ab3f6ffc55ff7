//! Whether the loops of this process make progress: those of the watches and of the controllers. For the liveness probe,
//! which must ask about nothing else: a loop that waits for an API server is well.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// An iteration takes microseconds; one that takes longer than this is taken for stuck.
const STUCK_AFTER: Duration = Duration::from_secs(15);

const RUNNING: u8 = 0;
const FAILED: u8 = 1;
const STOPPED: u8 = 2;

struct State {
    name: String,
    /// Start of the iteration that is under way, in milliseconds from the start of the process, plus 1; 0: none is.
    busy_since: AtomicU64,
    end: AtomicU8,
}

/// The loops of this process.
pub struct LoopWatchdogs {
    started: Instant,
    loops: Mutex<Vec<Arc<State>>>,
    /// For trying out the liveness probe: every loop stands still with its next iteration.
    stalled: AtomicBool,
}

impl Default for LoopWatchdogs {
    fn default() -> Self {
        Self { started: Instant::now(), loops: Mutex::default(), stalled: AtomicBool::new(false) }
    }
}

impl LoopWatchdogs {
    fn loops(&self) -> MutexGuard<'_, Vec<Arc<State>>> {
        self.loops.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }

    /// Registers a loop, which holds its watchdog until it ends.
    pub fn register(self: &Arc<Self>, name: String) -> LoopWatchdog {
        let state = Arc::new(State { name, busy_since: AtomicU64::new(0), end: AtomicU8::new(RUNNING) });
        self.loops().push(state.clone());
        LoopWatchdog { all: self.clone(), state }
    }

    /// Why the loops make no progress, as a sentence; `None` when they do.
    pub fn liveness_failure(&self) -> Option<String> {
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

    /// Has every loop stand still with its next iteration.
    pub fn stall(&self) {
        self.stalled.store(true, Ordering::SeqCst);
    }
}

/// The watchdog of one loop. Dropped without [`Self::stop`], as when the loop panics, it says that the loop has failed.
pub struct LoopWatchdog {
    all: Arc<LoopWatchdogs>,
    state: Arc<State>,
}

impl LoopWatchdog {
    /// One iteration, which awaits nothing.
    pub fn iteration<T>(&self, work: impl FnOnce() -> T) -> T {
        self.state.busy_since.store(self.all.now_ms() + 1, Ordering::SeqCst);
        let result = work();
        self.state.busy_since.store(0, Ordering::SeqCst);
        result
    }

    /// Never returns when the loops are to stand still.
    pub async fn stall_point(&self) {
        if self.all.stalled.load(Ordering::SeqCst) {
            self.state.busy_since.store(self.all.now_ms() + 1, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }
    }

    /// The loop was told to stop, and has.
    pub fn stop(self) {
        self.state.end.store(STOPPED, Ordering::SeqCst);
    }
}

impl Drop for LoopWatchdog {
    fn drop(&mut self) {
        let _ = self.state.end.compare_exchange(RUNNING, FAILED, Ordering::SeqCst, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_waits_is_well_and_one_that_is_stuck_in_an_iteration_is_not() {
        let watchdogs = Arc::new(LoopWatchdogs::default());
        let watchdog = watchdogs.register("alpha".into());
        tokio::time::advance(Duration::from_hours(1)).await;
        assert_eq!(watchdogs.liveness_failure(), None);
        watchdog.iteration(|| ());
        watchdog.stall_point().await;
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(watchdogs.liveness_failure(), None);
        watchdogs.stall();
        let stuck = tokio::spawn(async move { watchdog.stall_point().await });
        tokio::time::sleep(Duration::from_secs(15)).await;
        assert_eq!(watchdogs.liveness_failure(), None, "it may be a slow one");
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(watchdogs.liveness_failure().unwrap(), "the loop of alpha has been stuck for 17 s");
        stuck.abort();
    }

    #[test]
    fn a_loop_that_ends_without_being_told_to_is_missed() {
        let watchdogs = Arc::new(LoopWatchdogs::default());
        watchdogs.register("alpha".into()).stop();
        assert_eq!(watchdogs.liveness_failure(), None);
        drop(watchdogs.register("beta".into()));
        assert_eq!(watchdogs.liveness_failure().unwrap(), "the loop of beta has ended");
    }
}
