//! Stripe's search, as far as it is of use here: intents by the order id in their metadata, page by page.
//!
//! It reads the query; what can be found, and how late, is decided in the bank.

use super::form::Form;
use crate::bank::stripe::Refusal;

/// Path of the search endpoint.
pub(super) const SEARCH_PATH: &str = "/v1/payment_intents/search";

/// Number of intents on a page, unless the query says otherwise.
const DEFAULT_LIMIT: i64 = 10;
/// Maximum number of intents on a page.
const PAGE_LIMIT_MAX: i64 = 100;
/// Maximum number of intents that a page token passes over.
const OFFSET_MAX: i64 = 1_000_000;

/// What is searched for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Search {
    pub(super) order_id: String,
    /// How many to show at most.
    pub(super) limit: usize,
    /// How many to pass over.
    pub(super) offset: usize,
}

impl Search {
    /// Reads a query string.
    pub(super) fn of(query: &str) -> Result<Self, Refusal> {
        let mut form = Form::of(query.as_bytes())?;
        let clause = form.require("query")?;
        let limit = form.positive("limit", PAGE_LIMIT_MAX)?.unwrap_or(DEFAULT_LIMIT);
        let offset = form.positive("page", OFFSET_MAX)?.unwrap_or(0);
        form.finish(&["expand"])?;
        let order_id = order_id(&clause).ok_or_else(|| {
            let message = "The sandbox understands this query only: metadata['order_id']:'VALUE'.";
            Refusal::invalid(None, message).of_param("query")
        })?;
        let number = |number: i64| usize::try_from(number).unwrap_or(0);
        Ok(Self { order_id, limit: number(limit), offset: number(offset) })
    }
}

/// The value in `metadata['order_id']:'VALUE'`; the quotes are single or double, and escaped within by a backslash.
fn order_id(clause: &str) -> Option<String> {
    let rest = clause.trim();
    let rest = ["metadata['order_id']:", "metadata[\"order_id\"]:"]
        .into_iter()
        .find_map(|field| rest.strip_prefix(field))?;
    let mut characters = rest.chars();
    let quote = characters.next().filter(|first| matches!(first, '\'' | '"'))?;
    let mut value = String::new();
    loop {
        match characters.next()? {
            '\\' => value.push(characters.next()?),
            end if end == quote => break,
            other => value.push(other),
        }
    }
    (characters.next().is_none() && !value.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_id_is_read_with_either_quote_and_with_escapes() {
        assert_eq!(order_id("metadata['order_id']:'order-1'").as_deref(), Some("order-1"));
        assert_eq!(order_id("metadata[\"order_id\"]:\"a'b\"").as_deref(), Some("a'b"));
        assert_eq!(order_id(r"metadata['order_id']:'it\'s'").as_deref(), Some("it's"));
    }

    #[test]
    fn any_other_query_is_refused_rather_than_misunderstood() {
        for other in [
            "",
            "status:'succeeded'",
            "metadata['order']:'1'",
            "metadata['order_id']:'1",
            "metadata['order_id']:1",
            "metadata['order_id']:'1' AND status:'succeeded'",
            "metadata['order_id']~'1'",
            "metadata['order_id']:''",
        ] {
            assert_eq!(order_id(other), None, "{other}");
        }
    }

    #[test]
    fn a_page_has_ten_unless_asked_otherwise() {
        let of = |rest: &str| Search::of(&format!("query=metadata['order_id']:'a'{rest}"));
        let search = |limit, offset| Search { order_id: "a".into(), limit, offset };
        assert_eq!(of("").unwrap(), search(10, 0));
        assert_eq!(of("&limit=1&page=3&expand[]=data.latest_charge").unwrap(), search(1, 3));
        assert!(of("&limit=101").is_err());
        assert!(Search::of("limit=1").is_err());
    }
}
