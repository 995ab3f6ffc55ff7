//! What `drain` waits for, and what it says meanwhile.

use fooddelivery_api::{GROUP, VERSION};
use fooddelivery_controller::admin::drain::{Open, moving_payment, open_order, progress};
use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

fn object(kind: &str, status: &Value) -> DynamicObject {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, VERSION, kind));
    DynamicObject::new("lunch", &resource).within("food").data(json!({ "status": status }))
}

#[test]
fn an_order_is_open_until_it_has_ended_and_its_money_is_settled() {
    let with = |ended: &str, settled: &str| {
        let conditions = json!([
            { "type": "Ended", "status": ended }, { "type": "Settled", "status": settled },
        ]);
        open_order(&object("Order", &json!({ "phase": "Cancelled", "conditions": conditions })))
    };
    assert_eq!(with("True", "True"), None);
    let open = Some(("food/lunch".to_owned(), "Cancelled".to_owned()));
    assert_eq!(with("True", "False"), open);
    assert_eq!(with("False", "True"), open);
    assert_eq!(open_order(&object("Order", &Value::Null)), Some(("food/lunch".into(), "unknown".into())));
}

#[test]
fn money_that_is_on_its_way_or_waits_for_a_person_is_not_at_rest() {
    for (phase, moves) in [("Captured", false), ("Voided", false), ("Refunding", true), ("NeedsReview", true)]
    {
        let payment = object("Payment", &json!({ "phase": phase }));
        assert_eq!(moving_payment(&payment).is_some(), moves, "{phase}");
    }
}

#[test]
fn progress_counts_by_phase_and_names_the_first() {
    let open: Open = (0..6).map(|n| (format!("food/o{n}"), "Cooking".to_owned())).collect();
    let text = progress(&open, "orders");
    assert_eq!(text, "open orders: 6 Cooking (food/o0, food/o1, food/o2, food/o3, food/o4, …)");
}
