//! What the documents say of the domain is what its tables say. `UPDATE_MANIFESTS=1 cargo test -p fooddelivery-saga --test
//! documents` renews it.
#![allow(clippy::expect_used)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use fooddelivery_saga::order::ConditionKind;
use fooddelivery_saga::order::steps::{self, Actor, Cancel, Late, Step};
use fooddelivery_saga::phases::OrderPhase;
use fooddelivery_saga::reason::{Place, Reason};
use fooddelivery_saga::table::{ORDER, path};
use fooddelivery_saga::time::{Deadlines, Millis};

const RENEW: &str = "UPDATE_MANIFESTS=1 cargo test -p fooddelivery-saga --test documents";

/// The places where a reason stands, in the order in which the page has them.
const PLACES: [(Place, &str); 9] = [
    (Place::Order, "Why an order stands where it stands, or why it was undone."),
    (Place::Paid, "Whether the money of an order is in."),
    (Place::Settled, "Where the money of an order that has ended is."),
    (Place::Released, "What keeps an order that is being deleted."),
    (Place::Notified, "Whether everybody has heard of every step."),
    (Place::Payment, "What a payment waits for, or why a person has to look at it."),
    (Place::PaymentProvider, "Whether a payment provider can be called."),
    (Place::MessageProvider, "Whether a message provider can be called."),
    (Place::Event, "What an Event reports, and nothing else."),
];

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn is_renewing() -> bool {
    std::env::var_os("UPDATE_MANIFESTS").is_some()
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
    assert!(is_renewing(), "{document} has drifted: {RENEW}");
    let renewed = format!("{before}{begin}{generated}<!-- /generated -->\n{after}");
    std::fs::write(&file, renewed).expect("the document can be written");
}

/// Holds a page against what is generated.
fn compare(name: &str, generated: &str) {
    let file = top().join("docs/reference").join(name);
    if is_renewing() {
        std::fs::write(&file, generated).expect("the page can be written");
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == generated, "docs/reference/{name} has drifted: {RENEW}");
}

/// Writing to a String cannot fail.
fn line(page: &mut String, text: &str) {
    let _ = writeln!(page, "{text}");
}

/// The phases in which somebody is waited for.
fn waits() -> impl Iterator<Item = Step> {
    steps::all().filter(|step| step.actor != Actor::Nobody)
}

fn who(actor: Actor) -> &'static str {
    match actor {
        Actor::Provider => "the payment provider",
        Actor::Store => "the store",
        Actor::Rider => "a rider",
        Actor::Customer => "the customer",
        Actor::Nobody => "nobody",
    }
}

fn span(step: &Step) -> String {
    let Millis(ms) = step.deadline.map_or(Millis(0), |it| it.of(&Deadlines::default()));
    let minutes = ms / 60_000;
    if minutes % 60 == 0 { format!("{} h", minutes / 60) } else { format!("{minutes} min") }
}

/// What the passing of the deadline brings about.
fn late(step: &Step) -> String {
    match step.when_late {
        Late::Undo(reason, _) => format!("`Cancelled`: {reason}"),
        Late::ReleaseClaim => "the claim is released for another rider".to_owned(),
        Late::Complete => "`Completed`".to_owned(),
        Late::Never => String::new(),
    }
}

fn cancel(step: &Step) -> &'static str {
    match step.cancel {
        Cancel::Taken => "accepted",
        Cancel::Refused => "refused",
        Cancel::Settled => "",
    }
}

#[test]
fn the_readme_shows_who_moves_an_order_on() {
    let first = OrderPhase::AwaitingPayment;
    let mut happy = vec![first];
    happy.extend(path(ORDER, first, OrderPhase::Completed).expect("an order can complete"));
    let names: Vec<&str> = happy.iter().map(|phase| phase.as_str()).collect();
    let mut part = format!("```text\n{}\n```\n\n", names.join(" → "));
    line(&mut part, "| phase | waits for | at most | otherwise | a cancel is |\n|---|---|---|---|---|");
    for step in waits() {
        let row = [who(step.actor).to_owned(), span(&step), late(&step), cancel(&step).to_owned()];
        line(&mut part, &format!("| `{}` | {} |", step.phase, row.join(" | ")));
    }
    compare_part("README.md", "order-phases", &part);
}

#[test]
fn the_page_about_orders_shows_every_step_and_every_deadline() {
    let document = "docs/use/orders.md";
    compare_part(document, "order-diagram", &format!("```mermaid\n{}```\n", steps::diagram()));
    let mut part = String::new();
    line(&mut part, "| phase | default | when it passes |\n|---|---|---|");
    for step in waits() {
        line(&mut part, &format!("| `{}` | {} | {} |", step.phase, span(&step), late(&step)));
    }
    compare_part(document, "order-deadlines", &part);
}

/// A table of the reasons that stand in a place.
fn reasons_in(place: Place) -> String {
    let mut table = String::new();
    line(&mut table, "| reason | meaning |\n|---|---|");
    for reason in Reason::ALL.iter().filter(|reason| reason.places().contains(&place)) {
        line(&mut table, &format!("| `{reason}` | {} |", reason.sentence()));
    }
    table
}

#[test]
fn the_reference_of_reasons_has_each_with_its_sentence() {
    let mut page = format!(
        "# Reasons\n\n<!-- generated: do not edit; {RENEW} -->\n\nThe words that the operator gives as a reason, by the place where \
         they stand. Stores, riders and payment providers bring reasons of their own, which are not listed.\n"
    );
    for (place, about) in PLACES {
        line(&mut page, &format!("\n## {place}\n\n{about}\n\n{}", reasons_in(place).trim_end()));
    }
    for reason in Reason::ALL {
        assert!(page.contains(&format!("| `{reason}` |")), "{reason} stands nowhere on the page");
    }
    compare("reasons.md", &page);
}

/// What holds when the condition is `True`.
fn meaning(kind: ConditionKind) -> &'static str {
    match kind {
        ConditionKind::Paid => "the money is in",
        ConditionKind::Settled => "the money is where it belongs, finally",
        ConditionKind::Completed => "the food arrived, and the customer has it",
        ConditionKind::Ended => "the order has come to an end, whichever",
        ConditionKind::Released => {
            "nothing keeps the order, which is being deleted; present only once something has for long"
        }
    }
}

#[test]
fn the_reference_of_conditions_has_each_with_its_reasons() {
    let mut page = format!(
        "# Conditions\n\n<!-- generated: do not edit; {RENEW} -->\n\n## Order\n\n`Paid`, `Settled`, `Completed` and `Ended` are each \
         `True` or denied in the end, whatever the end, so that `kubectl wait` can rely on them. The others appear only where there is \
         something to report.\n\n"
    );
    line(&mut page, "| condition | `True` means |\n|---|---|");
    for kind in [
        ConditionKind::Paid,
        ConditionKind::Settled,
        ConditionKind::Completed,
        ConditionKind::Ended,
        ConditionKind::Released,
    ] {
        line(&mut page, &format!("| `{}` | {} |", kind.as_str(), meaning(kind)));
    }
    line(&mut page, "| `Notified` | every step was reported to every message provider |\n");
    line(&mut page, "## PaymentProvider, MessageProvider\n\n| condition | `True` means |\n|---|---|");
    line(
        &mut page,
        "| `Ready` | the provider is configured and its Secret can be read, so that it can be called |\n",
    );
    line(
        &mut page,
        "## Reasons\n\nThe reasons that conditions carry. [Reasons](reasons.md) has those of all places.",
    );
    for (place, _) in PLACES.iter().filter(|(place, _)| place.as_str().contains("condition")) {
        line(&mut page, &format!("\n### {place}\n\n{}", reasons_in(*place).trim_end()));
    }
    compare("conditions.md", &page);
}

/// The words in the first cells of every table of a document whose head begins with `head`.
fn words_under(document: &str, head: &str) -> Vec<String> {
    let text = std::fs::read_to_string(top().join(document)).expect("the document can be read");
    let mut words = Vec::new();
    let mut is_inside = false;
    for row in text.lines().map(str::trim) {
        is_inside = row.starts_with(head) || (is_inside && row.starts_with('|'));
        let first = row.split('|').nth(1).filter(|_| is_inside).unwrap_or_default();
        words.extend(first.split('`').skip(1).step_by(2).map(str::to_owned));
    }
    words
}

#[test]
fn every_reason_and_every_phase_that_the_pages_explain_is_one() {
    for document in ["docs/use/coupons-riders-counts.md", "docs/operate/payment-outages.md"] {
        let words = words_under(document, "| reason");
        assert!(words.len() >= 7, "{document} explains {words:?}");
        for word in words {
            assert!(Reason::parse(&word).is_some(), "{document}: {word} is no reason");
        }
    }
    let explained = words_under("docs/use/orders.md", "| phase | meaning |");
    let all: Vec<String> = OrderPhase::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(explained, all);
}
