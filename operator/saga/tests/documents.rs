//! What the documents say of the domain is what its tables say. `UPDATE_MANIFESTS=1 cargo test -p fooddelivery-saga --test
//! documents` renews it.
#![allow(clippy::expect_used)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use fooddelivery_saga::phases::OrderPhase;
use fooddelivery_saga::table::{ORDER, next, path};

const RENEW: &str = "UPDATE_MANIFESTS=1 cargo test -p fooddelivery-saga --test documents";

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Holds what stands between the two marks of `name` in a document against what is generated.
fn compare_part(document: &str, name: &str, generated: &str) {
    let file = top().join(document);
    let text = std::fs::read_to_string(&file).expect("the document can be read");
    let begin = format!("<!-- generated: {name} -->\n");
    let (before, rest) = text.split_once(&begin).expect("the mark where it begins");
    let (part, after) = rest.split_once("<!-- /generated -->\n").expect("the mark where it ends");
    if part == generated {
        return;
    }
    assert!(std::env::var_os("UPDATE_MANIFESTS").is_some(), "{document} has drifted: {RENEW}");
    let renewed = format!("{before}{begin}{generated}<!-- /generated -->\n{after}");
    std::fs::write(&file, renewed).expect("the document can be written");
}

#[test]
fn the_readmes_diagram_is_what_the_table_says() {
    let first = OrderPhase::AwaitingPayment;
    let mut happy = vec![first];
    happy.extend(path(ORDER, first, OrderPhase::Completed).expect("an order can complete"));
    let names: Vec<&str> = happy.iter().map(|phase| phase.as_str()).collect();
    let mut diagram = format!("```text\n{}\n\n", names.join(" → "));
    for phase in OrderPhase::ALL.iter().filter(|phase| !phase.is_terminal()) {
        let after = happy.iter().position(|it| it == phase).and_then(|at| happy.get(at + 1));
        let others: Vec<&str> =
            next(ORDER, *phase).iter().filter(|to| Some(*to) != after).map(|to| to.as_str()).collect();
        if !others.is_empty() {
            let _ = writeln!(diagram, "{:16} or → {}", phase.as_str(), others.join(", "));
        }
    }
    diagram.push_str("```\n");
    compare_part("README.md", "order-phases", &diagram);
}
