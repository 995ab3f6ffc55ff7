//! What is there before anything is measured: customers, uses of a coupon, stores, riders and orders, in the numbers of a
//! marketplace that has been at work for long. One of each is made as users and the operator make it, by a played order; the
//! rest are copies of it under other names and uids, written straight into etcd, as the API server would take an hour.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fooddelivery_api::GROUP;
use fooddelivery_e2e::etcd::Etcd;
use fooddelivery_e2e::{ClusterAccess, POLL};
use kube::api::{Api, DynamicObject};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::actors::{Actors, Placed, STEPS, position, resource};
use crate::cost;
use crate::stage::{self, NAMESPACE};

/// How long the orders that are copied may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// Names of what is copied.
const CUSTOMER: &str = "crowd-customer";
const STORE: &str = "crowd-store";
const RIDER: &str = "crowd-rider";
const COUPON: &str = "crowd-coupon";
/// The order that has ended, and the one that waits for its store.
const ENDED: &str = "crowd-ended";
const OPEN: &str = "crowd-open";
/// An order, and what belongs to it, by kind and by the last part of their keys.
const OF_ORDER: [(&str, &str); 4] =
    [("Order", "orders"), ("Payment", "payments"), ("Ticket", "tickets"), ("Delivery", "deliveries")];

/// How many there are of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) customers: usize,
    pub(crate) coupon_uses: usize,
    pub(crate) stores: usize,
    pub(crate) riders: usize,
    /// Orders that were completed, with all that belongs to them.
    pub(crate) ended: usize,
    /// Orders that are paid and wait for their stores.
    pub(crate) open: usize,
}

impl Size {
    /// A part of, or so many times, a town's: 1 is 100,000 customers and 30,000 orders that have ended.
    pub(crate) fn of_town(scale: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
        let scaled = |count: f64| (count * scale).ceil() as usize;
        Self {
            customers: scaled(100_000.0),
            coupon_uses: scaled(20_000.0),
            stores: scaled(1_000.0),
            riders: scaled(2_000.0),
            ended: scaled(30_000.0),
            open: 0,
        }
    }

    /// Orders that wait for ten stores, and nothing else.
    pub(crate) fn of_open(open: usize) -> Self {
        Self { customers: 100, coupon_uses: 0, stores: 10, riders: 1, ended: 0, open }
    }
}

/// The name of an open order's copy.
pub(crate) fn open_name(number: usize) -> String {
    format!("{OPEN}-{number}")
}

/// Makes them all. The operator has to run, to bring what is copied to its end; `retired` is to end it before the copies
/// are written.
pub(crate) async fn fill(
    access: &ClusterAccess,
    client: &Client,
    size: Size,
    retired: impl AsyncFnOnce() -> Result<()>,
) -> Result<()> {
    ClusterAccess::apply(client, &marketplace().map(|object| object.to_string()).join("\n---\n")).await?;
    let actors = Actors::new(client, 1);
    play(&actors, client, ENDED, "Completed").await?;
    play(&actors, client, OPEN, "AwaitingStore").await?;
    cost::settled(client).await?;
    retired().await?;
    let etcd = Etcd::of(access.local_cluster().context("a local cluster")?)?;
    let people = People {
        customer: Original::read(client, "Customer", "customers", CUSTOMER).await?,
        store: Original::read(client, "Store", "stores", STORE).await?,
        rider: Original::read(client, "Rider", "riders", RIDER).await?,
    };
    etcd.put_all((0..size.customers).map(|n| people.customer.copy(n, &[], |_| {}))).await?;
    let of = |whole: usize, parts: usize, part: usize| whole / parts + usize::from(part < whole % parts);
    // Every ended order is in its store's and its rider's counts already, as it would be.
    let stores = (0..size.stores).map(|n| people.store.copy(n, &[], count(of(size.ended, size.stores, n))));
    etcd.put_all(stores).await?;
    let riders = (0..size.riders).map(|n| people.rider.copy(n, &[], count(of(size.ended, size.riders, n))));
    etcd.put_all(riders).await?;
    etcd.put_all(coupon_uses(client, size.coupon_uses).await?).await?;
    for (name, count) in [(ENDED, size.ended), (OPEN, size.open)] {
        let mut originals = Vec::new();
        for (kind, plural) in OF_ORDER.into_iter().filter(|it| name == ENDED || it.0 != "Delivery") {
            originals.push(Original::read(client, kind, plural, name).await?);
        }
        let copies = (0..count).flat_map(|n| {
            let mut others = people.of_order(n, size);
            others.extend(originals.iter().map(|it| (it.uid.clone(), copied_uid(&it.uid, n))));
            originals.iter().map(move |it| it.copy(n, &others, |_| {})).collect::<Vec<_>>()
        });
        etcd.put_all(copies).await?;
    }
    Ok(())
}

fn marketplace() -> [Value; 4] {
    let coupon = json!({ "discount": { "amount": 1_000 }, "perCustomer": 3 });
    [
        stage::store(STORE),
        stage::rider(RIDER),
        stage::customer(CUSTOMER),
        stage::object("Coupon", COUPON, &coupon),
    ]
}

/// Places an order and waits until it is paid and shown to its store: how long that took.
pub(crate) async fn first_order(client: &Client) -> Result<Duration> {
    let begun = Instant::now();
    play(&Actors::new(client, 1), client, "crowd-first", "AwaitingStore").await?;
    Ok(begun.elapsed())
}

/// Places an order and brings it to a phase.
async fn play(actors: &Actors, client: &Client, name: &str, until: &str) -> Result<()> {
    let orders: Api<DynamicObject> = Api::namespaced_with(client.clone(), NAMESPACE, &resource("Order"));
    actors.place(&Placed { name, customer: CUSTOMER, store: STORE }).await?;
    let begun = Instant::now();
    let mut done = 0;
    loop {
        let order = orders.get(name).await?;
        let phase = order.data["status"]["phase"].as_str().unwrap_or_default();
        if phase == until {
            return Ok(());
        }
        // The next act follows when the order shows what the one before led to.
        if let Some((_, Some(act))) =
            STEPS.get(done + 1).filter(|_| position(phase).ok().flatten() == Some(done))
        {
            match actors.act_on(name, RIDER, *act).await {
                Ok(()) => done += 1,
                // The order may say that it waits for a store, or a rider, before the ticket or the delivery is there.
                Err(error) if is_not_found(&error) => {}
                Err(error) => return Err(error),
            }
        }
        ensure!(begun.elapsed() < PATIENCE, "{name} is {phase} and not yet {until}");
        tokio::time::sleep(POLL / 2).await;
    }
}

fn is_not_found(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(kube::Error::Api(status)) if status.is_not_found())
}

/// An object of which there are to be copies.
struct Original {
    /// Of its kind, where the API server keeps it.
    folder: String,
    name: String,
    uid: String,
    object: Value,
}

impl Original {
    async fn read(client: &Client, kind: &str, plural: &str, name: &str) -> Result<Self> {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), NAMESPACE, &resource(kind));
        let mut object = api.get(name).await.with_context(|| format!("{kind} {name}"))?;
        let uid = object.uid().context("a uid")?;
        // It is not part of what is stored: it is the revision of the store.
        object.metadata.resource_version = None;
        let object = serde_json::to_value(&object)?;
        Ok(Self {
            folder: format!("/registry/{GROUP}/{plural}/{NAMESPACE}"),
            name: name.to_owned(),
            uid,
            object,
        })
    }

    /// The copy of a number: its key and its text. `others` are words and what they are in it.
    fn copy(
        &self,
        number: usize,
        others: &[(String, String)],
        change: impl Fn(&mut Value),
    ) -> (String, String) {
        let name = format!("{}-{number}", self.name);
        let mut object = self.object.clone();
        change(&mut object);
        let mut text = object.to_string();
        // Names may begin with each other's; whole words do not.
        for (word, other) in others
            .iter()
            .chain(&[(self.name.clone(), name.clone()), (self.uid.clone(), copied_uid(&self.uid, number))])
        {
            text = text.replace(&format!("\"{word}\""), &format!("\"{other}\""));
        }
        (format!("{}/{name}", self.folder), text)
    }
}

/// Distinct for each number, and for each object of which copies are made.
fn copied_uid(uid: &str, number: usize) -> String {
    let kept: String = uid.chars().take(24).collect();
    format!("{kept}{number:012x}")
}

/// Of whom an order tells.
struct People {
    customer: Original,
    store: Original,
    rider: Original,
}

impl People {
    /// What they are called in the copy of an order: each has as many as any other.
    fn of_order(&self, number: usize, size: Size) -> Vec<(String, String)> {
        let all = [(&self.customer, size.customers), (&self.store, size.stores), (&self.rider, size.riders)];
        all.into_iter()
            .flat_map(|(it, count)| {
                let number = number % count;
                [
                    (it.name.clone(), format!("{}-{number}", it.name)),
                    (it.uid.clone(), copied_uid(&it.uid, number)),
                ]
            })
            .collect()
    }
}

/// Makes of the counts of one order those of many.
fn count(orders: usize) -> impl Fn(&mut Value) {
    move |object| {
        let dishes = object["status"]["ordersByMenuItem"].as_array_mut().into_iter().flatten();
        let of_dishes = dishes.filter_map(Value::as_object_mut).flat_map(|dish| dish.values_mut());
        let numbers = |it: &mut Value| {
            if let Some(one) = it.as_u64() {
                *it = json!(one * orders as u64);
            }
        };
        of_dishes.for_each(numbers);
        if let Some(deliveries) = object["status"].get_mut("deliveries") {
            numbers(deliveries);
        }
    }
}

/// What customers whose orders are gone have made of a coupon.
async fn coupon_uses(client: &Client, count: usize) -> Result<impl Iterator<Item = (String, String)>> {
    let coupon = Original::read(client, "Coupon", "coupons", COUPON).await?;
    Ok((0..count).map(move |n| {
        let name = format!("{COUPON}-{n:020x}");
        let spec = json!({
            "couponRef": { "name": COUPON, "uid": coupon.uid },
            "customerRef": { "name": format!("{CUSTOMER}-{n}") },
        });
        let mut object = stage::object("CouponUse", &name, &spec);
        object["metadata"]["uid"] = copied_uid(&coupon.uid, n).into();
        object["metadata"]["generation"] = 1.into();
        object["metadata"]["creationTimestamp"] = coupon.object["metadata"]["creationTimestamp"].clone();
        object["metadata"]["ownerReferences"] = json!([{
            "apiVersion": object["apiVersion"], "kind": "Coupon", "name": COUPON, "uid": coupon.uid,
        }]);
        object["status"] = json!({ "redeemed": 1 });
        (format!("/registry/{GROUP}/couponuses/{NAMESPACE}/{name}"), object.to_string())
    }))
}
