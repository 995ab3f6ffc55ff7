//! The harness itself: a kitchen serves an order with its operator killed on the way, and its waits tell why they fail.

use std::time::Duration;

use fooddelivery_e2e::{
    CancellationVerdict, EntryKind, KitchenOptions, LONG, OrderPhase, Payment, PaymentPhase, Stage, Ticket,
    TicketStage,
};
use serde_json::json;

#[tokio::test]
async fn a_kitchen_serves_an_order_although_its_operator_is_killed_and_a_wait_that_fails_shows_everything() {
    let kitchen = Stage::shared().await.unwrap().kitchen("served").await.unwrap();
    kitchen.order("lunch", |_| {}).await.unwrap();
    kitchen.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await.unwrap();
    // The phase comes first: a crash between the two would leave the ticket to the next start.
    kitchen.wait_until::<Ticket>("lunch", "to be in the queue", LONG, |_| true).await.unwrap();
    kitchen.operator.kill_hard().unwrap();
    assert!(!kitchen.operator.is_running());
    kitchen.move_ticket("lunch", TicketStage::Accepted).await.unwrap();
    let short = Duration::from_millis(200);
    let shown = kitchen.wait_phase("lunch", OrderPhase::Accepted, short).await.unwrap_err().to_string();
    for part in ["phase Accepted", "kind: Ticket", "Capture 28500", "operator (not running)"] {
        assert!(shown.contains(part), "{part} is missing in {shown}");
    }
    kitchen.operator.restart().await.unwrap();
    kitchen.move_ticket("lunch", TicketStage::Cooking).await.unwrap();
    kitchen.move_ticket("lunch", TicketStage::Cooked).await.unwrap();
    let refused = kitchen.move_ticket("lunch", TicketStage::Cooking).await.unwrap_err();
    assert!(format!("{refused:#}").contains("cannot go from Cooked to Cooking"), "{refused:#}");
    kitchen.complete("lunch").await.unwrap();
    let shown = kitchen.wait_phase("lunch", OrderPhase::Cancelled, LONG).await.unwrap_err().to_string();
    assert!(shown.contains("but it is Completed"), "at once: {shown}");
    kitchen.audit().await.unwrap();
    assert!(kitchen.operator.metrics().await.unwrap().contains("fooddelivery_"));
}

#[tokio::test]
async fn a_kitchen_of_its_own_refunds_replaces_faults_and_is_closed_without_a_trace() {
    let stage = Stage::shared().await.unwrap();
    let options = KitchenOptions { operator_stopped: true, ..KitchenOptions::default() };
    let kitchen = stage.kitchen_with("refunded", options).await.unwrap();
    let drop_after = json!([{ "match": { "operation": "confirm" }, "fault": { "type": "DropAfter" } }]);
    kitchen.sandbox.set_faults(drop_after).await.unwrap();
    kitchen.order("second-thoughts", |spec| spec.expected_total = Some(28_500)).await.unwrap();
    kitchen.operator.restart().await.unwrap();
    kitchen.wait_phase("second-thoughts", OrderPhase::AwaitingStore, LONG).await.unwrap();
    assert_eq!(kitchen.sandbox.calls().await.unwrap()[0].fault.as_deref(), Some("DropAfter"));
    kitchen.sandbox.restart().await.unwrap();
    kitchen.cancel("second-thoughts", "changed my mind").await.unwrap();
    let order = kitchen.wait_condition("second-thoughts", "Settled", LONG).await.unwrap();
    assert_eq!(order.status.unwrap().cancellation, Some(CancellationVerdict::Accepted));
    let refunded = |payment: &Payment| payment.state().phase == PaymentPhase::Refunded;
    kitchen.wait_until("second-thoughts", "phase Refunded", LONG, refunded).await.unwrap();
    let ledger = kitchen.ledger().await.unwrap();
    let moved: Vec<_> = ledger.iter().map(|entry| (entry.kind, entry.amount)).collect();
    assert_eq!(moved, [(EntryKind::Capture, 28_500), (EntryKind::Refund, 28_500)]);
    kitchen.audit().await.unwrap();
    let no_order = "apiVersion: fooddelivery.dev/v1alpha1\nkind: Order\nmetadata:\n  name: x\n";
    let refused = kitchen.apply_yaml(no_order).await.unwrap_err();
    assert!(refused.contains("spec"), "kubectl's versions word it differently: {refused}");
    let namespace = kitchen.namespace.clone();
    kitchen.close().await.unwrap();
    let gone = stage.access().kubectl(["get", "namespace", &namespace]).await.unwrap_err();
    assert!(gone.to_string().contains("NotFound"), "{gone}");
}
