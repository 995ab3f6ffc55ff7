//! Reads the API server's metrics and counts the writes to a group's resources between two scrapes. Pure.
//!
//! Counted is every request that can change something and was not a dry run, whether or not it is refused; events of both
//! groups count as one resource.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The counter that the API server keeps of its requests.
const REQUESTS: &str = "apiserver_request_total";
/// What a write is called in it.
const WRITES: [&str; 6] = ["POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"];

/// A kind of write.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Write {
    /// The resource, with its subresource, such as `orders/status`.
    pub resource: String,
    /// `create`, `update`, `patch`, `apply` or `delete`.
    pub verb: &'static str,
}

impl Write {
    /// For example `Write::new("orders/status", "patch")`.
    pub fn new(resource: &str, verb: &'static str) -> Self {
        Self { resource: resource.to_owned(), verb }
    }
}

/// How many writes of each kind.
pub type Writes = BTreeMap<Write, u64>;

/// The writes to `group`, and to events, that a scrape of an API server's `/metrics` counts since its start.
pub fn writes(scrape: &str, group: &str) -> Writes {
    let mut writes = Writes::new();
    for (labels, value) in scrape.lines().filter_map(|line| sample(line, REQUESTS)) {
        let label = |name: &str| labels.get(name).copied().unwrap_or_default();
        let is_event = label("resource") == "events";
        // One that lost a compare-and-set, or found nothing, wrote nothing.
        let is_none = !label("dry_run").is_empty() || matches!(label("code"), "404" | "409");
        if !(is_event || label("group") == group) || is_none {
            continue;
        }
        let Some(verb) = verb(label("verb")) else { continue };
        let resource = match label("subresource") {
            "" => label("resource").to_owned(),
            subresource => format!("{}/{subresource}", label("resource")),
        };
        *writes.entry(Write { resource, verb }).or_default() += value;
    }
    writes
}

/// How many reads of single objects of `group` a scrape counts.
pub fn reads(scrape: &str, group: &str) -> u64 {
    count(scrape, group, |labels| labels.get("verb") == Some(&"GET"))
}

/// How many writes to `group` a scrape counts that lost a compare-and-set.
pub fn conflicts(scrape: &str, group: &str) -> u64 {
    count(scrape, group, |labels| {
        labels.get("code") == Some(&"409") && labels.get("verb").is_some_and(|label| verb(label).is_some())
    })
}

fn count(scrape: &str, group: &str, is_counted: impl Fn(&BTreeMap<&str, &str>) -> bool) -> u64 {
    let samples = scrape.lines().filter_map(|line| sample(line, REQUESTS));
    let of_group = samples.filter(|(labels, _)| labels.get("group") == Some(&group) && is_counted(labels));
    of_group.map(|(_, value)| value).sum()
}

/// What was written between two scrapes, but for what is known to be somebody else's.
pub fn difference(before: &Writes, after: &Writes, others: &Writes) -> Writes {
    let count = |writes: &Writes, write: &Write| writes.get(write).copied().unwrap_or_default();
    let grown = after.iter().map(|(write, total)| {
        let known = count(before, write) + count(others, write);
        (write.clone(), total.saturating_sub(known))
    });
    grown.filter(|(_, count)| *count > 0).collect()
}

/// The sum of all writes.
pub fn total(writes: &Writes) -> u64 {
    writes.values().sum()
}

/// A table for people, with the sum in the last line.
pub fn table(writes: &Writes) -> String {
    let rows = writes.iter().map(|(write, count)| (format!("{} {}", write.resource, write.verb), *count));
    let rows: Vec<_> = rows.chain([("total".to_owned(), total(writes))]).collect();
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let mut table = String::new();
    for (name, count) in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(table, "{name:<width$}  {count:>4}");
    }
    table
}

fn verb(label: &str) -> Option<&'static str> {
    WRITES.contains(&label).then_some(match label {
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "APPLY" => "apply",
        _ => "delete",
    })
}

/// The labels and the value of a line of the text format, if it is one of the named metric. The labels of this one
/// have no escapes.
fn sample<'a>(line: &'a str, metric: &str) -> Option<(BTreeMap<&'a str, &'a str>, u64)> {
    let (labels, value) = line.strip_prefix(metric)?.strip_prefix('{')?.rsplit_once("} ")?;
    let labels = labels.split("\",").filter_map(|label| label.split_once("=\""));
    let labels = labels.map(|(name, text)| (name, text.trim_end_matches('"'))).collect();
    // Large counters are written as floats: 1.234567e+06.
    let value: f64 = value.split(' ').next()?.parse().ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a counter is a whole number"
    )]
    Some((labels, value.round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRAPE: &str = r#"
# TYPE apiserver_request_total counter
apiserver_request_total{code="200",component="apiserver",dry_run="",group="fooddelivery.dev",resource="orders",scope="resource",subresource="status",verb="PATCH",version="v1alpha1"} 8
apiserver_request_total{code="409",component="apiserver",dry_run="",group="fooddelivery.dev",resource="orders",scope="resource",subresource="status",verb="PATCH",version="v1alpha1"} 1
apiserver_request_total{code="201",component="apiserver",dry_run="",group="fooddelivery.dev",resource="payments",scope="resource",subresource="",verb="POST",version="v1alpha1"} 1
apiserver_request_total{code="201",component="apiserver",dry_run="All",group="fooddelivery.dev",resource="orders",scope="resource",subresource="",verb="POST",version="v1alpha1"} 5
apiserver_request_total{code="200",component="apiserver",dry_run="",group="fooddelivery.dev",resource="orders",scope="cluster",subresource="",verb="LIST",version="v1alpha1"} 1.234567e+06
apiserver_request_total{code="200",component="apiserver",dry_run="",group="apps",resource="deployments",scope="resource",subresource="",verb="PATCH",version="v1"} 3
apiserver_request_total{code="201",component="apiserver",dry_run="",group="events.k8s.io",resource="events",scope="resource",subresource="",verb="POST",version="v1"} 2
apiserver_request_terminations_total{code="200",verb="PATCH"} 9
"#;

    #[test]
    fn reads_of_objects_and_lost_writes_are_counted_apart() {
        let get = r#"apiserver_request_total{code="200",dry_run="",group="fooddelivery.dev",resource="orders",scope="resource",subresource="",verb="GET",version="v1alpha1"} 7"#;
        assert_eq!(reads(&format!("{SCRAPE}{get}\n"), "fooddelivery.dev"), 7);
        assert_eq!(conflicts(SCRAPE, "fooddelivery.dev"), 1);
    }

    fn scraped() -> Writes {
        writes(SCRAPE, "fooddelivery.dev")
    }

    #[test]
    fn writes_of_the_group_and_events_are_counted_and_reads_dry_runs_and_conflicts_are_not() {
        let expected = Writes::from([
            (Write::new("events", "create"), 2),
            (Write::new("orders/status", "patch"), 8),
            (Write::new("payments", "create"), 1),
        ]);
        assert_eq!(scraped(), expected);
        assert_eq!(total(&expected), 11);
    }

    #[test]
    fn the_difference_leaves_out_what_was_there_before_and_what_others_wrote() {
        let before =
            Writes::from([(Write::new("events", "create"), 2), (Write::new("payments", "create"), 0)]);
        let others = Writes::from([(Write::new("orders/status", "patch"), 4)]);
        let expected =
            Writes::from([(Write::new("orders/status", "patch"), 4), (Write::new("payments", "create"), 1)]);
        assert_eq!(difference(&before, &scraped(), &others), expected);
    }

    #[test]
    fn the_table_has_a_line_a_kind_and_the_total_last() {
        let table = table(&scraped());
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines[1], "orders/status patch     8");
        assert_eq!(lines.last().map(|line| line.split_whitespace().collect()), Some(vec!["total", "11"]));
    }
}
