//! What is wrong with an object, in the words of a real API server.

/// One thing that is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cause {
    /// `FieldValueInvalid` and its like.
    pub(super) reason: &'static str,
    /// Where; `None` for the object as a whole.
    pub(super) field: Option<String>,
    /// What is wrong there.
    pub(super) message: String,
}

impl Cause {
    /// A value that is not acceptable; `value` as it is shown, if it is.
    pub(super) fn invalid(field: Option<String>, value: Option<&str>, detail: &str) -> Self {
        let message = match value {
            Some(value) => format!("Invalid value: {value}: {detail}"),
            None => format!("Invalid value: {detail}"),
        };
        Self { reason: "FieldValueInvalid", field, message }
    }

    /// The same, where the object that was looked at is part of another.
    pub(super) fn below(mut self, part: &str) -> Self {
        self.field = Some(match self.field.filter(|field| !field.is_empty()) {
            Some(field) => format!("{part}.{field}"),
            None => part.to_owned(),
        });
        self
    }

    /// Whether rules are not looked at any more once this is wrong.
    pub(super) fn blocks_rules(&self) -> bool {
        let reasons = [
            "FieldValueNotSupported",
            "FieldValueRequired",
            "FieldValueTooLong",
            "FieldValueTooMany",
            "FieldValueTypeInvalid",
        ];
        reasons.contains(&self.reason)
    }

    pub(super) fn place(&self) -> &str {
        self.field.as_deref().unwrap_or("<nil>")
    }
}
