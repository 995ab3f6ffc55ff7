//! Requests as the table writes them: who, what, to which object, and what of the answer is worth writing down.

use serde_json::{Value, json};

/// Who acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum User {
    /// An administrator.
    Admin,
    /// The operator, whom the policies name.
    Operator,
    /// Anybody else.
    Customer,
}

impl User {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Admin, Self::Operator, Self::Customer];

    /// The user's name.
    pub fn name(self) -> String {
        match self {
            Self::Admin => "conformance-admin".into(),
            Self::Operator => fooddelivery_api::policies::operator_user(),
            Self::Customer => "jiwoo".into(),
        }
    }

    fn call(self, method: &'static str, plural: &'static str, name: &str) -> Call {
        Call {
            user: self,
            method,
            plural,
            name: name.into(),
            subresource: "",
            query: String::new(),
            content_type: "application/json",
            body: Value::Null,
            shown: Vec::new(),
            kept: None,
        }
    }

    /// `POST`.
    pub(super) fn create(self, plural: &'static str, body: Value) -> Call {
        Call { body, ..self.call("POST", plural, "") }
    }

    /// `GET` of one.
    pub(super) fn get(self, plural: &'static str, name: &str) -> Call {
        self.call("GET", plural, name)
    }

    /// `GET` of many.
    pub(super) fn list(self, plural: &'static str, query: &str) -> Call {
        Call { query: query.into(), ..self.call("GET", plural, "") }
    }

    /// A merge patch.
    pub(super) fn merge(self, plural: &'static str, name: &str, body: Value) -> Call {
        let content_type = "application/merge-patch+json";
        Call { content_type, body, ..self.call("PATCH", plural, name) }
    }

    /// A JSON patch.
    pub(super) fn json(self, plural: &'static str, name: &str, body: Value) -> Call {
        Call { body, content_type: "application/json-patch+json", ..self.call("PATCH", plural, name) }
    }

    /// A merge patch of the status.
    pub(super) fn status(self, plural: &'static str, name: &str, status: Value) -> Call {
        self.merge(plural, name, json!({ "status": status })).of("status")
    }

    /// Server-side apply.
    pub(super) fn apply(self, plural: &'static str, name: &str, body: Value) -> Call {
        Call { body, content_type: "application/apply-patch+yaml", ..self.call("PATCH", plural, name) }
    }

    /// `PUT`.
    pub(super) fn replace(self, plural: &'static str, name: &str, body: Value) -> Call {
        Call { body, ..self.call("PUT", plural, name) }
    }

    /// `DELETE` with options.
    pub(super) fn delete(self, plural: &'static str, name: &str, options: Value) -> Call {
        Call { body: options, ..self.call("DELETE", plural, name) }
    }

    /// A watch, from a resourceVersion or otherwise as `query` says.
    pub(super) fn watch(self, plural: &'static str, query: &str) -> Call {
        Call { query: format!("watch=true&{query}"), ..self.call("GET", plural, "") }
    }
}

/// A request. `$ns` in any string is the scenario's namespace; `$lunch.uid` and `$lunch.rv` are those that the object
/// called `lunch` was last answered with, and `$kept.…` those of a call that keeps them.
#[derive(Debug, Clone)]
pub struct Call {
    pub(super) user: User,
    pub(super) method: &'static str,
    pub(super) plural: &'static str,
    pub(super) name: String,
    pub(super) subresource: &'static str,
    pub(super) query: String,
    pub(super) content_type: &'static str,
    pub(super) body: Value,
    pub(super) shown: Vec<&'static str>,
    pub(super) kept: Option<&'static str>,
}

impl Call {
    /// To a subresource.
    #[must_use]
    pub(super) fn of(self, subresource: &'static str) -> Self {
        Self { subresource, ..self }
    }

    /// With options in the URL.
    #[must_use]
    pub(super) fn with(self, query: &str) -> Self {
        Self { query: query.into(), ..self }
    }

    /// Writes down these parts of the answer, by JSON pointer.
    #[must_use]
    pub(super) fn show(mut self, pointers: &[&'static str]) -> Self {
        self.shown.extend(pointers);
        self
    }

    /// Keeps uid and resourceVersion of the answer under another name.
    #[must_use]
    pub(super) fn keep(self, name: &'static str) -> Self {
        Self { kept: Some(name), ..self }
    }

    /// Only prepares the ground: it must succeed, and is not written down.
    pub(super) fn quietly(self) -> Step {
        Step::Prepare(self)
    }

    /// Is repeated until this code is answered; the last answer is written down.
    pub(super) fn until(self, code: u16) -> Step {
        Step::Until(self, code)
    }

    /// Is repeated until the part of the answer at this JSON pointer is this; the last answer is written down.
    pub(super) fn until_is(self, pointer: &'static str, value: Value) -> Step {
        Step::UntilIs(self, pointer, value)
    }

    /// Reads a watch until it has brought `events` events.
    pub(super) fn take(self, events: usize) -> Step {
        Step::Watch(self, events)
    }
}

impl From<Call> for Step {
    fn from(call: Call) -> Self {
        Self::Send(call)
    }
}

/// An interaction.
#[derive(Debug, Clone)]
pub enum Step {
    /// A request whose outcome is written down.
    Send(Call),
    /// A request that must succeed.
    Prepare(Call),
    /// A request that is repeated until its code is this.
    Until(Call, u16),
    /// A request that is repeated until a part of its answer is this.
    UntilIs(Call, &'static str, Value),
    /// A watch that is read until it has brought this number of events, or ends.
    Watch(Call, usize),
    /// The past is forgotten, where that can be asked for.
    Forget,
    /// The API server is started anew.
    Restart,
}
