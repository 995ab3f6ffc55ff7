//! The summary: holds what became of the orders against the provider's ledger, the Events and the API server's
//! counters. It changes nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use fooddelivery_e2e::audit::{Balance, balances, findings, provider_order_id};
use fooddelivery_e2e::metrics::{Write, Writes, table, total};
use fooddelivery_e2e::sandbox::Message;
use fooddelivery_e2e::{CancellationVerdict, Order, OrderPhase, Payment};

use crate::environment::{DemoEnvironment, ORDERS};
use crate::people::NAMESPACE;
use crate::timeline::Seen;

/// The most that a happy order may cost by itself, and what is written about it elsewhere: the counts of its store and
/// rider, and that the customer was told everything.
const MOST_WRITES: u64 = 13;
const MOST_WRITES_ABOUT_IT: u64 = 3;
/// What each order is to come to, in KRW, and what the coupon takes off.
const PRICE: i64 = 28_500;
const DISCOUNT: i64 = 3_000;
/// How many steps a happy order has.
const STEPS: usize = 9;

/// What was checked, and whether it holds.
type Checks = Vec<(bool, String)>;

/// Prints the summary and returns what does not hold.
///
/// # Errors
/// When something cannot be read.
pub(crate) async fn summary(demo: &DemoEnvironment, counted: &Writes) -> Result<Vec<String>> {
    let console = &demo.console;
    console.heading("Summary, checked");
    let food = ["get", "food", "-n", NAMESPACE];
    demo.people().run("all there is", &food).await?;
    let ledger = demo.sandbox.ledger().await?;
    let messages = demo.sandbox.messages().await?;
    let balances = balances(&ledger);
    let seen = demo.timeline.seen();
    console.output(&orders_table(&seen, &balances));
    let mut checks = Checks::new();
    for name in ORDERS {
        checks.extend(of_order(&seen, &balances, name)?);
    }
    checks.extend(of_verdicts(&seen));
    checks.extend(of_messages(&seen, &messages));
    let orders: Vec<Order> = seen.orders.values().cloned().collect();
    let payments: Vec<Payment> = seen.payments.values().cloned().collect();
    let found = findings(&orders, &payments, &ledger);
    checks.push((found.is_empty(), audit_line(&found)));
    drop(seen);
    if demo.access.local_cluster().is_some() {
        console.note("the operator's writes for lunch, as the API server counted them:");
        console.output(&table(counted));
        checks.extend(of_writes(counted, demo.installed.stamps_finalizers));
        if !demo.installed.stamps_finalizers {
            checks.push(of_what_the_server_lacks(demo.operator.log_path())?);
        }
    } else {
        console.note("writes are not counted: on this cluster others write too");
    }
    for (holds, what) in &checks {
        console.check(*holds, what);
    }
    console.note(&format!("after {:.1} s", console.elapsed().as_secs_f32()));
    Ok(checks.into_iter().filter(|(holds, _)| !holds).map(|(_, what)| format!("not true: {what}")).collect())
}

fn of_order(seen: &Seen, balances: &BTreeMap<String, Balance>, name: &str) -> Result<Checks> {
    let order = seen.orders.get(name).with_context(|| format!("order {name} is not there"))?;
    let payment = seen.payments.get(name).with_context(|| format!("payment {name} is not there"))?;
    let ledger = balances.get(&provider_order_id(order)).copied().unwrap_or_default();
    let price = if name == "favourites" { PRICE - DISCOUNT } else { PRICE };
    let is_cancelled = name == "second-thoughts";
    let phase = if is_cancelled { OrderPhase::Cancelled } else { OrderPhase::Completed };
    let (refunds, refunded) = if is_cancelled { (1, price) } else { (0, 0) };
    let state = order.state();
    let said = payment.state();
    let right = Balance { captures: 1, captured: price, refunds, refunded };
    let back = if is_cancelled { "and given back in full" } else { "and nothing given back" };
    Ok(vec![
        (state.phase == phase && seen.holds(name, "Ended"), format!("{name} has ended as {phase}")),
        (
            ledger == right && state.total == Some(price),
            format!("{name}: {price} KRW taken exactly once, {back}, by the provider's ledger"),
        ),
        (
            (said.captured, said.refunded) == (ledger.captured, ledger.refunded)
                && seen.holds(name, "Settled"),
            format!("{name}: its Payment says the same, and it is settled"),
        ),
    ])
}

/// Every step of every order was told to the customer and to the other service, in order; the last message is that of
/// the end.
fn of_messages(seen: &Seen, messages: &[Message]) -> Checks {
    let mut checks = Checks::new();
    for name in ORDERS {
        let Some(order) = seen.orders.get(name) else { continue };
        let uid = order.metadata.uid.clone().unwrap_or_default();
        let history: Vec<String> = order.state().history.iter().map(|entry| entry.phase.clone()).collect();
        let of = |channel: &str| {
            let own = messages.iter().filter(|m| m.order_uid.as_ref() == Some(&uid) && m.channel == channel);
            own.filter(|m| !m.repeat).cloned().collect::<Vec<_>>()
        };
        let heard: Vec<String> = of("Webhook").iter().filter_map(|m| m.phase.clone()).collect();
        let ids: Vec<String> = of("AlimTalk").into_iter().map(|m| m.id).collect();
        let expected: Vec<String> = (0..history.len()).map(|step| format!("{uid}-{step}")).collect();
        let steps = history.len();
        checks.push((
            heard == history && ids == expected && (name != "lunch" || steps == STEPS),
            format!("{name}: the customer and the other service were told all {steps} steps, in order"),
        ));
    }
    checks
}

fn of_verdicts(seen: &Seen) -> Checks {
    vec![
        (
            seen.verdict("second-thoughts") == Some(CancellationVerdict::Accepted),
            "the cancel of second-thoughts was accepted".to_owned(),
        ),
        (
            seen.verdict("too-late") == Some(CancellationVerdict::Refused),
            "the cancel of too-late was refused".to_owned(),
        ),
        (
            seen.event("too-late", "CancelRefused").is_some(),
            "an Event on too-late says so (CancelRefused)".to_owned(),
        ),
        (
            seen.events.iter().all(|(about, _, _)| about != "lunch"),
            "nothing about lunch needed an Event".to_owned(),
        ),
    ]
}

fn of_writes(counted: &Writes, stamps_finalizers: bool) -> Checks {
    let sum = total(counted);
    let own_patches = counted.get(&Write::new("orders", "patch")).copied().unwrap_or_default();
    let mut checks = vec![(
        sum > 0 && sum <= MOST_WRITES + MOST_WRITES_ABOUT_IT,
        format!(
            "lunch cost the operator {sum} writes: at most {MOST_WRITES}, and {MOST_WRITES_ABOUT_IT} for counts and messages"
        ),
    )];
    if stamps_finalizers {
        checks
            .push((own_patches == 0, "none of them was for a finalizer: the API server sets it".to_owned()));
    }
    checks
}

/// The operator finds out by itself, and says it once.
fn of_what_the_server_lacks(log: &Path) -> Result<(bool, String)> {
    let log = std::fs::read_to_string(log).context("the operator's log")?;
    let told = log.matches("has no MutatingAdmissionPolicy").count();
    Ok((
        told == 1,
        "the operator said once that it writes the finalizers itself on this API server".to_owned(),
    ))
}

fn audit_line(found: &[String]) -> String {
    if found.is_empty() {
        "no order was charged twice, and none gave back more than it took".to_owned()
    } else {
        format!("the money is right ({})", found.join("; "))
    }
}

fn orders_table(seen: &Seen, balances: &BTreeMap<String, Balance>) -> String {
    let mut text = format!(
        "{:<16} {:<10} {:>7} {:>13} {:>13}\n",
        "ORDER", "PHASE", "TOTAL", "TAKEN (times)", "BACK (times)"
    );
    for (name, order) in &seen.orders {
        let Balance { captures, captured, refunds, refunded } =
            balances.get(&provider_order_id(order)).copied().unwrap_or_default();
        let state = order.state();
        let total = state.total.map(|total| total.to_string()).unwrap_or_default();
        let taken = format!("{captured} ({captures})");
        let back = format!("{refunded} ({refunds})");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<16} {:<10} {total:>7} {taken:>13} {back:>13}", state.phase.as_str());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(checks: Checks) -> usize {
        checks.into_iter().filter(|(holds, _)| !holds).count()
    }

    #[test]
    fn writes_are_too_many_above_sixteen_and_none_at_all_is_a_miscount() {
        let writes = |count| Writes::from([(Write::new("orders/status", "patch"), count)]);
        assert_eq!(failed(of_writes(&writes(16), true)), 0);
        assert_eq!(failed(of_writes(&writes(17), true)), 1);
        assert_eq!(failed(of_writes(&Writes::new(), true)), 1);
    }

    #[test]
    fn a_patch_of_an_order_itself_counts_only_against_a_server_that_sets_finalizers() {
        let stamped = Writes::from([(Write::new("orders", "patch"), 1)]);
        assert_eq!(failed(of_writes(&stamped, true)), 1);
        assert_eq!(failed(of_writes(&stamped, false)), 0);
    }

    #[test]
    fn what_was_not_seen_is_not_taken_for_granted() {
        let checks = of_verdicts(&Seen::default());
        assert_eq!(failed(checks), 3);
        assert!(of_order(&Seen::default(), &BTreeMap::new(), "lunch").is_err());
    }
}
