//! Holds what the orders say of their money against what the provider's ledger says. Pure.
//!
//! The rules: an order is captured at most once and never gives back more than it took; an order that was undone ends
//! with all of its money back; one that was completed keeps it; payments state what the ledger states.

use std::collections::BTreeMap;

use fooddelivery_api::{Order, Payment};
use fooddelivery_saga::phases::OrderPhase;
use fooddelivery_sandbox::ledger::{Entry, EntryKind};
use kube::ResourceExt;

/// The movements of one order id, in KRW.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Balance {
    /// How often money was taken.
    pub captures: usize,
    /// How much was taken.
    pub captured: i64,
    /// How often money was given back.
    pub refunds: usize,
    /// How much was given back.
    pub refunded: i64,
}

/// The balance of every order id in a ledger.
pub fn balances(ledger: &[Entry]) -> BTreeMap<String, Balance> {
    let mut balances: BTreeMap<String, Balance> = BTreeMap::new();
    for entry in ledger {
        let balance = balances.entry(entry.order_id.clone()).or_default();
        match entry.kind {
            EntryKind::Capture => {
                balance.captures += 1;
                balance.captured += entry.amount;
            }
            EntryKind::Refund => {
                balance.refunds += 1;
                balance.refunded += entry.amount;
            }
        }
    }
    balances
}

/// The id by which the provider knows an order: the one fixed at checkout, else the order's uid.
pub fn provider_order_id(order: &Order) -> String {
    order.spec.payment.provider_order_id.clone().or_else(|| order.uid()).unwrap_or_default()
}

/// Whether a condition of an order is `True`.
pub fn holds(order: &Order, condition: &str) -> bool {
    let conditions = order.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().any(|found| found.type_ == condition && found.status == "True")
}

/// What is wrong, a sentence each; empty when all is right. Money that is still on its way back is wrong only once
/// the order says that it is settled.
pub fn findings(orders: &[Order], payments: &[Payment], ledger: &[Entry]) -> Vec<String> {
    let balances = balances(ledger);
    let mut findings = Vec::new();
    for (id, balance) in &balances {
        if balance.captures > 1 {
            findings.push(format!("order id {id} was captured {} times", balance.captures));
        }
        if balance.refunded > balance.captured {
            let Balance { refunded, captured, .. } = balance;
            findings.push(format!("order id {id} gave back {refunded} of {captured} KRW"));
        }
    }
    for order in orders {
        let balance = balances.get(&provider_order_id(order)).copied().unwrap_or_default();
        findings.extend(of_order(order, balance));
    }
    for payment in payments {
        let balance = balances.get(&payment.spec.provider_order_id).copied().unwrap_or_default();
        let order = orders.iter().find(|order| order.uid().as_ref() == Some(&payment.spec.order_ref.uid));
        // An unsettled payment may know less than the ledger.
        if order.is_some_and(|order| holds(order, "Settled")) {
            findings.extend(of_payment(payment, balance));
        }
    }
    findings
}

/// Order ids that keep money although nothing is left that speaks of them, with the amount in KRW: orders that were
/// completed and then deleted, or money that was lost sight of.
pub fn unclaimed(orders: &[Order], payments: &[Payment], ledger: &[Entry]) -> Vec<(String, i64)> {
    let known = |id: &str| {
        orders.iter().any(|order| provider_order_id(order) == id)
            || payments.iter().any(|payment| payment.spec.provider_order_id == id)
    };
    let balances = balances(ledger).into_iter();
    let kept = balances.map(|(id, balance)| (id, balance.captured - balance.refunded));
    kept.filter(|(id, kept)| *kept != 0 && !known(id)).collect()
}

fn of_order(order: &Order, balance: Balance) -> Option<String> {
    let status = order.status.as_ref()?;
    let Balance { captured, refunded, .. } = balance;
    let found = match status.phase {
        OrderPhase::Completed if captured != status.total.unwrap_or_default() || refunded != 0 => {
            format!("of a total of {:?} KRW, {captured} were taken and {refunded} given back", status.total)
        }
        OrderPhase::Cancelled | OrderPhase::Rejected | OrderPhase::PaymentFailed
            if holds(order, "Settled") && refunded != captured =>
        {
            format!("of {captured} KRW taken, {refunded} were given back")
        }
        _ => return None,
    };
    Some(format!("order {} is {}: {found}", order.name_any(), status.phase))
}

fn of_payment(payment: &Payment, balance: Balance) -> Option<String> {
    let state = payment.state();
    let stated = (state.captured, state.refunded);
    (stated != (balance.captured, balance.refunded)).then(|| {
        format!(
            "payment {} states {} KRW captured and {} refunded; the ledger says {} and {}",
            payment.name_any(),
            stated.0,
            stated.1,
            balance.captured,
            balance.refunded
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn order(phase: &str, settled: bool) -> Order {
        let settled = if settled { "True" } else { "False" };
        serde_json::from_value(json!({
            "apiVersion": "fooddelivery.dev/v1alpha1", "kind": "Order",
            "metadata": { "name": "lunch", "uid": "u1" },
            "spec": {
                "customerRef": { "name": "c" }, "items": [{ "menuItem": "m", "quantity": 1 }],
                "delivery": { "address": "a", "region": "r" },
                "payment": { "providerRef": { "name": "p" }, "token": "t" },
            },
            "status": {
                "phase": phase, "total": 100,
                "conditions": [{ "type": "Settled", "status": settled, "reason": "x",
                                 "lastTransitionTime": "2026-01-01T00:00:00Z" }],
            },
        }))
        .unwrap()
    }

    fn payment(captured: i64, refunded: i64) -> Payment {
        serde_json::from_value(json!({
            "apiVersion": "fooddelivery.dev/v1alpha1", "kind": "Payment",
            "metadata": { "name": "lunch" },
            "spec": {
                "orderRef": { "name": "lunch", "uid": "u1" },
                "quote": { "storeUid": "s", "lines": [], "discount": 0, "total": 100, "currency": "KRW" },
                "providerRef": { "name": "p" }, "providerOrderId": "u1", "token": "t",
                "whenUnavailable": "Defer", "desired": "Captured",
            },
            "status": { "phase": "Captured", "capturedAmount": captured, "refundedAmount": refunded },
        }))
        .unwrap()
    }

    fn ledger(movements: &[(&str, i64)]) -> Vec<Entry> {
        let entry = |(seq, (kind, amount)): (usize, &(&str, i64))| {
            serde_json::from_value(json!({
                "seq": seq + 1, "at": "2026-01-01T00:00:00Z", "kind": kind, "paymentKey": "k",
                "orderId": "u1", "amount": amount, "idempotencyKey": null,
            }))
            .unwrap()
        };
        movements.iter().enumerate().map(entry).collect()
    }

    fn found(order: Order, movements: &[(&str, i64)]) -> String {
        findings(&[order], &[], &ledger(movements)).join("; ")
    }

    #[test]
    fn a_completed_order_was_charged_its_total_once_and_kept_it() {
        assert_eq!(found(order("Completed", true), &[("Capture", 100)]), "");
        assert!(found(order("Completed", true), &[]).contains("0 were taken"));
        assert!(found(order("Completed", true), &[("Capture", 90)]).contains("90 were taken"));
        let back = [("Capture", 100), ("Refund", 1)];
        assert!(found(order("Completed", true), &back).contains("1 given back"));
        let twice = [("Capture", 100), ("Capture", 100)];
        assert!(found(order("AwaitingStore", false), &twice).contains("captured 2 times"));
    }

    #[test]
    fn an_order_that_was_undone_has_its_money_back_once_it_is_settled() {
        for phase in ["Cancelled", "Rejected", "PaymentFailed"] {
            assert_eq!(found(order(phase, true), &[("Capture", 100), ("Refund", 100)]), "");
            assert_eq!(found(order(phase, true), &[]), "", "nothing was taken");
            assert_eq!(found(order(phase, false), &[("Capture", 100)]), "", "under way");
            assert!(found(order(phase, true), &[("Capture", 100), ("Refund", 60)]).contains("60 were given"));
        }
    }

    #[test]
    fn no_order_gives_back_more_than_it_took_not_even_one_that_is_gone() {
        let movements = ledger(&[("Capture", 100), ("Refund", 60), ("Refund", 60)]);
        assert!(findings(&[], &[], &movements)[0].contains("gave back 120 of 100"));
    }

    #[test]
    fn money_that_nobody_speaks_of_is_listed() {
        let movements = ledger(&[("Capture", 100), ("Refund", 60)]);
        assert_eq!(unclaimed(&[], &[], &movements), [("u1".to_owned(), 40)]);
        assert_eq!(unclaimed(&[order("Completed", true)], &[], &movements), []);
        assert_eq!(unclaimed(&[], &[payment(0, 0)], &movements), []);
        assert_eq!(unclaimed(&[], &[], &ledger(&[("Capture", 100), ("Refund", 100)])), []);
    }

    #[test]
    fn a_settled_payment_states_what_the_ledger_states() {
        let movements = ledger(&[("Capture", 100)]);
        let completed = [order("Completed", true)];
        assert_eq!(findings(&completed, &[payment(100, 0)], &movements), Vec::<String>::new());
        assert!(findings(&completed, &[payment(0, 0)], &movements)[0].contains("states 0 KRW captured"));
        let open = [order("AwaitingStore", false)];
        assert_eq!(findings(&open, &[payment(0, 0)], &movements), Vec::<String>::new());
    }
}
