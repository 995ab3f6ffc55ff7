//! Every decision that makes one schedule differ from another, as a list of small numbers. Zero is always the fair,
//! ordinary thing, so that a failing list can be shrunk by cutting, removing and zeroing without knowing what it means.

/// A stream of pseudo-random numbers (splitmix64).
#[derive(Debug, Clone)]
pub struct Numbers(u64);

impl Numbers {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next one.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut n = self.0;
        n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        n ^ (n >> 31)
    }

    /// One below `bound`, which is at least 1.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound.max(1)
    }
}

enum Source {
    Random(Numbers),
    Given(std::vec::IntoIter<u32>),
}

/// Makes the choices, and writes them down.
pub struct ChoiceSequence {
    source: Source,
    made: Vec<u32>,
}

impl ChoiceSequence {
    /// Choices that follow from a seed.
    pub fn random(seed: u64) -> Self {
        Self { source: Source::Random(Numbers::new(seed)), made: Vec::new() }
    }

    /// These choices, and after them only zeros.
    pub fn given(choices: Vec<u32>) -> Self {
        Self { source: Source::Given(choices.into_iter()), made: Vec::new() }
    }

    /// One of several things by their weights; one without weight is not chosen, unless it is the first.
    pub fn pick(&mut self, weights: &[u32]) -> usize {
        let index = match &mut self.source {
            Source::Random(numbers) => {
                let total: u64 = weights.iter().copied().map(u64::from).sum();
                let mut rest = numbers.below(total);
                let found = weights.iter().position(|weight| {
                    let here = rest < u64::from(*weight);
                    rest = rest.saturating_sub(u64::from(*weight));
                    here
                });
                found.unwrap_or(0)
            }
            Source::Given(choices) => choices.next().and_then(|n| usize::try_from(n).ok()).unwrap_or(0),
        };
        let index = if weights.get(index).is_some_and(|weight| *weight > 0) { index } else { 0 };
        self.made.push(u32::try_from(index).unwrap_or(0));
        index
    }

    /// One of `count` things that are equally likely; 0 when there is none.
    pub fn one_of(&mut self, count: usize) -> usize {
        if count < 2 { 0 } else { self.pick(&vec![1; count]) }
    }

    /// Whether something happens that happens in `percent` of all cases.
    pub fn chance(&mut self, percent: u32) -> bool {
        self.pick(&[100_u32.saturating_sub(percent), percent]) == 1
    }

    /// All choices so far.
    pub fn made(&self) -> &[u32] {
        &self.made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_made_by_a_seed_are_made_again_from_the_list() {
        let all =
            |choices: &mut ChoiceSequence| (0..50).map(|_| choices.pick(&[5, 0, 3, 1])).collect::<Vec<_>>();
        let mut random = ChoiceSequence::random(11);
        let first = all(&mut random);
        assert!(!first.contains(&1), "what has no weight is not chosen");
        assert_eq!(all(&mut ChoiceSequence::given(random.made().to_vec())), first);
    }

    #[test]
    fn after_the_list_everything_is_ordinary() {
        let mut choices = ChoiceSequence::given(vec![9]);
        assert_eq!([choices.pick(&[1, 1]), choices.pick(&[1, 1])], [0, 0]);
    }
}
