//! Form-encoded parameters, as strictly as Stripe reads them: what is missing, malformed or unknown is refused.
//!
//! Nothing here knows a payment; a refusal here comes before execution, so no idempotency key keeps it.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, header};
use form_urlencoded::Serializer;

use crate::bank::stripe::Refusal;

const FORM: &str = "application/x-www-form-urlencoded";
/// Limits of metadata, in characters and pairs.
const METADATA_KEY_CHARS_MAX: usize = 40;
const METADATA_VALUE_CHARS_MAX: usize = 500;
const METADATA_PAIRS_MAX: usize = 50;

/// Parameters that have not been used yet.
#[derive(Debug, Default)]
pub(super) struct Form(BTreeMap<String, String>);

/// The body's parameters in an order of their own, so that equal ones are equal text.
pub(super) fn canonical(body: &[u8]) -> String {
    let mut pairs: Vec<_> = form_urlencoded::parse(body).collect();
    // Stable, for the order of equal names (`expand[]`) may mean something.
    pairs.sort_by(|one, other| one.0.cmp(&other.0));
    Serializer::new(String::new()).extend_pairs(pairs).finish()
}

impl Form {
    /// Reads a body.
    pub(super) fn of_body(headers: &HeaderMap, body: &[u8]) -> Result<Self, Refusal> {
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let form = content_type.is_some_and(|value| value.split(';').next().map(str::trim) == Some(FORM));
        if !body.is_empty() && !form {
            return Err(Refusal::invalid(None, format!("The content type of a body must be {FORM}.")));
        }
        Self::of(body)
    }

    /// Reads encoded pairs.
    pub(super) fn of(encoded: &[u8]) -> Result<Self, Refusal> {
        let mut fields = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(encoded) {
            let list = name.ends_with("[]");
            if fields.insert(name.to_string(), value.into_owned()).is_some() && !list {
                return Err(Refusal::invalid(None, format!("The parameter {name} was sent twice.")));
            }
        }
        Ok(Self(fields))
    }

    /// A parameter; an empty one counts as absent.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).filter(|value| !value.is_empty())
    }

    /// A parameter that must be there.
    pub(super) fn require(&mut self, name: &'static str) -> Result<String, Refusal> {
        self.take(name).ok_or_else(|| {
            Refusal::invalid(Some("parameter_missing"), format!("Missing required param: {name}."))
                .of_param(name)
        })
    }

    /// A number from 1 to `max`, such as an amount.
    pub(super) fn positive(&mut self, name: &'static str, max: i64) -> Result<Option<i64>, Refusal> {
        self.take(name).map(|text| positive(name, &text, max)).transpose()
    }

    /// The same, where it must be there.
    pub(super) fn require_positive(&mut self, name: &'static str, max: i64) -> Result<i64, Refusal> {
        positive(name, &self.require(name)?, max)
    }

    /// `true` or `false`; absent means false.
    pub(super) fn flag(&mut self, name: &'static str) -> Result<bool, Refusal> {
        match self.take(name).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Refusal::invalid(None, format!("{name} must be true or false.")).of_param(name)),
        }
    }

    /// What was sent as `metadata[…]`.
    pub(super) fn metadata(&mut self) -> Result<BTreeMap<String, String>, Refusal> {
        let mut metadata = BTreeMap::new();
        for name in self.0.keys().cloned().collect::<Vec<_>>() {
            let Some(key) = name.strip_prefix("metadata[").and_then(|rest| rest.strip_suffix(']')) else {
                continue;
            };
            let Some(value) = self.take(&name) else { continue };
            let fits = (1..=METADATA_KEY_CHARS_MAX).contains(&key.chars().count())
                && !key.contains(['[', ']'])
                && value.chars().count() <= METADATA_VALUE_CHARS_MAX;
            metadata.insert(key.to_owned(), value);
            if !fits || metadata.len() > METADATA_PAIRS_MAX {
                let message = format!(
                    "Metadata has at most {METADATA_PAIRS_MAX} pairs, keys of at most {METADATA_KEY_CHARS_MAX} \
                     characters without brackets, and values of at most {METADATA_VALUE_CHARS_MAX} characters."
                );
                return Err(Refusal::invalid(None, message).of_param("metadata"));
            }
        }
        Ok(metadata)
    }

    /// Refuses what is left, except for `ignored` names; a name with brackets is known by what is before them.
    pub(super) fn finish(self, ignored: &[&str]) -> Result<(), Refusal> {
        let known = |name: &str| name.split('[').next().is_some_and(|bare| ignored.contains(&bare));
        match self.0.keys().find(|name| !known(name)) {
            // The name itself is not shown back whole: a body of another kind would be one long name.
            Some(name) => Err(Refusal::invalid(
                Some("parameter_unknown"),
                format!("Received unknown parameter: {name:.60}"),
            )),
            None => Ok(()),
        }
    }
}

fn positive(name: &'static str, text: &str, max: i64) -> Result<i64, Refusal> {
    text.parse().ok().filter(|number| (1..=max).contains(number)).ok_or_else(|| {
        let message = format!("{name} must be an integer from 1 to {max}.");
        Refusal::invalid(Some("parameter_invalid_integer"), message).of_param(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str) -> Form {
        Form::of(text.as_bytes()).unwrap()
    }

    #[test]
    fn equal_parameters_in_another_order_are_equal_text_and_others_are_not() {
        let first = canonical(b"amount=1&metadata[order_id]=a%20b");
        assert_eq!(first, canonical(b"metadata%5Border_id%5D=a+b&amount=1"));
        assert_ne!(first, canonical(b"metadata[order_id]=a%20b&amount=2"));
    }

    #[test]
    fn a_parameter_that_is_unknown_or_sent_twice_is_refused() {
        assert!(Form::of(b"amount=1&amount=2").is_err());
        assert!(Form::of(b"expand[]=a&expand[]=b").is_ok());
        assert_eq!(form("amuont=1").finish(&[]).unwrap_err().code, Some("parameter_unknown"));
        assert_eq!(form("expand[]=latest_charge&reason=x").finish(&["expand", "reason"]), Ok(()));
    }

    #[test]
    fn an_amount_is_a_positive_integer_within_bounds() {
        assert_eq!(form("amount=99").positive("amount", 99), Ok(Some(99)));
        assert_eq!(form("").positive("amount", 99), Ok(None));
        for wrong in ["amount=0", "amount=-1", "amount=100", "amount=1.5", "amount=9999999999999999999"] {
            let refusal = form(wrong).positive("amount", 99).unwrap_err();
            assert_eq!((refusal.code, refusal.param), (Some("parameter_invalid_integer"), Some("amount")));
        }
    }

    #[test]
    fn metadata_is_what_is_in_brackets_within_its_limits() {
        let metadata = form("metadata[order_id]=1&metadata[b]=2&amount=3").metadata().unwrap();
        assert_eq!(
            metadata.into_iter().collect::<Vec<_>>(),
            [("b".to_owned(), "2".to_owned()), ("order_id".to_owned(), "1".to_owned())]
        );
        assert!(form(&format!("metadata[{}]=1", "k".repeat(41))).metadata().is_err());
        assert!(form(&format!("metadata[k]={}", "v".repeat(501))).metadata().is_err());
    }

    #[test]
    fn a_body_of_another_kind_is_refused_and_none_at_all_is_not() {
        let mut headers = HeaderMap::new();
        assert!(Form::of_body(&headers, b"").is_ok());
        assert!(Form::of_body(&headers, b"amount=1").is_err());
        headers.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
        assert!(Form::of_body(&headers, b"{}").is_err());
        headers.insert(header::CONTENT_TYPE, format!("{FORM}; charset=utf-8").parse().unwrap());
        assert!(Form::of_body(&headers, b"amount=1").is_ok());
    }
}
