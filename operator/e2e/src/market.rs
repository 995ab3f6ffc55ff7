//! The rest of a marketplace: coupons, riders and customers, and the counts that the operator keeps of them.
//!
//! A count is read only when it is settled: when it shows what it keeps of orders that are gone, and what is there. Otherwise a test that looks too early would take a count that is still on its way for an exact one.

use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use fooddelivery_api::{
    Coupon, CouponUse, Customer, Delivery, Order, OrderRef, OrderSpec, Payment, Rider, RiderStatus, Store,
    StoreStatus, Ticket,
};
use fooddelivery_saga::counter::{Count, Deliveries, Dishes, Tally, shown};
use fooddelivery_saga::phases::{PaymentDesired, PaymentPhase, TicketStage};
use fooddelivery_saga::{delivery, ticket};
use kube::ResourceExt;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::access::ClusterAccess;
use crate::namespace::{Kind, TestNamespace};
use crate::wait::{LONG, pause};

/// How often a dish was ordered: its name, in how many orders, how many portions.
pub type Dish = (String, i64, i64);

/// Why a count is not settled, and the object that it is about.
struct Unsettled {
    what: String,
    about: String,
}

/// Whether a count keeps an order whose object may still be there.
fn departs<C>(count: &Count<C>, order: &OrderRef) -> bool {
    count.departing.iter().any(|known| known.uid == order.uid)
}

impl TestNamespace {
    /// Creates a coupon; `spec` is its spec as in a file, such as `{"discount": {"percent": 10}}`.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn coupon(&self, code: &str, spec: Value) -> Result<Coupon> {
        self.made(Coupon::new(code, serde_json::from_value(spec)?)).await
    }

    /// Creates a rider of `mapo`.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn rider(&self, name: &str, capacity: i64) -> Result<Rider> {
        let spec = json!({ "region": "mapo", "capacity": capacity });
        self.made(Rider::new(name, serde_json::from_value(spec)?)).await
    }

    /// Creates a customer, who may prefer a store.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn customer(&self, name: &str, prefers: Option<&str>) -> Result<Customer> {
        let mut spec = json!({ "contact": "010-0000-0000" });
        if let Some(store) = prefers {
            spec["preferredStoreRef"] = json!({ "name": store });
        }
        self.made(Customer::new(name, serde_json::from_value(spec)?)).await
    }

    async fn made<K: Kind + serde::Serialize>(&self, object: K) -> Result<K> {
        let created = self.api::<K>().create(&PostParams::default(), &object).await;
        created.with_context(|| format!("{} {}", K::kind(&()), object.name_any()))
    }

    /// Creates a message provider of a transport, which the namespace's sandbox plays; its name.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn message_provider(&self, transport: &str) -> Result<String> {
        let name = format!("{}-{}", self.name, transport.to_lowercase());
        let object = self.message_provider_object(&name, transport).to_string();
        ClusterAccess::apply(&self.client, &object).await?;
        Ok(name)
    }

    /// Such a message provider, as in a file.
    pub fn message_provider_object(&self, name: &str, transport: &str) -> Value {
        let mut spec = json!({
            "transport": transport, "endpoint": self.sandbox.url(), "allowPlainHttp": true,
            "secretRef": { "name": self.name },
        });
        if transport == "AlimTalk" {
            spec["alimTalk"] =
                json!({ "appKey": "app", "senderKey": "s".repeat(40), "templateCode": "STEP" });
        } else {
            spec["endpoint"] = format!("{}/webhook", self.sandbox.url()).into();
        }
        json!({
            "apiVersion": "fooddelivery.dev/v1alpha1", "kind": "MessageProvider",
            "metadata": { "name": name }, "spec": spec,
        })
    }

    /// [`Self::order`] with a coupon.
    ///
    /// # Errors
    /// As [`Self::order`].
    pub async fn order_with(&self, name: &str, code: &str) -> Result<Order> {
        let with = |o: &mut OrderSpec| o.coupon_code = Some(code.to_owned());
        self.order(name, with).await
    }

    /// Waits until a coupon says that `redeemed` orders hold it, and until nothing of it is on its way.
    ///
    /// # Errors
    /// When it does not come to that within [`LONG`].
    pub async fn wait_redeemed(&self, code: &str, redeemed: i64) -> Result<Coupon> {
        let is_so = |coupon: &Coupon| {
            let status = coupon.status.clone().unwrap_or_default();
            status.redeemed == redeemed && status.reserved.is_empty()
        };
        self.wait_until(code, &format!("redeemed {redeemed} times"), LONG, is_so).await
    }

    /// A coupon and what its customers made of it, once every order that it was kept for is counted and every one that
    /// was undone has given it back.
    ///
    /// # Errors
    /// When it does not come to that within [`LONG`].
    pub async fn settled_coupon(&self, code: &str) -> Result<(Coupon, Vec<CouponUse>)> {
        self.once_settled(async || {
            // Who was counted is read before the count: the count of then may be written in between.
            let payments: Vec<Payment> = self.list().await?;
            let coupon: Coupon = self.get(code).await?;
            let uid = coupon.uid();
            let of_it = |u: &CouponUse| Some(&u.spec.coupon_ref.uid) == uid.as_ref();
            let uses: Vec<CouponUse> = self.list().await?.into_iter().filter(of_it).collect();
            let owing = payments.iter().filter(|payment| owes_it_back(payment, code));
            let owing: Vec<String> = owing.map(ResourceExt::name_any).collect();
            let statuses = coupon.status.iter().chain(uses.iter().filter_map(|u| u.status.as_ref()));
            let kept: usize = statuses.map(|status| status.reserved.len()).sum();
            if owing.is_empty() && kept == 0 {
                return Ok(Ok((coupon, uses)));
            }
            let what = format!("coupon {code}: {kept} are kept, {owing:?} have to give it back");
            let about = owing.into_iter().next().unwrap_or_else(|| code.to_owned());
            Ok(Err(Unsettled { what, about }))
        })
        .await
    }

    /// How often each dish of a store was ordered, by name, once it shows what it keeps and what is there.
    ///
    /// # Errors
    /// When that is not within [`LONG`].
    pub async fn dishes(&self, store: &str) -> Result<Vec<Dish>> {
        self.once_settled(async || {
            // First: what goes in between is kept before.
            let tickets = self.list::<Ticket>().await?;
            let found: Store = self.get(store).await?;
            let count = found.status.as_ref().map(StoreStatus::to_count).unwrap_or_default();
            let mut live = Dishes::default();
            for t in &tickets {
                let is_own = Some(&t.spec.store_ref.uid) == found.uid().as_ref();
                if is_own && ticket::counts(t.spec.stage) && !departs(&count, &t.spec.order_ref) {
                    live.put_in(&t.spec.items.iter().map(|i| (i.menu_item.clone(), i.quantity)).collect());
                }
            }
            let menu = found.spec.menu.iter().map(|dish| dish.name.clone()).collect();
            let right = shown(&count.base, &live, &menu);
            if right == count.shown {
                let all = right.listed.into_iter();
                return Ok(Ok(all.map(|(name, dish)| (name, dish.orders, dish.quantity)).collect()));
            }
            let what = format!("{store} shows {:?}, and has {right:?}", count.shown);
            Ok(Err(Unsettled { what, about: store.to_owned() }))
        })
        .await
    }

    /// How many deliveries a rider brought, once that shows what it keeps and what is there.
    ///
    /// # Errors
    /// When it does not within [`LONG`].
    pub async fn brought(&self, rider: &str) -> Result<i64> {
        self.once_settled(async || {
            let deliveries = self.list::<Delivery>().await?;
            let found: Rider = self.get(rider).await?;
            let count = found.status.as_ref().map(RiderStatus::to_count).unwrap_or_default();
            let mut live = Deliveries::default();
            for d in &deliveries {
                let is_own = d.spec.rider_ref.as_ref().is_some_and(|r| r.name == rider);
                if is_own && delivery::counts(d.spec.stage) && !departs(&count, &d.spec.order_ref) {
                    live.put_in(&());
                }
            }
            let right = shown(&count.base, &live, &());
            if right == count.shown {
                return Ok(Ok(right.0));
            }
            let what = format!("{rider} shows {:?}, and has {right:?}", count.shown);
            Ok(Err(Unsettled { what, about: rider.to_owned() }))
        })
        .await
    }

    /// What `look` finds, once it finds a count settled.
    async fn once_settled<T>(&self, look: impl AsyncFn() -> Result<Result<T, Unsettled>>) -> Result<T> {
        let started = Instant::now();
        loop {
            match look().await? {
                Ok(found) => return Ok(found),
                Err(Unsettled { what, about }) if started.elapsed() >= LONG => {
                    return Err(self.failure(&what, &about).await);
                }
                Err(_) => pause(started).await,
            }
        }
    }

    /// The store begins to cook.
    ///
    /// # Errors
    /// As [`Self::move_ticket`].
    pub async fn begin_to_cook(&self, name: &str) -> Result<()> {
        for stage in [TicketStage::Accepted, TicketStage::Cooking] {
            self.move_ticket(name, stage).await?;
        }
        Ok(())
    }

    /// The one Event of a reason about `name`, once it is there; what it says.
    ///
    /// # Errors
    /// When there is none within [`LONG`].
    pub async fn wait_event(&self, name: &str, reason: &str) -> Result<String> {
        self.wait_event_saying(name, reason, "").await
    }

    /// The same where there may be several, and this is part of what one says.
    ///
    /// # Errors
    /// As [`Self::wait_event`].
    pub async fn wait_event_saying(&self, name: &str, reason: &str, part: &str) -> Result<String> {
        let started = Instant::now();
        while started.elapsed() < LONG {
            let is_it = |(of, note): &(String, String)| of == reason && note.contains(part);
            if let Some((_, note)) = self.events(name).await?.into_iter().find(is_it) {
                return Ok(note);
            }
            pause(started).await;
        }
        Err(anyhow!("no Event {reason} about {name}, with {part:?}\n{}", self.describe(name).await))
    }

    /// Waits until the operator's metrics have a line that begins like this. What counts a write comes after it, and whoever
    /// watches may be quicker.
    ///
    /// # Errors
    /// When there is none within [`LONG`].
    pub async fn wait_metric(&self, line: &str) -> Result<()> {
        let started = Instant::now();
        loop {
            let metrics = self.operator.metrics().await?;
            if metrics.contains(line) {
                return Ok(());
            }
            ensure!(started.elapsed() < LONG, "no {line} in\n{metrics}");
            pause(started).await;
        }
    }
}

/// Whether the coupon's counts have yet to learn that the order was undone. A payment that was undone before it began
/// never held the coupon, and has nothing to say.
fn owes_it_back(payment: &Payment, code: &str) -> bool {
    let state = payment.state();
    let captured =
        matches!(state.phase, PaymentPhase::Captured | PaymentPhase::Refunding | PaymentPhase::Refunded);
    let began = state.attempt > 0 || captured;
    let undone = payment.spec.desired != PaymentDesired::Captured || state.phase.is_over();
    payment.spec.coupon.as_ref().is_some_and(|held| held.name == code && !held.returned) && began && undone
}

/// `(dish, orders, portions)` for each, as [`TestNamespace::dishes`] has them.
pub fn dishes(of: &[(&str, i64, i64)]) -> Vec<Dish> {
    let mut all: Vec<Dish> =
        of.iter().map(|(name, orders, portions)| ((*name).to_owned(), *orders, *portions)).collect();
    all.sort();
    all
}
