//! Coupons: the reconciler. It reserves one for orders that want it, counts those that hold it and takes back those that are
//! undone; what follows from what is decided in `saga::coupon`.
//!
//! All of a coupon's orders are settled together, in one write where that is possible. Where it is limited per customer,
//! the same is done first in the customer's own counts.

mod apply;
mod gather;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fooddelivery_api::{Coupon, CouponStatus, CouponUse, Customer, Order, Payment, Store};
use fooddelivery_runtime::api::ApiError;
use fooddelivery_runtime::{Key, Outcome, ReconcileError, Reconciler};
use fooddelivery_saga::coupon::{RedemptionState, Redemptions};

use crate::context::Context;
use crate::names::ControllerName;
use crate::registry::{Controller, Registered, Registration};
use crate::sharding::Shard;
use crate::shared::waiting::{coupon_of, orders_of_store, orders_without_store};
use gather::Case;

const NAME: ControllerName = ControllerName::Coupon;

/// Maximum number of orders that are read live for one write.
const LIVE_READS_PER_WRITE_MAX: usize = 50;

/// The coupon controller.
pub(crate) const CONTROLLER: Controller = Controller { name: NAME, deadlines_rest_on_it: true, register };

fn register(mut controller: Registration<'_>) -> Registered {
    controller.on::<Coupon>(|_, change| vec![change.key.clone()]);
    controller.on::<CouponUse>(|_, change| {
        let coupon = change.object.map(|own| &own.spec.coupon_ref.name);
        coupon.map(|coupon| Key::new(&change.key.namespace, coupon)).into_iter().collect()
    });
    controller.on::<Order>(|_, change| coupon_of(change.key, change.object).into_iter().collect());
    // Of an order that vanished while no watch ran, or made room for another of its name, nobody knows which coupon it
    // named.
    controller.on_list::<Order>(reserved_coupons);
    controller.on::<Payment>(|_, change| {
        let coupon = change.object.and_then(|payment| payment.spec.coupon.as_ref());
        coupon.map(|coupon| Key::new(&change.key.namespace, &coupon.name)).into_iter().collect()
    });
    controller.on_spec_change::<Store>(|context, change| {
        coupons_of(context, &orders_of_store(context, change.key))
    });
    controller.on_spec_change::<Customer>(|context, change| {
        coupons_of(context, &orders_without_store(context, change.key))
    });
    let reconciler = Coupons { context: controller.context().clone() };
    controller.run(Shard::own::<Coupon>(), reconciler)
}

/// The coupons that these orders name.
fn coupons_of(context: &Context, orders: &[Key]) -> Vec<Key> {
    let coupon = |key: &Key| coupon_of(key, context.caches.orders.object(key).as_deref());
    orders.iter().filter_map(coupon).collect()
}

/// Coupons that are reserved for orders, sorted.
fn reserved_coupons(context: &Context) -> Vec<Key> {
    let reserves = |status: Option<&CouponStatus>| status.is_some_and(|status| !status.reserved.is_empty());
    let caches = &context.caches;
    let coupons = caches.coupons.keys_where(|coupon| reserves(coupon.status.as_ref()));
    let uses = caches.coupon_uses.objects_where(|own| reserves(own.status.as_ref()));
    let of_uses = uses.iter().map(|(key, own)| Key::new(&key.namespace, &own.spec.coupon_ref.name));
    let all: BTreeSet<Key> = coupons.into_iter().chain(of_uses).collect();
    all.into_iter().collect()
}

struct Coupons {
    context: Arc<Context>,
}

impl Coupons {
    async fn settle(&self, key: &Key, coupon: &Coupon) -> Result<Outcome, ApiError> {
        let context = &self.context;
        // These copies are taken before any order is read live: see `saga::counter`.
        let uses = gather::uses(context, key, coupon);
        let mut cases = gather::cases(context, key, coupon, &uses);
        let more = gather::keep_what_changes(coupon, &uses, &mut cases, LIVE_READS_PER_WRITE_MAX);
        for case in &mut cases {
            if case.holder != RedemptionState::Redeemed {
                *case = gather::case_live(context, key, coupon, case).await?;
            }
        }
        let mut of_customers: BTreeMap<String, Redemptions> = BTreeMap::new();
        if coupon.spec.per_customer.is_some() {
            let customers: BTreeSet<String> = cases.iter().filter_map(|case| case.customer.clone()).collect();
            for customer in customers {
                let own = cases.iter().filter(|case| case.customer.as_ref() == Some(&customer));
                let found = uses.get(&customer).cloned();
                let counts = self.settle_use(coupon, &customer, found, own).await?;
                of_customers.insert(customer, counts);
            }
            let kept = |case: &Case| {
                case.customer
                    .as_ref()
                    .and_then(|c| of_customers.get(c))
                    .is_some_and(|u| u.is_reserved(&case.id))
            };
            for case in &mut cases {
                if case.holder == RedemptionState::Requested && !kept(case) {
                    case.holder = RedemptionState::Undetermined;
                }
            }
        }
        let counts = self.settle_all(coupon, &cases).await?;
        for case in cases.iter().filter(|case| case.holder == RedemptionState::Releasing) {
            let own = case.customer.as_ref().and_then(|customer| of_customers.get(customer));
            if counts.is_released(&case.id) && own.is_none_or(|own| own.is_released(&case.id)) {
                self.mark(case).await?;
            }
        }
        Ok(if more { Outcome::After(Duration::ZERO) } else { Outcome::Done })
    }
}

impl Reconciler for Coupons {
    fn name(&self) -> &'static str {
        NAME.as_str()
    }

    async fn reconcile(&self, key: Key, _tries: u32) -> Result<Outcome, ReconcileError> {
        let Some(coupon) = self.context.caches.coupons.object(&key) else { return Ok(Outcome::Done) };
        Ok(self.settle(&key, &coupon).await?)
    }
}
