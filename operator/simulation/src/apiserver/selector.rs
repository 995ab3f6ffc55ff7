//! Label and field selectors.

use std::sync::Arc;

use serde_json::Value;

use super::failure::Failure;
use super::kinds::Kind;
use super::request::Options;

#[derive(Debug, Clone)]
enum Test {
    Is(String),
    IsNot(String),
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
}

/// What a list or a watch is limited to.
#[derive(Debug, Clone, Default)]
pub(super) struct Selector {
    namespace: Option<String>,
    labels: Vec<(String, Test)>,
    fields: Arc<Vec<(Vec<String>, Test)>>,
}

impl Selector {
    /// From a request's options.
    pub(super) fn parse(kind: &Kind, namespace: Option<&str>, options: &Options) -> Result<Self, Failure> {
        let mut labels = Vec::new();
        for term in terms(options.labels.as_deref().unwrap_or_default()) {
            labels.push(label(term)?);
        }
        let mut fields = Vec::new();
        for term in options.fields.as_deref().unwrap_or_default().split(',').filter(|t| !t.is_empty()) {
            let (name, test) = comparison(term)
                .ok_or_else(|| Failure::bad_request(format!("invalid field selector: {term}")))?;
            let way = match name {
                "metadata.name" | "metadata.namespace" => name.split('.').map(str::to_owned).collect(),
                _ => match kind.selectable.iter().find(|(known, _)| known == name) {
                    Some((_, way)) => way.clone(),
                    None => return Err(Failure::bad_request(format!("field label not supported: {name}"))),
                },
            };
            fields.push((way, test));
        }
        Ok(Self { namespace: namespace.map(str::to_owned), labels, fields: Arc::new(fields) })
    }

    /// Whether an object is among what was asked for.
    pub(super) fn picks(&self, object: &Value) -> bool {
        let metadata = &object["metadata"];
        self.namespace.as_ref().is_none_or(|namespace| metadata["namespace"] == **namespace)
            && self.labels.iter().all(|(name, test)| test.passes(metadata["labels"][name].as_str()))
            && self.fields.iter().all(|(way, test)| {
                let found = way.iter().try_fold(object, |value, step| value.get(step));
                let text = match found {
                    None | Some(Value::Null) => String::new(),
                    Some(Value::String(text)) => text.clone(),
                    Some(other) => other.to_string(),
                };
                test.passes(Some(&text))
            })
    }
}

impl Test {
    fn passes(&self, value: Option<&str>) -> bool {
        match self {
            Self::Is(word) => value == Some(word),
            Self::IsNot(word) => value != Some(word),
            Self::In(words) => value.is_some_and(|v| words.iter().any(|w| w == v)),
            Self::NotIn(words) => value.is_none_or(|v| words.iter().all(|w| w != v)),
            Self::Exists => value.is_some(),
            Self::Absent => value.is_none(),
        }
    }
}

/// The terms of a label selector: commas within brackets do not part them.
fn terms(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0;
    text.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    })
    .map(str::trim)
    .filter(|term| !term.is_empty())
}

fn comparison(term: &str) -> Option<(&str, Test)> {
    if let Some((name, word)) = term.split_once("!=") {
        return Some((name.trim(), Test::IsNot(word.trim().into())));
    }
    let (name, word) = term.split_once("==").or_else(|| term.split_once('='))?;
    Some((name.trim(), Test::Is(word.trim().into())))
}

fn label(term: &str) -> Result<(String, Test), Failure> {
    if let Some((name, test)) = comparison(term) {
        return Ok((name.into(), test));
    }
    if let Some(name) = term.strip_prefix('!') {
        return Ok((name.trim().into(), Test::Absent));
    }
    let words = |list: &str| {
        let list = list.trim().trim_start_matches('(').trim_end_matches(')');
        list.split(',').map(|word| word.trim().to_owned()).collect()
    };
    if let Some((name, list)) = term.split_once(" notin ") {
        return Ok((name.trim().into(), Test::NotIn(words(list))));
    }
    if let Some((name, list)) = term.split_once(" in ") {
        return Ok((name.trim().into(), Test::In(words(list))));
    }
    if term.contains(char::is_whitespace) {
        return Err(Failure::bad_request(format!("unable to parse requirement: {term}")));
    }
    Ok((term.into(), Test::Exists))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn picks(labels: &str) -> bool {
        let options = Options { labels: Some(labels.into()), ..Options::default() };
        let selector = Selector::parse(&Kind::builtins()[1], None, &options).unwrap();
        selector.picks(&json!({ "metadata": { "labels": { "a": "1", "b": "2" } } }))
    }

    #[test]
    fn label_selectors_of_every_form_are_understood() {
        for yes in ["a=1", "a==1,b!=3", "a in (1, 2),b", "!c", "c notin (1)", "c!=1"] {
            assert!(picks(yes), "{yes}");
        }
        for no in ["a=2", "a notin (1, 2)", "c", "!a", "a in (2,3)"] {
            assert!(!picks(no), "{no}");
        }
    }
}
