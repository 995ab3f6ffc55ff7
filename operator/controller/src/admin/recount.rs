//! `recount`: holds the counts of stores, riders and coupons against the objects that still exist, and repairs those that
//! fall short.
//!
//! Orders that are gone are in the counts and nowhere else, so what exists is a lower bound: a count below it is wrong, as
//! after a status was lost in a restore; one above it is not. The operator may run meanwhile: what it has not counted yet
//! is left to it, and every repair is a compare-and-set.

use std::collections::BTreeMap;
use std::fmt;

use fooddelivery_api::store::MenuItemCount;
use fooddelivery_api::{
    Coupon, CouponStatus, Delivery, OrderRef, Payment, Rider, RiderStatus, Store, StoreStatus, Ticket,
};
use fooddelivery_runtime::api::{ApiError, ApiServer, Namespaced};
use fooddelivery_runtime::key::uid_of;
use fooddelivery_saga::counter::Dishes;
use fooddelivery_saga::coupon::RedemptionState;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use serde::Serialize;

use crate::metrics::Metrics;
use crate::shared::counting::{Counted, lines, lists};
use crate::shared::coupon_keys::redemption_record;
use crate::shared::waiting::is_of_rider;

/// A count that is below what exists.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Short {
    whose: String,
    of: String,
    recorded: i64,
    existing: i64,
}

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { whose, of, recorded, existing } = self;
        write!(f, "{whose}: {of} {recorded}, and {existing} exist")
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Recount {
    /// Number of counts that were looked at.
    pub looked_at: usize,
    /// Those that fell short, as lines for people.
    pub short: Vec<String>,
    /// Whether they were repaired.
    pub repaired: bool,
}

async fn all<K: Namespaced>(client: &Client, namespace: Option<&str>) -> Result<Vec<K>, kube::Error> {
    let api: Api<K> = match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    Ok(api.list(&ListParams::default()).await?.items)
}

/// Holds every count against what exists, and raises those that fall short when `repair` is asked for.
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
    let mut found = Recount { repaired: repair, ..Recount::default() };
    for store in &stores {
        let old = store.status.clone().unwrap_or_default();
        hold(&api, &mut found, store, &old, of_store(store, &old, &tickets)).await?;
    }
    for rider in &riders {
        let old = rider.status.clone().unwrap_or_default();
        hold(&api, &mut found, rider, &old, of_rider(rider, &old, &deliveries)).await?;
    }
    for coupon in &coupons {
        let old = coupon.status.clone().unwrap_or_default();
        hold(&api, &mut found, coupon, &old, of_coupon(coupon, &old, &payments)).await?;
    }
    Ok(found)
}

/// Notes what was found of one count, and raises it where that is asked for.
async fn hold<K: Namespaced, S: Serialize + PartialEq>(
    api: &ApiServer,
    found: &mut Recount,
    object: &K,
    old: &S,
    (new, short): (S, Vec<Short>),
) -> Result<(), ApiError> {
    found.looked_at += 1;
    found.short.extend(short.iter().map(ToString::to_string));
    if found.repaired && new != *old {
        api.write_status(object, old, &new).await?;
    }
    Ok(())
}

fn whose<K: ResourceExt>(kind: &str, object: &K) -> String {
    format!("{kind} {}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

/// Whether an object is in a count with this list: it says so, or its order is listed.
fn is_in<K: Counted>(object: &K, recently_counted: &[OrderRef]) -> bool {
    object.counts() && (object.is_marked() || lists(recently_counted, object.order_ref()))
}

fn of_store(store: &Store, old: &StoreStatus, tickets: &[Ticket]) -> (StoreStatus, Vec<Short>) {
    let uid = uid_of(store);
    let counted = tickets.iter().filter(|t| t.spec.store_ref.uid == uid && is_in(*t, &old.recently_counted));
    let mut existing = Dishes::default();
    for ticket in counted {
        existing.add(&lines(ticket));
    }
    let mut recorded: BTreeMap<String, MenuItemCount> =
        old.orders_by_menu_item.iter().map(|c| (c.menu_item.clone(), c.clone())).collect();
    let mut short = Vec::new();
    for dish in existing.listed {
        let count = recorded.entry(dish.menu_item.clone()).or_insert_with(|| MenuItemCount {
            menu_item: dish.menu_item.clone(),
            ..MenuItemCount::default()
        });
        if count.orders < dish.orders || count.quantity < dish.quantity {
            short.push(Short {
                whose: whose("store", store),
                of: format!("orders of {}", dish.menu_item),
                recorded: count.orders,
                existing: dish.orders,
            });
            count.orders = count.orders.max(dish.orders);
            count.quantity = count.quantity.max(dish.quantity);
        }
    }
    if short.is_empty() {
        return (old.clone(), short);
    }
    (StoreStatus { orders_by_menu_item: recorded.into_values().collect(), ..old.clone() }, short)
}

fn of_rider(rider: &Rider, old: &RiderStatus, deliveries: &[Delivery]) -> (RiderStatus, Vec<Short>) {
    let (name, namespace) = (rider.name_any(), rider.namespace());
    let counted = deliveries
        .iter()
        .filter(|d| d.namespace() == namespace && is_of_rider(d, &name) && is_in(*d, &old.recently_counted));
    let existing = i64::try_from(counted.count()).unwrap_or(i64::MAX);
    let new = RiderStatus { deliveries: old.deliveries.max(existing), ..old.clone() };
    let short = short_of(whose("rider", rider), "deliveries", old.deliveries, existing);
    (new, short)
}

fn of_coupon(coupon: &Coupon, old: &CouponStatus, payments: &[Payment]) -> (CouponStatus, Vec<Short>) {
    let uid = uid_of(coupon);
    let holds = payments.iter().filter(|payment| {
        let order = &payment.spec.order_ref;
        let held = payment.spec.coupon.as_ref().filter(|c| c.uid == uid);
        let holds = held.is_some_and(|held| {
            RedemptionState::of(redemption_record(held, payment)) == RedemptionState::Redeemed
        });
        holds && !lists(&old.reserved, order) && !lists(&old.releasing, order)
    });
    let existing = i64::try_from(holds.count()).unwrap_or(i64::MAX);
    let new = CouponStatus { redeemed: old.redeemed.max(existing), ..old.clone() };
    let short = short_of(whose("coupon", coupon), "redemptions", old.redeemed, existing);
    (new, short)
}

fn short_of(whose: String, of: &str, recorded: i64, existing: i64) -> Vec<Short> {
    if recorded >= existing {
        return Vec::new();
    }
    vec![Short { whose, of: of.into(), recorded, existing }]
}
