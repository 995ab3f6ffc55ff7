//! Writes a coupon's counts, those of single customers first, and marks the payments of orders that are out of them.

use std::sync::Arc;

use fooddelivery_api::common::NameRef;
use fooddelivery_api::coupon::CouponRef;
use fooddelivery_api::{Coupon, CouponStatus, CouponUse, CouponUseSpec};
use fooddelivery_runtime::api::{ApiError, Namespaced};
use fooddelivery_runtime::key::uid_of;
use fooddelivery_runtime::{Cache, Key};
use fooddelivery_saga::coupon::{self, CountsView, Redemptions};
use kube::{Resource, ResourceExt};
use serde_json::json;
use tracing::{error, info};

use super::Coupons;
use super::gather::Case;
use crate::shared::coupon_keys::use_key;

impl Coupons {
    /// Settles the cases of one customer in their own counts, and returns these.
    pub(super) async fn settle_use(
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
        self.write(&self.context.caches.coupon_uses, &*object, &before, &counts).await?;
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
                self.context.caches.coupon_uses.remember(made.clone());
                Ok(made)
            }
            // Another replica made it: what stands there is to be settled, not what did not stand there.
            Err(error @ ApiError::AlreadyExists) => {
                self.context.refresh(&self.context.caches.coupon_uses, &key).await?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Settles all cases in the coupon's counts, and returns these.
    pub(super) async fn settle_all(&self, coupon: &Coupon, cases: &[Case]) -> Result<Redemptions, ApiError> {
        let before = coupon.redemptions();
        let limit = coupon.spec.max_redemptions;
        let Some(counts) = settled(&before, cases.iter(), limit) else { return Ok(before) };
        self.write(&self.context.caches.coupons, coupon, &before, &counts).await?;
        info!(
            redeemed = counts.redeemed,
            reserved = counts.reserved.len(),
            releasing = counts.releasing.len(),
            "redemptions counted"
        );
        Ok(counts)
    }

    /// The payments of orders that are out of all counts say so.
    pub(super) async fn mark(&self, case: &Case) -> Result<(), ApiError> {
        let Some(payment) = &case.payment else { return Ok(()) };
        let change = json!({ "spec": { "coupon": { "returned": true } } });
        match self.context.api.patch(&**payment, change).await {
            Ok(written) => {
                self.context.caches.payments.remember(written);
                Ok(())
            }
            // It was written meanwhile, which has the coupon looked at again; or it is gone.
            Err(ApiError::Conflict | ApiError::NotFound) => {
                self.context.refresh(&self.context.caches.payments, &Key::of(&**payment)).await.map(drop)
            }
            Err(error) => Err(error),
        }
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
        error!(%violation, "a decision breaks a rule; nothing is done");
        None
    })
}
