//! `recount`: holds the counts of stores, riders and coupons against the objects that still exist.
//!
//! What a store or rider shows is what its status keeps of orders that are gone, and what exists: where it shows anything
//! else, the operator is behind, and writes it by itself. What is kept of orders that are gone stands nowhere else.
//!
//! Of a coupon, what exists is a lower bound: a count below it is wrong, as after a status was lost in a restore, and can be
//! repaired; one above it is not. The operator may run meanwhile: what it has not counted yet is left to it, and every
//! repair is a compare-and-set.

use std::collections::BTreeSet;

use fooddelivery_api::{
    Coupon, CouponStatus, Delivery, Payment, Rider, RiderStatus, Store, StoreStatus, Ticket,
};
use fooddelivery_runtime::api::{ApiServer, Namespaced};
use fooddelivery_runtime::key::uid_of;
use fooddelivery_saga::counter::{Count, Dishes, Tally, differences, shown};
use fooddelivery_saga::coupon::RedemptionState;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use crate::metrics::Metrics;
use crate::shared::counting::{Counted, lists};
use crate::shared::coupon_keys::redemption_record;

/// What came of it.
#[derive(Debug, Default)]
pub struct Recount {
    /// Number of counts that were looked at.
    pub looked_at: usize,
    /// Those of stores and riders that show something else than they come to, as lines for people.
    pub behind: Vec<String>,
    /// Those of coupons that fall short, likewise.
    pub short: Vec<String>,
    /// Whether the latter were repaired.
    pub repaired: bool,
}

async fn all<K: Namespaced>(client: &Client, namespace: Option<&str>) -> Result<Vec<K>, kube::Error> {
    let api: Api<K> = match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    Ok(api.list(&ListParams::default()).await?.items)
}

/// Holds every count against what exists, and raises those of coupons that fall short when `repair` is asked for.
///
/// # Errors
/// When the API server cannot be asked, or somebody writes a count at the same moment: then run it again.
pub async fn recount(client: Client, namespace: Option<&str>, repair: bool) -> anyhow::Result<Recount> {
    // The counts first: what is marked afterwards has changed the count, and the repair then fails.
    let stores: Vec<Store> = all(&client, namespace).await?;
    let riders: Vec<Rider> = all(&client, namespace).await?;
    let coupons: Vec<Coupon> = all(&client, namespace).await?;
    let tickets: Vec<Ticket> = all(&client, namespace).await?;
    let deliveries: Vec<Delivery> = all(&client, namespace).await?;
    let payments: Vec<Payment> = all(&client, namespace).await?;
    let api = ApiServer::new(client, std::sync::Arc::new(Metrics::default()));
    let looked_at = stores.len() + riders.len() + coupons.len();
    let mut found = Recount { looked_at, repaired: repair, ..Recount::default() };
    for store in &stores {
        let count = store.status.as_ref().map(StoreStatus::to_count).unwrap_or_default();
        let menu = store.spec.menu.iter().map(|dish| dish.name.clone()).collect();
        let right = comes_to(store, &count, &tickets, &menu);
        found.behind.extend(dishes_behind(&whose("store", store), &count.shown, &right, &menu));
    }
    for rider in &riders {
        let count = rider.status.as_ref().map(RiderStatus::to_count).unwrap_or_default();
        let right = comes_to(rider, &count, &deliveries, &());
        found.behind.extend(behind(&whose("rider", rider), "deliveries", count.shown.0, right.0));
    }
    for coupon in &coupons {
        let old = coupon.status.clone().unwrap_or_default();
        let existing = held(coupon, &old, &payments);
        if old.redeemed < existing {
            let (whose, recorded) = (whose("coupon", coupon), old.redeemed);
            found.short.push(format!("{whose}: redemptions {recorded}, and {existing} exist"));
            if repair {
                api.write_status(coupon, &old, &CouponStatus { redeemed: existing, ..old.clone() }).await?;
            }
        }
    }
    Ok(found)
}

fn whose<K: ResourceExt>(kind: &str, object: &K) -> String {
    format!("{kind} {}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

/// What a count comes to, by the objects that exist.
fn comes_to<K: Counted>(
    by: &K::By,
    count: &Count<K::Tally>,
    objects: &[K],
    bounds: &<K::Tally as Tally>::Bounds,
) -> K::Tally {
    let (namespace, group, departing) = (by.namespace(), K::group_of(by), K::departing(by));
    let mut live = K::Tally::default();
    for object in objects.iter().filter(|o| o.namespace() == namespace && o.counts()) {
        if object.group() == Some(&*group) && !lists(departing, object.order_ref()) {
            live.put_in(&object.entry());
        }
    }
    shown(&count.base, &live, bounds)
}

fn dishes_behind(whose: &str, shown: &Dishes, right: &Dishes, menu: &BTreeSet<String>) -> Vec<String> {
    let lines = differences(shown, right, menu).into_iter().filter_map(|(dish, shown, right)| {
        let of = dish.as_deref().unwrap_or("other dishes");
        behind(whose, &format!("orders of {of}"), shown, right)
    });
    lines.collect()
}

fn behind(whose: &str, of: &str, shown: i64, right: i64) -> Option<String> {
    (shown != right).then(|| format!("{whose}: shows {of} {shown}, and comes to {right}"))
}

/// How many orders hold a coupon and are in its count, by their payments.
fn held(coupon: &Coupon, status: &CouponStatus, payments: &[Payment]) -> i64 {
    let uid = uid_of(coupon);
    let holds = payments.iter().filter(|payment| {
        let order = &payment.spec.order_ref;
        let held = payment.spec.coupon.as_ref().filter(|c| c.uid == uid);
        let holds = held.is_some_and(|held| {
            RedemptionState::of(redemption_record(held, payment)) == RedemptionState::Redeemed
        });
        holds && !lists(&status.reserved, order) && !lists(&status.releasing, order)
    });
    i64::try_from(holds.count()).unwrap_or(i64::MAX)
}
