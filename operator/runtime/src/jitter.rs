//! Randomness in one place, and handed in: production takes it from the machine, a simulation from a seed, so that the same
//! seed gives the same run.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// A source of random pauses.
pub struct Jitter(Option<Mutex<StdRng>>);

impl Jitter {
    /// From the machine.
    pub fn from_entropy() -> Self {
        Self(None)
    }

    /// A source that always gives the same pauses for the same seed.
    pub fn seeded(seed: u64) -> Self {
        Self(Some(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// A random number between 0 and 1.
    pub fn fraction(&self) -> f64 {
        match &self.0 {
            None => rand::rng().random_range(0.0..=1.0),
            Some(own) => own.lock().unwrap_or_else(PoisonError::into_inner).random_range(0.0..=1.0),
        }
    }

    /// Between half and all of `pause`, so that many do not come back at once.
    pub fn jittered(&self, pause: Duration) -> Duration {
        pause.mul_f64(f64::midpoint(self.fraction(), 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_pauses_and_none_is_shorter_than_half() {
        let pause = Duration::from_secs(1);
        let pauses = |jitter: Jitter| (0..20).map(|_| jitter.jittered(pause)).collect::<Vec<_>>();
        assert_eq!(pauses(Jitter::seeded(7)), pauses(Jitter::seeded(7)));
        assert_ne!(pauses(Jitter::seeded(7)), pauses(Jitter::seeded(8)));
        assert!(pauses(Jitter::from_entropy()).iter().all(|p| (pause / 2..=pause).contains(p)));
    }
}
