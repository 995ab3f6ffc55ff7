//! What an order costs the operator's memory: everything that its caches and indexes hold of one that has ended.
#![allow(clippy::expect_used)]

use fooddelivery_api::{Delivery, Order, Payment, Ticket};
use fooddelivery_controller::context::Caches;
use fooddelivery_controller::indexes::Indexes;
use fooddelivery_runtime::Cache;
use kube::ResourceExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// As the binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ORDERS: usize = 20_000;
/// In a text, the number of an order, and that of its customer.
const NUMBER: &str = "@@@@@@@@";
const CUSTOMER: &str = "####";
/// Where it is followed by a digit, something that is another in each object, as a uid or a token is: 32 hexadecimal digits.
const RANDOM: &str = "$$$$$$$$";
/// Order, Payment, Ticket and Delivery together.
const BYTES_PER_ORDER_MAX: usize = 3_000;
/// One customer, and one customer's count of a coupon.
const BYTES_PER_CUSTOMER_MAX: usize = 600;

/// Resident memory of this process in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    let kibibytes: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kibibytes * 1_024
}

/// The same for the same seed, and like nothing of another.
fn random(seed: u64) -> u128 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let half = |part: u8| {
        let mut hasher = DefaultHasher::new();
        (seed, part).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}

/// Metadata as the API server sends it.
fn metadata(kind: usize, finalized: bool) -> Value {
    let fields = json!({ "f:status": { "f:phase": {}, "f:history": {}, "f:conditions": {
        "k:{\"type\":\"Paid\"}": { ".": {}, "f:lastTransitionTime": {}, "f:status": {}, "f:type": {} } } } });
    let manager = |name: &str| {
        json!({
            "manager": name, "operation": "Update", "apiVersion": "fooddelivery.dev/v1alpha1",
            "time": "2026-11-30T12:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": fields,
        })
    };
    json!({
        "name": format!("order-{NUMBER}"), "namespace": "food", "generation": 4,
        "uid": format!("{RANDOM}{kind}"), "resourceVersion": format!("1{NUMBER}"),
        "creationTimestamp": "2026-11-30T12:00:00Z",
        "finalizers": finalized.then_some(["fooddelivery.dev/saga"]),
        "managedFields": (["kubectl-client-side-apply", "fooddelivery-operator", "actor"].map(manager)),
    })
}

fn order() -> Value {
    let mut metadata = metadata(0, true);
    metadata["annotations"] = json!({
        "kubectl.kubernetes.io/last-applied-configuration": "x".repeat(900),
        "example.com/a-copy-of-the-basket": "x".repeat(2_000),
    });
    let phases = [
        "AwaitingPayment",
        "AwaitingStore",
        "Accepted",
        "Cooking",
        "AwaitingRider",
        "RiderAssigned",
        "PickedUp",
        "Delivered",
        "Completed",
    ];
    let step = |phase: &str| json!({ "phase": phase, "at": "2026-11-30T12:00:01.250Z" });
    let condition = |kind: &str| {
        json!({
            "type": kind, "status": "True", "reason": kind, "lastTransitionTime": "2026-11-30T12:00:01.250Z",
        })
    };
    json!({
        "apiVersion": "fooddelivery.dev/v1alpha1", "kind": "Order", "metadata": metadata,
        "spec": {
            "customerRef": { "name": format!("customer-{CUSTOMER}") }, "storeRef": { "name": "hanok" },
            "items": [
                { "menuItem": "bibimbap", "quantity": 2, "options": ["egg"] },
                { "menuItem": "kimchi-jjigae", "quantity": 1 },
            ],
            "delivery": { "address": format!("{NUMBER} Teheran-ro, Gangnam-gu"), "region": "seoul-gangnam" },
            "payment": { "providerRef": { "name": "toss" }, "token": format!("tok-{RANDOM}6"), "whenUnavailable": "Defer" },
            "receiptConfirmed": true,
        },
        "status": {
            "phase": "Completed", "storeRef": { "name": "hanok" }, "total": 31_000, "observedGeneration": 4,
            "history": (phases.map(step)),
            "conditions": (["Paid", "Settled"].map(condition)),
        },
    })
}

fn order_ref() -> Value {
    json!({ "name": format!("order-{NUMBER}"), "uid": format!("{RANDOM}0") })
}

fn payment() -> Value {
    json!({
        "apiVersion": "fooddelivery.dev/v1alpha1", "kind": "Payment", "metadata": metadata(1, true),
        "spec": {
            "orderRef": order_ref(), "providerRef": { "name": "toss" }, "token": format!("tok-{RANDOM}6"),
            "providerOrderId": format!("{RANDOM}0"),
            "whenUnavailable": "Defer", "desired": "Captured",
            "quote": {
                "storeName": "hanok", "storeUid": "6f1c2d3e-0000-4000-8000-ffffffffffff",
                "lines": [
                    { "menuItem": "bibimbap", "quantity": 2, "options": ["egg"], "unitPrice": 11_000, "amount": 22_000 },
                    { "menuItem": "kimchi-jjigae", "quantity": 1, "unitPrice": 9_000, "amount": 9_000 },
                ],
                "discount": 0, "total": 31_000, "currency": "KRW",
            },
        },
        "status": {
            "phase": "Captured", "attempt": 1, "firstAttemptAt": "2026-11-30T12:00:00.250Z",
            "providerPaymentId": format!("pay-{RANDOM}7"), "providerUid": "6f1c2d3e-0000-4000-8000-eeeeeeeeeeee",
            "credentialFingerprint": "d9c7a0a1b2c3d4e5", "capturedAmount": 31_000, "observedGeneration": 1,
        },
    })
}

fn ticket() -> Value {
    json!({
        "apiVersion": "fooddelivery.dev/v1alpha1", "kind": "Ticket", "metadata": metadata(2, false),
        "spec": {
            "orderRef": order_ref(), "stage": "Cooked",
            "storeRef": { "name": "hanok", "uid": "6f1c2d3e-0000-4000-8000-ffffffffffff" },
            "items": order()["spec"]["items"],
        },
        "status": {
            "phase": "Cooked", "acceptedAt": "2026-11-30T12:00:02Z", "cookingAt": "2026-11-30T12:00:03Z",
            "cookedAt": "2026-11-30T12:00:04Z", "observedGeneration": 4,
        },
    })
}

fn delivery() -> Value {
    json!({
        "apiVersion": "fooddelivery.dev/v1alpha1", "kind": "Delivery", "metadata": metadata(3, false),
        "spec": {
            "orderRef": order_ref(), "stage": "Delivered", "riderRef": { "name": format!("rider-{CUSTOMER}") },
            "pickup": { "name": "hanok", "uid": "6f1c2d3e-0000-4000-8000-ffffffffffff" },
            "dropoff": order()["spec"]["delivery"],
        },
        "status": {
            "phase": "Delivered", "pickedUpAt": "2026-11-30T12:00:05Z", "deliveredAt": "2026-11-30T12:00:06Z",
            "observedGeneration": 4,
        },
    })
}

fn customer() -> Value {
    json!({
        "apiVersion": "fooddelivery.dev/v1alpha1", "kind": "Customer", "metadata": metadata(4, false),
        "spec": { "preferredStoreRef": { "name": "hanok" }, "contact": "+82-10-0000-0000" },
    })
}

fn coupon_use() -> Value {
    json!({
        "apiVersion": "fooddelivery.dev/v1alpha1", "kind": "CouponUse", "metadata": metadata(5, false),
        "spec": {
            "couponRef": { "name": "spring", "uid": "6f1c2d3e-0000-4000-8000-cccccccccccc" },
            "customerRef": { "name": format!("customer-{CUSTOMER}") },
        },
        "status": { "used": 1 },
    })
}

/// Puts objects into a cache as a watch brings them, reads the last one back, and says by how much memory has grown, in bytes
/// an object.
fn fill<K: ResourceExt + DeserializeOwned + Serialize>(
    cache: &Cache<K>,
    object: &Value,
    count: usize,
) -> usize {
    let text = object.to_string();
    let before = resident();
    let mut last = None;
    for n in 0..count {
        let mut line =
            text.replace(NUMBER, &format!("{n:08}")).replace(CUSTOMER, &format!("{:04}", n % 5_000));
        for of in 0..10_u64 {
            line = line.replace(&format!("{RANDOM}{of}"), &format!("{:032x}", random(n as u64 * 10 + of)));
        }
        last = Some(cache.apply(serde_json::from_str(&line).expect("an object of its kind")));
    }
    let grown = resident().saturating_sub(before) / count;
    let (key, came) = last.expect("at least one");
    let held = cache.object(&key).expect("what came");
    let value = |object: &K| serde_json::to_value(object).expect("JSON");
    assert_eq!(value(&held), value(&came), "what is packed is read as it was");
    grown
}

#[test]
fn what_has_come_to_rest_takes_little_memory() {
    // What parsing takes for itself, once.
    fill(&Caches::default().orders, &order(), 10);
    let caches = Caches::default();
    let Caches { orders, payments, deliveries, coupon_uses, .. } = &caches;
    let _indexes = Indexes::new(orders, payments, deliveries, coupon_uses);
    let of_orders = fill(&caches.orders, &order(), ORDERS);
    let of_payments = fill(&caches.payments, &payment(), ORDERS);
    let of_tickets = fill(&caches.tickets, &ticket(), ORDERS);
    let of_deliveries = fill(&caches.deliveries, &delivery(), ORDERS);
    let sum = of_orders + of_payments + of_tickets + of_deliveries;
    println!(
        "bytes an order: {sum} (order {of_orders}, payment {of_payments}, ticket {of_tickets}, delivery \
         {of_deliveries}); structures: {} {} {} {}",
        size_of::<Order>(),
        size_of::<Payment>(),
        size_of::<Ticket>(),
        size_of::<Delivery>(),
    );
    assert!(sum <= BYTES_PER_ORDER_MAX, "{sum} bytes an order");
    assert!(sum > BYTES_PER_ORDER_MAX / 4, "{sum} bytes an order are too few to be true: nothing was held");
    // In the same test: what another one has freed would be taken for free.
    let of_customers = fill(&caches.customers, &customer(), 3 * ORDERS);
    let of_counts = fill(&caches.coupon_uses, &coupon_use(), 3 * ORDERS);
    println!("bytes a customer: {of_customers}; a customer's count of a coupon: {of_counts}");
    assert!(of_customers.max(of_counts) <= BYTES_PER_CUSTOMER_MAX, "{of_customers} and {of_counts} bytes");
    assert!(of_customers.min(of_counts) > BYTES_PER_CUSTOMER_MAX / 5, "too few to be true: nothing was held");
}

#[test]
fn an_order_with_a_word_that_this_version_does_not_know_is_held_as_it_came() {
    let mut order = order();
    order["status"]["conditions"][0]["type"] = json!("Teleported");
    order["status"]["history"][3]["phase"] = json!("Teleporting");
    let caches = Caches::default();
    let (key, came) = caches.orders.apply(serde_json::from_value(order).expect("an order"));
    assert_eq!(caches.orders.object(&key).as_deref(), Some(&*came));
}
