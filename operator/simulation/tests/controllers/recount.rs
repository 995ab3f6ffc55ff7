//! `recount`, which looks at counts beside the operator.

use fooddelivery_controller::admin::recount::recount;
use serde_json::{Value, json};

use super::bench::{Bench, DISH};

#[tokio::test(start_paused = true)]
async fn a_dish_that_has_left_the_menu_is_not_reported_twice() {
    // One more than are listed: the store wrote them when they were on the menu.
    let old: Vec<Value> =
        (0..51).map(|n| json!({ "menuItem": format!("old-{n:02}"), "orders": 3, "quantity": 3 })).collect();
    let status = json!({ "ordersByMenuItem": old, "departed": { "ordersByMenuItem": old } });
    let bench = Bench::new().status("stores", "hanok", &status);
    let found = recount(bench.operators_client(), Some("food"), false).await.unwrap();
    assert_eq!(found.behind, Vec::<String>::new(), "no order is missing");
    let bench = bench.order("lunch").paid().ticket(&["Accepted", "Cooking"]);
    let found = recount(bench.operators_client(), Some("food"), false).await.unwrap();
    assert_eq!(found.behind, [format!("store food/hanok: shows orders of {DISH} 0, and comes to 1")]);
}
