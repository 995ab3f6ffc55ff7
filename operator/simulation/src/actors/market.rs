//! The marketplace around the orders: stores, a customer with a preference, a coupon, riders with a capacity;
//! and what people do to these.

use serde_json::{Value, json};

use super::{Act, PRICE, STORE, create, patch};
use crate::apiserver::Verb;
use crate::objects::{is_dying, name_of, request};
use crate::plan::{CouponPlan, CustomerPlan, Plan};
use crate::world::World;

/// The customer who may prefer a store.
pub(super) const CUSTOMER: &str = "jiwoo";
/// The coupon's name, its code.
pub(super) const COUPON: &str = "spring";
/// The riders; the first one helps.
pub(super) const RIDERS: [&str; 2] = ["minsu", "sora"];
/// The store that there sometimes is beside the other.
const OTHER_STORE: &str = "bunsik";

const PERCENT: i64 = 25;
const AMOUNT: i64 = 5_000;

/// What the coupon takes off.
pub(super) fn discount(coupon: &CouponPlan, subtotal: i64) -> i64 {
    if coupon.is_part { subtotal * PERCENT / 100 } else { AMOUNT }
}

fn stores(plan: &Plan) -> &'static [&'static str] {
    if plan.two_stores { &[STORE, OTHER_STORE] } else { &[STORE] }
}

pub(super) fn set_up(world: &mut World, plan: &Plan) {
    for store in stores(plan) {
        make_store(world, plan, store);
    }
    match plan.customer {
        CustomerPlan::Prefers => prefer(world, Some(STORE)),
        CustomerPlan::Undecided => prefer(world, None),
        CustomerPlan::Missing => {}
    }
    if has_coupon(plan) && !plan.coupon.is_late {
        make_coupon(world, &plan.coupon);
    }
    for (rider, capacity) in RIDERS.iter().zip(plan.capacities) {
        make_rider(world, rider, capacity);
    }
}

/// Whether any order names the coupon.
fn has_coupon(plan: &Plan) -> bool {
    plan.orders.iter().any(|order| order.coupon)
}

/// Whether any order goes where its customer prefers.
fn has_preference(plan: &Plan) -> bool {
    plan.orders.iter().any(|order| order.names_no_store && !order.of_another)
}

fn make_store(world: &mut World, plan: &Plan, name: &str) {
    let spec = json!({
        "region": "mapo", "open": true, "acceptance": if plan.automatic { "Automatic" } else { "Manual" },
        "menu": [{ "name": "bibimbap", "price": PRICE }],
        "deadlines": {
            "acceptanceSeconds": 240, "cookingSeconds": 600, "riderSeconds": 300, "pickupSeconds": 180,
            "deliverySeconds": 600, "confirmationSeconds": 900,
        },
    });
    create(world, "admin", "stores", "Store", name, &spec);
}

fn make_coupon(world: &mut World, plan: &CouponPlan) {
    let discount = if plan.is_part { json!({ "percent": PERCENT }) } else { json!({ "amount": AMOUNT }) };
    let mut spec = json!({ "discount": discount });
    if let Some(most) = plan.most {
        spec["maxRedemptions"] = most.into();
    }
    if plan.once_each {
        spec["perCustomer"] = 1.into();
    }
    create(world, "admin", "coupons", "Coupon", COUPON, &spec);
}

fn make_rider(world: &mut World, name: &str, capacity: Option<u32>) {
    if let Some(capacity) = capacity {
        create(world, "admin", "riders", "Rider", name, &json!({ "region": "mapo", "capacity": capacity }));
    }
}

/// The customer says what they prefer; they are made where they are only a name.
fn prefer(world: &mut World, store: Option<&str>) {
    let preferred = store.map(|name| json!({ "name": name }));
    let spec = json!({ "preferredStoreRef": preferred });
    if find(world, "customers", CUSTOMER).is_some() {
        patch(world, "customer", "customers", CUSTOMER, &json!({ "spec": spec }));
    } else {
        let spec = if preferred.is_some() { spec } else { json!({}) };
        create(world, "customer", "customers", "Customer", CUSTOMER, &spec);
    }
}

fn find<'a>(world: &'a World, plural: &str, name: &str) -> Option<&'a Value> {
    world.server.objects(plural).find(|object| object["metadata"]["name"] == name)
}

/// Whether a rider can carry one more; who is only a name can carry any number.
pub(super) fn has_room(world: &World, rider: &str) -> bool {
    let carried = world.server.objects("deliveries").filter(|delivery| {
        let is_open = delivery["spec"]["stage"] == "Waiting" || delivery["spec"]["stage"] == "PickedUp";
        is_open && delivery["spec"]["riderRef"]["name"] == rider
    });
    let carried = i64::try_from(carried.count()).unwrap_or(i64::MAX);
    let capacity = find(world, "riders", rider).and_then(|found| found["spec"]["capacity"].as_i64());
    capacity.is_none_or(|capacity| carried < capacity)
}

/// What can be done to all of this now.
pub(super) fn possible(world: &World, plan: &Plan, dying: bool, acts: &mut Vec<Act>) {
    for store in world.server.objects("stores") {
        acts.push(Act::Open(name_of(store), store["spec"]["open"] != true));
    }
    let mut either = |there: bool, act: &dyn Fn(bool) -> Act| {
        // One that is gone is made again.
        if there || !dying {
            acts.push(act(!there));
        }
    };
    for store in stores(plan) {
        either(find(world, "stores", store).is_some(), &|made| Act::Store(store, made));
    }
    if has_coupon(plan) {
        either(find(world, "coupons", COUPON).is_some(), &Act::Coupon);
    }
    for (rider, capacity) in RIDERS.iter().zip(plan.capacities) {
        if capacity.is_some() {
            either(find(world, "riders", rider).is_some(), &|made| Act::Rider(rider, made));
        }
    }
    if has_preference(plan) && !dying {
        if find(world, "customers", CUSTOMER).is_some() {
            acts.push(Act::ForgetCustomer);
        }
        acts.extend(stores(plan).iter().map(|store| Act::Prefer(Some(store))));
        acts.push(Act::Prefer(None));
    }
}

pub(super) fn take(world: &mut World, plan: &Plan, act: &Act) {
    let mut delete = |plural: &str, name: &str| {
        let request = request(Verb::Delete, plural, name, &Value::Null);
        world.request("admin", "admin", &request);
    };
    match act {
        Act::Store(name, false) => delete("stores", name),
        Act::Coupon(false) => delete("coupons", COUPON),
        Act::Rider(name, false) => delete("riders", name),
        Act::ForgetCustomer => delete("customers", CUSTOMER),
        Act::Store(name, true) => make_store(world, plan, name),
        Act::Coupon(true) => make_coupon(world, &plan.coupon),
        Act::Rider(name, true) => {
            let number = RIDERS.iter().position(|rider| rider == name);
            make_rider(world, name, number.and_then(|number| plan.capacities[number]));
        }
        Act::Prefer(store) => prefer(world, *store),
        Act::Open(name, open) => {
            patch(world, "store", "stores", name, &json!({ "spec": { "open": open } }));
        }
        _ => {}
    }
}

/// An order that names no store waits for its customer to prefer one.
pub(super) fn put_right(world: &mut World, plan: &Plan) {
    let prefers = find(world, "customers", CUSTOMER)
        .is_some_and(|customer| customer["spec"]["preferredStoreRef"].is_object());
    if has_preference(plan) && !prefers && !is_dying(&world.server) {
        prefer(world, Some(STORE));
    }
}
