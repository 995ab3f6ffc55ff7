//! A complaint is said when it is new, and once more when it is over: not at every try.

/// What was complained of last.
#[derive(Debug, Default)]
pub struct Complaint {
    said: Option<String>,
}

/// What is to be said of it now.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard<'a> {
    /// This, which is new.
    New(&'a str),
    /// That it is over.
    Over,
    /// Nothing: it is as it was.
    Known,
}

impl Complaint {
    /// How the latest try went: `complaint` is what went wrong, if anything did.
    pub fn hear(&mut self, complaint: Option<String>) -> Heard<'_> {
        if self.said == complaint {
            return Heard::Known;
        }
        self.said = complaint;
        self.said.as_deref().map_or(Heard::Over, Heard::New)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_wrong_again_and_again_is_said_once_and_that_it_is_over_as_well() {
        let mut complaint = Complaint::default();
        assert_eq!(complaint.hear(None), Heard::Known, "nothing was amiss");
        assert_eq!(complaint.hear(Some("gone".into())), Heard::New("gone"));
        assert_eq!(complaint.hear(Some("gone".into())), Heard::Known);
        assert_eq!(complaint.hear(Some("forbidden".into())), Heard::New("forbidden"));
        assert_eq!(complaint.hear(None), Heard::Over);
        assert_eq!(complaint.hear(None), Heard::Known);
    }
}
