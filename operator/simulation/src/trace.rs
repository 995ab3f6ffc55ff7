//! The trace of a schedule, for people: when, who, what; one line per event.

use serde_json::Value;

use crate::apiserver::{Request, Response, Verb};

/// What happened so far; nothing is kept unless it is asked for.
#[derive(Debug, Default)]
pub struct Trace {
    lines: Option<Vec<String>>,
}

impl Trace {
    /// One that is kept.
    pub fn recording() -> Self {
        Self { lines: Some(Vec::new()) }
    }

    /// Whether anything is kept.
    pub fn is_recorded(&self) -> bool {
        self.lines.is_some()
    }

    /// Its lines.
    pub fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }

    /// An event.
    pub fn line(&mut self, elapsed_ms: i64, who: &str, what: &str) {
        if let Some(lines) = &mut self.lines {
            let (seconds, ms) = (elapsed_ms / 1_000, elapsed_ms % 1_000);
            lines.push(format!("{:02}:{:02}.{ms:03} {who}: {what}", seconds / 60, seconds % 60));
        }
    }

    /// A request and its answer.
    pub fn request(&mut self, elapsed_ms: i64, who: &str, request: &Request, response: &Response) {
        if self.lines.is_none() {
            return;
        }
        let verb = match request.verb {
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Patch => "patch",
            Verb::Delete => "delete",
            Verb::DeleteCollection => "delete all",
        };
        let name = request.name.clone().or_else(|| name_in(&request.body)).unwrap_or_default();
        let sub = request.subresource.as_ref().map(|s| format!("/{s}")).unwrap_or_default();
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let told = if response.code < 300 { summary(&body) } else { failure(&body) };
        let what = format!("{verb} {} {name}{sub} → {}{told}", request.plural, response.code);
        self.line(elapsed_ms, who, &what);
    }
}

fn name_in(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    body["metadata"]["name"].as_str().map(str::to_owned)
}

fn failure(body: &Value) -> String {
    format!(" {}", body["message"].as_str().or(body["reason"].as_str()).unwrap_or_default())
}

/// What there is to see of an object.
fn summary(object: &Value) -> String {
    let mut words: Vec<String> = Vec::new();
    let spec = &object["spec"];
    let status = &object["status"];
    let mut add = |label: &str, value: &Value| {
        if let Some(text) = value.as_str().filter(|text| !text.is_empty()) {
            words.push(format!("{label}{text}"));
        }
    };
    add("", &status["phase"]);
    add("", &status["reason"]);
    add("cancel ", &status["cancellation"]);
    add("stage ", &spec["stage"]);
    add("wants ", &spec["desired"]);
    add("rider ", &spec["riderRef"]["name"]);
    if let Some(at) = status["deadline"].as_str() {
        words.push(format!("until {}", at.get(11..23).unwrap_or(at)));
    }
    if let Some(attempt) = status["attempt"].as_i64() {
        words.push(format!("attempt {attempt}"));
    }
    let departed = &status["departed"]["ordersByMenuItem"];
    if departed.is_array() {
        words.push(format!("departed {}", counts(departed)));
    }
    let fields =
        ["redeemed", "deliveries", "ordersByMenuItem", "departed", "reserved", "releasing", "departing"];
    for field in fields {
        let value = &status[field];
        if value.is_number() || value.as_array().is_some_and(|list| !list.is_empty()) {
            words.push(format!("{field} {}", counts(value)));
        }
    }
    if object["metadata"]["deletionTimestamp"].is_string() {
        words.push("dying".into());
    }
    if let Some(version) = object["metadata"]["resourceVersion"].as_str() {
        words.push(format!("v{version}"));
    }
    if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) }
}

/// A number, or how many of each name.
fn counts(value: &Value) -> String {
    let Some(list) = value.as_array() else { return value.to_string() };
    let name = |one: &Value| match one["menuItem"].as_str() {
        Some(dish) => format!("{dish} {}", one["orders"]),
        None => one["name"].as_str().unwrap_or_default().to_owned(),
    };
    format!("[{}]", list.iter().map(name).collect::<Vec<_>>().join(" "))
}
