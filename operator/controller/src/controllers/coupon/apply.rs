//! Writes a coupon's counts and those of single customers, and marks the payments of orders that are out of them.

use std::sync::Arc;

use fooddelivery_api::common::NameRef;
use fooddelivery_api::coupon::CouponRef;
use fooddelivery_api::{Coupon, CouponStatus, CouponUse, CouponUseSpec};
use fooddelivery_runtime::api::{ApiError, Namespaced};
use fooddelivery_runtime::key::uid_of;
use fooddelivery_runtime::{Cache, Key};
use fooddelivery_saga::counter::OrderId;
use fooddelivery_saga::coupon::Redemptions;
use fooddelivery_saga::redemption::Command;
use kube::{Resource, ResourceExt};
use serde_json::json;
use tracing::info;

use super::Coupons;
use super::gather::Gathered;
use crate::shared::coupon_keys::use_key;

impl Coupons {
    /// Carries out a step, and puts what stands then into what was gathered.
    pub(super) async fn carry_out(&self, gathered: &mut Gathered, command: Command) -> Result<(), ApiError> {
        match command {
            Command::SettleCustomer(customer, counts) => self.settle_use(gathered, customer, counts).await,
            Command::MarkReturned(order) => self.mark(gathered, order).await,
        }
    }

    /// Writes a customer's own counts.
    async fn settle_use(
        &self,
        gathered: &mut Gathered,
        customer: String,
        counts: Redemptions,
    ) -> Result<(), ApiError> {
        let object = match gathered.uses.get(&customer) {
            Some(found) => found.clone(),
            None => Arc::new(self.make_use(&gathered.coupon, &customer).await?),
        };
        let of_customers = &mut gathered.view.counts.of_customers;
        let before = of_customers.get(&customer).cloned().unwrap_or_default();
        self.write(&self.context.caches.coupon_uses, &*object, &before, &counts).await?;
        of_customers.insert(customer, counts);
        Ok(())
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
        self.context.write_status(cache, object, &old, &new).await.map(drop)
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

    /// Writes the coupon's counts.
    pub(super) async fn write_all(
        &self,
        gathered: &mut Gathered,
        counts: Redemptions,
    ) -> Result<(), ApiError> {
        let before = &gathered.view.counts.redemptions;
        self.write(&self.context.caches.coupons, &*gathered.coupon, before, &counts).await?;
        info!(
            redeemed = counts.redeemed,
            reserved = counts.reserved.len(),
            releasing = counts.releasing.len(),
            "redemptions counted"
        );
        gathered.view.counts.redemptions = counts;
        Ok(())
    }

    /// The payment of an order that is out of all counts says so.
    async fn mark(&self, gathered: &mut Gathered, order: OrderId) -> Result<(), ApiError> {
        if let Some(payment) = gathered.payments.get(&order.uid) {
            let change = json!({ "spec": { "coupon": { "returned": true } } });
            match self.context.api.patch(&**payment, change).await {
                Ok(written) => self.context.caches.payments.remember(written),
                // It was written meanwhile, which has the coupon looked at again; or it is gone.
                Err(ApiError::Conflict | ApiError::NotFound) => {
                    self.context.refresh(&self.context.caches.payments, &Key::of(&**payment)).await?;
                }
                Err(error) => return Err(error),
            }
        }
        gathered.view.marked.insert(order.uid);
        Ok(())
    }
}
