//! The one place that time comes from: the monotonic clock, put right by the API server's.
//!
//! A clock that jumps neither fires a deadline nor holds one up. There are three witnesses of the time: what went by on the
//! monotonic clock since it was known, the machine's wall clock, and the answer of an API server, of which there may be several.
//! What two of them say is believed. A wall clock that jumps is outvoted, and so is an API server whose clock is wrong; and where
//! the monotonic clock stood still, as in a suspended machine, the other two put it right. At the start there is nothing that went
//! by: then two clocks that are far apart leave it in doubt what time it is, and nothing is to be decided.
//!
//! Bounds: two clocks that are wrong alike are believed. An API server whose clock runs fast or slow, and does not jump, is followed.

pub mod dates;
mod offset;

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fooddelivery_units::Timestamp;

use offset::{Bounds, Offset};

/// Maximum distance of the wall clock from the API server's; beyond it the replica is not ready.
pub const SKEW_MAX: Duration = Duration::from_secs(2);

/// Maximum distance of an answer, which names a second, from the time that went by, for it to need no other witness, in
/// milliseconds.
const STEP_MS_MAX: i64 = 2_000;

/// Maximum distance of the first answer from the wall clock for it to be believed, in milliseconds: less than anything that is waited
/// for where many wait.
const FIRST_STEP_MS_MAX: i64 = 60_000;

/// Maximum time that the clock stands still rather than go back: the resolution of a `Date` and some drift, in milliseconds.
const STANDSTILL_MS_MAX: i64 = 2_000;

/// Where a clock takes its time from. Milliseconds.
pub trait Source: Send + Sync {
    /// Since the Unix epoch, as the machine has it. May jump.
    fn wall_ms(&self) -> i64;
    /// Since some moment. Never jumps.
    fn monotonic_ms(&self) -> i64;
}

struct Machine(Instant);

impl Source for Machine {
    fn wall_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    fn monotonic_ms(&self) -> i64 {
        i64::try_from(self.0.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

struct Inner {
    /// What to add to the monotonic clock. It is changed only as far as the API server's answers demand, so that time
    /// does not tremble.
    offset_ms: i64,
    /// The latest time that was returned.
    returned_ms: i64,
    server: Offset,
    /// Whether an answer was ever believed.
    is_settled: bool,
    /// The last answer, if it was not believed.
    refused: Option<Bounds>,
}

impl Inner {
    /// Whether an answer agrees with one of the other two witnesses. `wall` is what the wall clock is ahead of the monotonic one.
    fn believes(&self, sample: Bounds, wall: i64) -> bool {
        let step_max = if self.is_settled { STEP_MS_MAX } else { FIRST_STEP_MS_MAX };
        sample.distance(self.offset_ms) <= step_max || sample.distance(wall) <= STEP_MS_MAX
    }

    fn take(&mut self, sample: Bounds, now: i64) {
        (self.is_settled, self.refused) = (true, None);
        self.server.add(sample, now);
        if let Some(Bounds { earliest, latest }) = self.server.bounds(now) {
            self.offset_ms = self.offset_ms.clamp(earliest, latest);
        }
    }
}

/// A clock that follows the API server's.
pub struct Clock {
    source: Box<dyn Source>,
    inner: Mutex<Inner>,
}

impl Clock {
    /// Starts from the wall clock.
    pub fn new(source: impl Source + 'static) -> Self {
        let offset_ms = source.wall_ms().saturating_sub(source.monotonic_ms());
        let inner = Mutex::new(Inner {
            offset_ms,
            returned_ms: i64::MIN,
            server: Offset::default(),
            is_settled: false,
            refused: None,
        });
        Self { source: Box::new(source), inner }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Now. It stands still rather than go back when the API server's time becomes better known; only a clock that was
    /// set back in earnest is followed.
    pub fn now(&self) -> Timestamp {
        let mut inner = self.lock();
        let now = self.source.monotonic_ms().saturating_add(inner.offset_ms);
        let ahead = inner.returned_ms.saturating_sub(now);
        if !(0..=STANDSTILL_MS_MAX).contains(&ahead) {
            inner.returned_ms = now;
        }
        Timestamp(inner.returned_ms)
    }

    /// How long it is until `at`; zero when it has passed.
    pub fn until(&self, at: Timestamp) -> Duration {
        let ms = at.0.saturating_sub(self.now().0).max(0);
        Duration::from_millis(u64::try_from(ms).unwrap_or(0))
    }

    /// A reading for [`Self::heard`], taken before a request is sent.
    fn reading(&self) -> i64 {
        self.source.monotonic_ms()
    }

    /// The API server's clock showed the second that begins at `date_ms`, at some moment between `sent_at` and now. It is
    /// believed if the time that went by, or the wall clock, says the same.
    fn heard(&self, date_ms: i64, sent_at: i64) {
        let now = self.source.monotonic_ms();
        let sample =
            Bounds { earliest: date_ms.saturating_sub(now), latest: date_ms.saturating_add(999) - sent_at };
        let wall = self.source.wall_ms().saturating_sub(now);
        let mut inner = self.lock();
        if inner.believes(sample, wall) {
            inner.take(sample, now);
        } else {
            inner.refused = Some(sample);
        }
    }

    /// Whether it is open what time it is: no answer was believed yet, and one was not. The wall clock may have been put right
    /// since that one.
    pub fn is_in_doubt(&self) -> bool {
        let (wall, now) = (self.source.wall_ms(), self.source.monotonic_ms());
        let mut inner = self.lock();
        let Some(sample) = inner.refused.filter(|_| !inner.is_settled) else { return false };
        let wall = wall.saturating_sub(now);
        if sample.distance(wall) > FIRST_STEP_MS_MAX {
            return true;
        }
        // As a start: nothing was decided by the time of before.
        inner.offset_ms = wall;
        inner.take(sample, now);
        false
    }

    /// By how much the machine's wall clock is certainly ahead of the API server's, or behind it (negative), in
    /// milliseconds; by its last answer, if that was not believed. Zero also while it is not known: a second is the finest that
    /// the API server tells.
    pub fn skew_ms(&self) -> i64 {
        let (wall, now) = (self.source.wall_ms(), self.source.monotonic_ms());
        let inner = self.lock();
        let Some(Bounds { earliest, latest }) = inner.refused.or_else(|| inner.server.bounds(now)) else {
            return 0;
        };
        let ours = wall.saturating_sub(now);
        ours.saturating_sub(ours.clamp(earliest, latest))
    }

    /// Why this replica is not ready, as a sentence, while its wall clock is too far from the API server's.
    pub fn skew_failure(&self) -> Option<String> {
        let skew_ms = self.skew_ms();
        let skew = Duration::from_millis(skew_ms.unsigned_abs());
        (skew > SKEW_MAX).then(|| {
            let side = if skew_ms > 0 { "ahead of" } else { "behind" };
            format!(
                "the machine's clock is {:.1} s {side} the API server's; at most {} s are tolerated",
                skew.as_secs_f64(),
                SKEW_MAX.as_secs()
            )
        })
    }
}

static PROCESS: LazyLock<Arc<Clock>> = LazyLock::new(|| Arc::new(Clock::new(Machine(Instant::now()))));

/// The clock of this process. Only `main` asks for it: everything else is handed its clock.
pub fn process() -> &'static Arc<Clock> {
    &PROCESS
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI64, Ordering};

    const HOUR: i64 = 3_600_000;
    /// The API server's time when the monotonic clock shows zero.
    const START: i64 = 1_700_000_000_250;

    /// A machine whose two clocks are set by hand.
    #[derive(Clone, Default)]
    struct Hands(Arc<[AtomicI64; 2]>);

    impl Hands {
        fn pass(&self, ms: i64) {
            self.0[0].fetch_add(ms, Ordering::SeqCst);
            self.0[1].fetch_add(ms, Ordering::SeqCst);
        }

        fn jump(&self, ms: i64) {
            self.0[0].fetch_add(ms, Ordering::SeqCst);
        }
    }

    impl Source for Hands {
        fn wall_ms(&self) -> i64 {
            self.0[0].load(Ordering::SeqCst)
        }

        fn monotonic_ms(&self) -> i64 {
            self.0[1].load(Ordering::SeqCst)
        }
    }

    /// A clock on a machine that is `skew` ahead of the API server.
    fn machine(skew: i64) -> (Clock, Hands) {
        let hands = Hands::default();
        hands.jump(START + skew);
        (Clock::new(hands.clone()), hands)
    }

    /// The API server answers a request that takes 20 ms, after 10 ms of them; its clock is `ahead` of true time.
    fn ask(clock: &Clock, hands: &Hands, ahead: i64) {
        let sent = clock.reading();
        hands.pass(10);
        let server = START + ahead + hands.monotonic_ms();
        hands.pass(10);
        clock.heard(server - server.rem_euclid(1_000), sent);
    }

    /// A number of answers over some time, at moments that have nothing to do with full seconds.
    fn listen(clock: &Clock, hands: &Hands, answers: usize) {
        for _ in 0..answers {
            hands.pass(1_370);
            ask(clock, hands, 0);
        }
    }

    fn error(clock: &Clock, hands: &Hands) -> i64 {
        (clock.now().0 - START - hands.monotonic_ms()).abs()
    }

    #[test]
    fn a_wall_clock_that_jumps_an_hour_changes_nothing_but_the_readiness() {
        for jump in [HOUR, -HOUR] {
            let (clock, hands) = machine(0);
            listen(&clock, &hands, 5);
            let before = clock.now();
            assert_eq!(clock.skew_failure(), None);
            hands.jump(jump);
            assert_eq!(clock.now(), before);
            listen(&clock, &hands, 20);
            assert!(error(&clock, &hands) < 1_000);
            assert!((clock.skew_ms() - jump).abs() < 1_000, "{}", clock.skew_ms());
            let side = if jump > 0 { "ahead of" } else { "behind" };
            assert!(
                clock.skew_failure().is_some_and(|failure| failure.contains(side)),
                "{:?}",
                clock.skew_failure()
            );
            hands.jump(-jump);
            assert_eq!(clock.skew_failure(), None, "ready again as soon as it is right again");
        }
    }

    #[test]
    fn a_skew_of_five_seconds_is_put_right_by_the_first_answer_and_reported() {
        for skew in [5_000, -5_000] {
            let (clock, hands) = machine(skew);
            assert_eq!((clock.skew_ms(), clock.skew_failure()), (0, None), "nothing is known yet");
            ask(&clock, &hands, 0);
            assert!(error(&clock, &hands) <= 1_020, "{}", error(&clock, &hands));
            assert!(clock.skew_failure().is_some());
            listen(&clock, &hands, 30);
            assert!(error(&clock, &hands) < 100, "answers narrow it down: {}", error(&clock, &hands));
            assert!((clock.skew_ms() - skew).abs() < 100, "{}", clock.skew_ms());
        }
    }

    #[test]
    fn time_does_not_go_back_when_it_becomes_better_known() {
        let (clock, hands) = machine(5_000);
        ask(&clock, &hands, 0);
        let mut before = clock.now();
        for _ in 0..200 {
            hands.pass(137);
            ask(&clock, &hands, 0);
            let now = clock.now();
            assert!(now >= before, "{now:?} after {before:?}");
            before = now;
        }
        assert!(error(&clock, &hands) < 50, "{}", error(&clock, &hands));
    }

    #[test]
    fn a_skew_below_the_limit_is_put_right_and_harms_nobody() {
        let (clock, hands) = machine(1_500);
        listen(&clock, &hands, 30);
        assert!(error(&clock, &hands) < 100);
        assert_eq!(clock.skew_failure(), None);
    }

    #[test]
    fn a_machine_that_drifts_is_followed() {
        // A second in twenty minutes, over three hours: far more than any machine does.
        let (clock, hands) = machine(0);
        let mut drifted = 0;
        for _ in 0..(3 * 60) {
            for _ in 0..6 {
                hands.pass(9_630);
                ask(&clock, &hands, drifted);
            }
            drifted += 50;
        }
        let server = START + drifted + hands.monotonic_ms();
        assert!((clock.now().0 - server).abs() < 600, "{}", clock.now().0 - server);
        assert!((clock.skew_ms() + drifted).abs() < 600, "{}", clock.skew_ms());
    }

    #[test]
    fn one_server_of_several_whose_clock_is_wrong_is_outvoted_and_reported() {
        for wrong in [HOUR, -HOUR, 5_000, -5_000] {
            let (clock, hands) = machine(0);
            listen(&clock, &hands, 10);
            for _ in 0..10 {
                hands.pass(1_370);
                ask(&clock, &hands, wrong);
                assert!(error(&clock, &hands) < 1_000, "{wrong}");
                assert!(clock.skew_failure().is_some(), "{wrong}: it answered last");
                hands.pass(1_370);
                ask(&clock, &hands, 0);
                assert!(error(&clock, &hands) < 1_000, "{wrong}");
                assert_eq!(clock.skew_failure(), None, "{wrong}");
            }
        }
    }

    #[test]
    fn an_only_server_whose_clock_jumps_passes_no_time_however_often_it_says_so() {
        let (clock, hands) = machine(0);
        listen(&clock, &hands, 10);
        for _ in 0..1_000 {
            hands.pass(1_370);
            ask(&clock, &hands, HOUR);
        }
        assert!(error(&clock, &hands) < 1_000, "{}", error(&clock, &hands));
        assert!((clock.skew_ms() + HOUR).abs() < 1_000, "{}", clock.skew_ms());
        // The machine's clock says so, too: the time was set everywhere.
        hands.jump(HOUR);
        ask(&clock, &hands, HOUR);
        let server = START + HOUR + hands.monotonic_ms();
        assert!((clock.now().0 - server).abs() < 1_100);
        assert_eq!(clock.skew_failure(), None);
    }

    #[test]
    fn a_machine_that_was_suspended_is_put_right_by_the_other_two() {
        let (clock, hands) = machine(0);
        listen(&clock, &hands, 10);
        // The monotonic clock stands still meanwhile.
        hands.jump(HOUR);
        hands.pass(1_370);
        ask(&clock, &hands, HOUR);
        assert!((clock.now().0 - START - HOUR - hands.monotonic_ms()).abs() < 1_100);
        assert_eq!(clock.skew_failure(), None);
    }

    #[test]
    fn at_the_start_two_clocks_that_are_far_apart_leave_it_in_doubt_what_time_it_is() {
        for skew in [HOUR, -HOUR] {
            let (clock, hands) = machine(skew);
            assert!(!clock.is_in_doubt(), "nobody says otherwise");
            ask(&clock, &hands, 0);
            assert!(clock.is_in_doubt());
            listen(&clock, &hands, 10);
            assert!(clock.is_in_doubt(), "however often");
            assert!((clock.skew_ms() - skew).abs() < 1_000, "{}", clock.skew_ms());
            hands.jump(-skew);
            assert!(!clock.is_in_doubt(), "the machine was wrong, and was put right");
            assert!(error(&clock, &hands) <= 1_100, "{}", error(&clock, &hands));
            assert_eq!(clock.skew_failure(), None);
        }
        let (clock, hands) = machine(0);
        ask(&clock, &hands, HOUR);
        assert!(clock.is_in_doubt());
        ask(&clock, &hands, 0);
        assert!(!clock.is_in_doubt(), "one API server was wrong, and another one answered");
        ask(&clock, &hands, HOUR);
        assert!(!clock.is_in_doubt(), "and is outvoted from then on");
    }

    #[test]
    fn a_slow_answer_says_little_and_harms_nothing() {
        let (clock, hands) = machine(0);
        listen(&clock, &hands, 20);
        let sent = clock.reading();
        let server = START + hands.monotonic_ms();
        hands.pass(60_000);
        clock.heard(server - server.rem_euclid(1_000), sent);
        assert!(error(&clock, &hands) < 300, "{}", error(&clock, &hands));
    }
}
