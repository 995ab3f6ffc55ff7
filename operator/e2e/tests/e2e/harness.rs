//! The harness itself: a test namespace serves an order with its operator killed on the way, and its waits tell why they fail.

use std::time::Duration;

use fooddelivery_e2e::{
    CancellationVerdict, EntryKind, LONG, NamespaceOptions, OrderPhase, Payment, PaymentPhase, TestCluster,
    Ticket, TicketStage,
};
use serde_json::json;

#[tokio::test]
async fn a_namespace_serves_an_order_although_its_operator_is_killed_and_a_wait_that_fails_shows_everything()
{
    let ns = TestCluster::shared().await.unwrap().namespace("served").await.unwrap();
    ns.order("lunch", |_| {}).await.unwrap();
    ns.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await.unwrap();
    // The phase comes first: a crash between the two would leave the ticket to the next start.
    ns.wait_until::<Ticket>("lunch", "to be in the queue", LONG, |_| true).await.unwrap();
    ns.operator.kill_hard().unwrap();
    assert!(!ns.operator.is_running());
    ns.move_ticket("lunch", TicketStage::Accepted).await.unwrap();
    let short = Duration::from_millis(200);
    let shown = ns.wait_phase("lunch", OrderPhase::Accepted, short).await.unwrap_err().to_string();
    for part in ["phase Accepted", "kind: Ticket", "Capture 28500", "operator (not running)"] {
        assert!(shown.contains(part), "{part} is missing in {shown}");
    }
    ns.operator.restart().await.unwrap();
    ns.move_ticket("lunch", TicketStage::Cooking).await.unwrap();
    ns.move_ticket("lunch", TicketStage::Cooked).await.unwrap();
    let refused = ns.move_ticket("lunch", TicketStage::Cooking).await.unwrap_err();
    assert!(format!("{refused:#}").contains("cannot go from Cooked to Cooking"), "{refused:#}");
    ns.complete("lunch").await.unwrap();
    let shown = ns.wait_phase("lunch", OrderPhase::Cancelled, LONG).await.unwrap_err().to_string();
    assert!(shown.contains("but it is Completed"), "at once: {shown}");
    ns.audit().await.unwrap();
    assert!(ns.operator.metrics().await.unwrap().contains("fooddelivery_"));
}

#[tokio::test]
async fn a_namespace_of_its_own_refunds_replaces_faults_and_is_closed_without_a_trace() {
    let cluster = TestCluster::shared().await.unwrap();
    let options = NamespaceOptions { operator_stopped: true, ..NamespaceOptions::default() };
    let ns = cluster.namespace_with("refunded", options).await.unwrap();
    let drop_after = json!([{ "match": { "operation": "confirm" }, "fault": { "type": "DropAfter" } }]);
    ns.sandbox.set_faults(drop_after).await.unwrap();
    ns.order("second-thoughts", |spec| spec.expected_total = Some(28_500)).await.unwrap();
    ns.operator.restart().await.unwrap();
    ns.wait_phase("second-thoughts", OrderPhase::AwaitingStore, LONG).await.unwrap();
    assert_eq!(ns.sandbox.calls().await.unwrap()[0].fault.as_deref(), Some("DropAfter"));
    ns.sandbox.restart().await.unwrap();
    ns.cancel("second-thoughts", "changed my mind").await.unwrap();
    let order = ns.wait_condition("second-thoughts", "Settled", LONG).await.unwrap();
    assert_eq!(order.status.unwrap().cancellation, Some(CancellationVerdict::Accepted));
    let refunded = |payment: &Payment| payment.state().phase == PaymentPhase::Refunded;
    ns.wait_until("second-thoughts", "phase Refunded", LONG, refunded).await.unwrap();
    let ledger = ns.ledger().await.unwrap();
    let moved: Vec<_> = ledger.iter().map(|entry| (entry.kind, entry.amount)).collect();
    assert_eq!(moved, [(EntryKind::Capture, 28_500), (EntryKind::Refund, 28_500)]);
    ns.audit().await.unwrap();
    let no_order = "apiVersion: fooddelivery.dev/v1alpha1\nkind: Order\nmetadata:\n  name: x\n";
    let refused = ns.apply_yaml(no_order).await.unwrap_err();
    assert!(refused.contains("spec"), "kubectl's versions word it differently: {refused}");
    let namespace = ns.name.clone();
    ns.close().await.unwrap();
    let gone = cluster.access().kubectl(["get", "namespace", &namespace]).await.unwrap_err();
    assert!(gone.to_string().contains("NotFound"), "{gone}");
}
