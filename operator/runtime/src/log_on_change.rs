//! Logs a recurring condition when it begins and when it ends, not at every try.

/// The last failure that was logged.
#[derive(Debug, Default)]
pub struct LogOnChange {
    logged: Option<String>,
}

/// What is to be logged now.
#[derive(Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// A failure that was not logged yet.
    New(&'a str),
    /// The failure is over.
    Over,
    /// Nothing: the state is the same as at the last try.
    Unchanged,
}

impl LogOnChange {
    /// Takes in the result of the latest try: `failure` is what went wrong, if anything did.
    pub fn observe(&mut self, failure: Option<String>) -> Change<'_> {
        if self.logged == failure {
            return Change::Unchanged;
        }
        self.logged = failure;
        self.logged.as_deref().map_or(Change::Over, Change::New)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_wrong_again_and_again_is_said_once_and_that_it_is_over_as_well() {
        let mut log = LogOnChange::default();
        assert_eq!(log.observe(None), Change::Unchanged, "nothing was amiss");
        assert_eq!(log.observe(Some("gone".into())), Change::New("gone"));
        assert_eq!(log.observe(Some("gone".into())), Change::Unchanged);
        assert_eq!(log.observe(Some("forbidden".into())), Change::New("forbidden"));
        assert_eq!(log.observe(None), Change::Over);
        assert_eq!(log.observe(None), Change::Unchanged);
    }
}
