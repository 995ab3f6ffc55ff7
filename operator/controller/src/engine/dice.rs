//! Chance, in one place and handed in: production throws the machine's dice, the simulation its own, so that the same
//! seed gives the same run.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// What jitter is thrown with.
pub struct Dice(Option<Mutex<StdRng>>);

impl Dice {
    /// The machine's.
    pub fn of_the_machine() -> Self {
        Self(None)
    }

    /// Dice that always fall the same way for the same seed.
    pub fn seeded(seed: u64) -> Self {
        Self(Some(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// Between 0 and 1.
    pub fn share(&self) -> f64 {
        match &self.0 {
            None => rand::rng().random_range(0.0..=1.0),
            Some(own) => own.lock().unwrap_or_else(PoisonError::into_inner).random_range(0.0..=1.0),
        }
    }

    /// Between half and all of `pause`, so that many do not come back at once.
    pub fn jittered(&self, pause: Duration) -> Duration {
        pause.mul_f64(f64::midpoint(self.share(), 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_pauses_and_none_is_shorter_than_half() {
        let pause = Duration::from_secs(1);
        let throw = |dice: Dice| (0..20).map(|_| dice.jittered(pause)).collect::<Vec<_>>();
        assert_eq!(throw(Dice::seeded(7)), throw(Dice::seeded(7)));
        assert_ne!(throw(Dice::seeded(7)), throw(Dice::seeded(8)));
        assert!(throw(Dice::of_the_machine()).iter().all(|p| (pause / 2..=pause).contains(p)));
    }
}
