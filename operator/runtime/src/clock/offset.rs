//! How far the API server's clock is from the monotonic one: bounds from its answers, narrowed by each.
//!
//! An answer carries a full second only, and was written at some moment between the request and its arrival; but at
//! every moment within that second the truth lies within bounds, and the bounds of many answers leave little room.

use std::collections::VecDeque;

/// Length of the span whose answers are taken together, in milliseconds.
const SLICE_MS: i64 = 30_000;
/// Maximum number of slices that are kept: five minutes.
const SLICES_MAX: usize = 10;
/// Two clocks that are both being slewed part by at most one millisecond in this many.
const DRIFT_DIVISOR: i64 = 1_000;

/// What to add to the monotonic clock to get the API server's: at least and at most, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) earliest: i64,
    pub(super) latest: i64,
}

impl Bounds {
    fn narrowed(self, by: Self) -> Option<Self> {
        let both = Self { earliest: self.earliest.max(by.earliest), latest: self.latest.min(by.latest) };
        (both.earliest <= both.latest).then_some(both)
    }

    /// How far an offset is outside of them.
    pub(super) fn distance(self, offset: i64) -> i64 {
        offset.saturating_sub(offset.clamp(self.earliest, self.latest)).saturating_abs()
    }

    fn widened(self, by: i64) -> Self {
        Self { earliest: self.earliest.saturating_sub(by), latest: self.latest.saturating_add(by) }
    }
}

struct Slice {
    begun: i64,
    bounds: Bounds,
}

/// The bounds over the last minutes, newest first.
#[derive(Default)]
pub(super) struct Offset {
    slices: VecDeque<Slice>,
}

impl Offset {
    /// Takes in an answer that is believed and arrived when the monotonic clock showed `at`. If it contradicts those before it,
    /// they are forgotten: one of the two clocks was set.
    pub(super) fn add(&mut self, sample: Bounds, at: i64) {
        if self.bounds(at).is_some_and(|known| known.narrowed(sample).is_none()) {
            self.slices.clear();
        }
        match self.slices.front_mut() {
            Some(slice) if at.saturating_sub(slice.begun) < SLICE_MS => {
                slice.bounds = slice.bounds.narrowed(sample).unwrap_or(sample);
            }
            _ => self.slices.push_front(Slice { begun: at, bounds: sample }),
        }
        self.slices.truncate(SLICES_MAX);
    }

    /// What all of it leaves, when the monotonic clock shows `at`; `None` before the first answer. Older answers count
    /// less, and those that drift has made wrong do not count.
    pub(super) fn bounds(&self, at: i64) -> Option<Bounds> {
        let aged = |slice: &Slice| slice.bounds.widened(at.saturating_sub(slice.begun) / DRIFT_DIVISOR);
        let newest = self.slices.front().map(aged)?;
        Some(
            self.slices
                .iter()
                .skip(1)
                .map(aged)
                .fold(newest, |all, older| all.narrowed(older).unwrap_or(all)),
        )
    }
}
