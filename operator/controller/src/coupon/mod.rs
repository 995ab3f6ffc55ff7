//! Coupons: the reconciler. It keeps one for orders that want it, counts those that hold it and takes back those that are
//! undone; what follows from what is decided in `saga::coupon`.
//!
//! All of a coupon's orders are settled together, in one write where that is possible. Where it is limited per customer,
//! the same is done first in the customer's own counts.

mod observe;

pub(crate) use observe::{carrier, id_of, use_key};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fooddelivery_api::common::NameRef;
use fooddelivery_api::coupon::CouponRef;
use fooddelivery_api::{Coupon, CouponStatus, CouponUse, CouponUseSpec};
use fooddelivery_saga::counter::OrderId;
use fooddelivery_saga::coupon::{self, CountsView, RedemptionState, Redemptions};
use kube::{Resource, ResourceExt};
use serde_json::json;
use tracing::{error, info};

use crate::api::{ApiError, Namespaced};
use crate::context::Context;
use crate::engine::{Cache, Key, Outcome, ReconcileError, Reconciler};
use crate::events::uid_of;
use crate::settings::ControllerName;
use observe::Case;

/// So many orders are read live for one write.
const BATCH: usize = 50;

/// The coupon controller.
pub struct Coupons {
    context: Arc<Context>,
}

impl Coupons {
    /// Over the shared context.
    pub fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    /// Settles the cases of one customer in their own counts, and returns these.
    async fn settle_use(
        &self,
        coupon: &Coupon,
        customer: &str,
        found: Option<Arc<CouponUse>>,
        cases: impl Iterator<Item = &Case>,
    ) -> Result<Redemptions, ApiError> {
        let before = found.as_ref().map(|own| own.redemptions()).unwrap_or_default();
        let Some(counts) = settled(&before, cases, coupon.spec.per_customer) else { return Ok(before) };
        let object = match found {
            Some(found) => found,
            None => Arc::new(self.make_use(coupon, customer).await?),
        };
        self.write(&self.context.coupon_uses, &*object, &before, &counts).await?;
        Ok(counts)
    }

    /// Writes counts over those that they follow on.
    async fn write<K: Namespaced>(
        &self,
        cache: &Cache<K>,
        object: &K,
        before: &Redemptions,
        counts: &Redemptions,
    ) -> Result<(), ApiError> {
        let (old, new) = (CouponStatus::from_redemptions(before), CouponStatus::from_redemptions(counts));
        self.context.write_status(cache, object, &old, &new).await
    }

    /// Counts for a customer who has none yet. They go with the coupon.
    async fn make_use(&self, coupon: &Coupon, customer: &str) -> Result<CouponUse, ApiError> {
        let (name, uid) = (coupon.name_any(), uid_of(coupon));
        let namespace = coupon.namespace().unwrap_or_default();
        let key = use_key(&namespace, &name, &uid, customer);
        let spec = CouponUseSpec {
            coupon_ref: CouponRef { name, uid },
            customer_ref: NameRef { name: customer.to_owned() },
        };
        let mut object = CouponUse::new(&key.name, spec);
        object.metadata.owner_references = coupon.owner_ref(&()).map(|owner| vec![owner]);
        match self.context.api.create(&namespace, &object).await {
            Ok(made) => {
                self.context.coupon_uses.remember(made.clone());
                Ok(made)
            }
            // Another replica made it: what stands there is to be settled, not what did not stand there.
            Err(error @ ApiError::AlreadyExists) => {
                self.context.refresh(&self.context.coupon_uses, &key).await?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Settles all cases in the coupon's counts, and returns these.
    async fn settle_all(&self, coupon: &Coupon, cases: &[Case]) -> Result<Redemptions, ApiError> {
        let before = coupon.redemptions();
        let limit = coupon.spec.max_redemptions;
        let Some(counts) = settled(&before, cases.iter(), limit) else { return Ok(before) };
        self.write(&self.context.coupons, coupon, &before, &counts).await?;
        info!(
            redeemed = counts.redeemed,
            kept = counts.reserved.len(),
            given_back = counts.releasing.len(),
            "redemptions counted"
        );
        Ok(counts)
    }

    /// The payments of orders that are out of all counts say so.
    async fn mark(&self, case: &Case) -> Result<(), ApiError> {
        let Some(payment) = &case.payment else { return Ok(()) };
        let change = json!({ "spec": { "coupon": { "returned": true } } });
        match self.context.api.patch(&**payment, change).await {
            Ok(written) => {
                self.context.payments.remember(written);
                Ok(())
            }
            // It was written meanwhile, which has the coupon looked at again; or it is gone.
            Err(ApiError::Conflict | ApiError::NotFound) => {
                self.context.refresh(&self.context.payments, &Key::of(&**payment)).await.map(drop)
            }
            Err(error) => Err(error),
        }
    }

    async fn settle(&self, key: &Key, coupon: &Coupon) -> Result<Outcome, ApiError> {
        let context = &self.context;
        // These copies are taken before any order is read live: see `saga::counter`.
        let uses = observe::uses(context, key, coupon);
        let mut cases = observe::cases(context, key, coupon, &uses);
        let more = observe::keep_what_changes(coupon, &uses, &mut cases, BATCH);
        for case in &mut cases {
            if case.holder != RedemptionState::Redeemed {
                *case = observe::case_live(context, key, coupon, case).await?;
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
        ControllerName::Coupon.word()
    }

    fn is_mine(&self, key: &Key) -> bool {
        self.context.has(ControllerName::Coupon, &self.context.coupons, key)
    }

    fn is_of_orders(&self) -> bool {
        false
    }

    async fn reconcile(&self, key: Key, _tries: u32) -> Result<Outcome, ReconcileError> {
        let Some(coupon) = self.context.coupons.object(&key) else { return Ok(Outcome::Done) };
        Ok(self.settle(&key, &coupon).await?)
    }
}

/// The counts that follow from how it stands with these orders; `None` when that is not worth a write.
fn settled<'a>(
    before: &Redemptions,
    cases: impl Iterator<Item = &'a Case>,
    limit: Option<i64>,
) -> Option<Redemptions> {
    let orders = cases.map(|case| (case.id.clone(), case.holder)).collect();
    let view = CountsView { counts: before.clone(), limit, orders };
    coupon::settled(&view).unwrap_or_else(|violation| {
        error!(%violation, "a decision about a coupon breaks a rule: nothing is done");
        None
    })
}

/// The order of an id, in the coupon's namespace.
fn order_key(key: &Key, id: &OrderId) -> Key {
    Key::new(&key.namespace, &id.name)
}
