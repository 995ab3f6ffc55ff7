//! From a failing list of choices to a short one: the tail is cut, pieces are taken out, single choices become ordinary;
//! what still breaks the same promise is kept.

use crate::plan::Case;
use crate::scheduler::{PlayError, Report, play};

/// At most so many runs are spent on it.
const RUNS: usize = 600;

struct Search<'a> {
    case: &'a Case,
    property: &'static str,
    best: Vec<u32>,
    runs: usize,
}

impl Search<'_> {
    /// Whether these choices break the same promise; if so they are the best so far.
    fn works(&mut self, choices: &[u32]) -> Result<bool, PlayError> {
        if self.runs >= RUNS {
            return Ok(false);
        }
        self.runs += 1;
        let report = play(self.case, Some(choices.to_vec()), false)?;
        let same = report.broken.is_some_and(|broken| broken.property == self.property);
        if same {
            self.best = choices.to_vec();
            while self.best.last() == Some(&0) {
                self.best.pop();
            }
        }
        Ok(same)
    }

    fn cut(&mut self) -> Result<(), PlayError> {
        let (mut short, mut long) = (0, self.best.len());
        while short < long {
            let middle = usize::midpoint(short, long);
            let choices = self.best.get(..middle).unwrap_or_default().to_vec();
            if self.works(&choices)? { long = middle.min(self.best.len()) } else { short = middle + 1 }
        }
        Ok(())
    }

    fn take_out(&mut self, size: usize) -> Result<bool, PlayError> {
        let (mut at, mut any) = (0, false);
        while at < self.best.len() {
            let end = (at + size).min(self.best.len());
            let mut choices = self.best.clone();
            choices.drain(at..end);
            if self.works(&choices)? { any = true } else { at += size }
        }
        Ok(any)
    }

    fn make_ordinary(&mut self, size: usize) -> Result<bool, PlayError> {
        let (mut at, mut any) = (0, false);
        while at < self.best.len() {
            let end = (at + size).min(self.best.len());
            if self.best[at..end].iter().any(|choice| *choice != 0) {
                let mut choices = self.best.clone();
                choices[at..end].fill(0);
                any |= self.works(&choices)?;
            }
            at += size;
        }
        Ok(any)
    }
}

/// Shrinks the choices of a report that breaks something. Where the given choices do not break it again, which would be
/// a mistake of the simulation, they come back as they are.
///
/// # Errors
/// As [`play`].
pub fn shrink(case: &Case, report: &Report) -> Result<Vec<u32>, PlayError> {
    let Some(broken) = &report.broken else { return Ok(report.choices.clone()) };
    let mut search = Search { case, property: broken.property, best: report.choices.clone(), runs: 0 };
    search.cut()?;
    for size in [16, 8, 4, 2, 1] {
        search.make_ordinary(size)?;
        search.take_out(size)?;
    }
    while search.runs < RUNS && (search.make_ordinary(1)? | search.take_out(1)?) {}
    Ok(search.best)
}
