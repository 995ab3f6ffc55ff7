//! Coupons: the reconciler. It reserves one for orders that want it, counts those that hold it and takes back those that are
//! undone; what follows from what is decided in `saga::redemption`.
//!
//! All of a coupon's orders are settled together, in one write where that is possible. Where it is limited per customer,
//! the same is done first in the customer's own counts.

mod apply;
mod gather;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use fooddelivery_api::{Coupon, CouponStatus, CouponUse, Customer, Order, Payment, Store};
use fooddelivery_runtime::driver::{Reconcile, Step, drive};
use fooddelivery_runtime::{Key, Outcome, ReconcileError, Reconciler};
use fooddelivery_saga::coupon::Redemptions;
use fooddelivery_saga::machine::StateMachine;
use fooddelivery_saga::redemption::{Command, CouponMachine, ORDERS_PER_WRITE_MAX};

use crate::context::Context;
use crate::names::ControllerName;
use crate::registry::{Controller, Registered, Registration};
use crate::sharding::Shard;
use crate::shared::machine::{Apply, Resting, step};
use crate::shared::waiting::{coupon_of, orders_of_store};

use gather::{Gathered, gather};

const NAME: ControllerName = ControllerName::Coupon;

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
        coupons_of(context, &context.indexes.orders.without_store(change.key))
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
    let coupons = caches.coupons.walk(|_, coupon| reserves(coupon.status.as_ref()));
    let uses = caches.coupon_uses.walk(|_, own| reserves(own.status.as_ref()));
    let of_uses = uses.iter().map(|(key, own)| Key::new(&key.namespace, &own.spec.coupon_ref.name));
    let all: BTreeSet<Key> = coupons.into_iter().map(|(key, _)| key).chain(of_uses).collect();
    all.into_iter().collect()
}

struct Coupons {
    context: Arc<Context>,
}

impl Reconciler for Coupons {
    fn name(&self) -> &'static str {
        NAME.as_str()
    }

    async fn reconcile(&self, key: Key, _tries: u32) -> Result<Outcome, ReconcileError> {
        drive(self.name(), &key, CouponReconcile { controller: self, key: &key, gathered: None }).await
    }
}

/// One reconcile of one coupon.
struct CouponReconcile<'a> {
    controller: &'a Coupons,
    key: &'a Key,
    /// What was gathered, with what was written since: all of it rests on the copies that were taken first.
    gathered: Option<Gathered>,
}

impl Reconcile for CouponReconcile<'_> {
    type View = Gathered;
    type Command = Apply<Command, Redemptions>;
    type Rest = Resting<Redemptions>;

    /// Each order may have a customer of its own, and a payment to mark; besides, there are the coupon's counts.
    const DECISIONS_MAX: usize = 2 * ORDERS_PER_WRITE_MAX + 2;

    async fn gather(&mut self) -> Result<ControlFlow<Outcome, Gathered>, ReconcileError> {
        if let Some(gathered) = self.gathered.take() {
            return Ok(ControlFlow::Continue(gathered));
        }
        let context = &self.controller.context;
        let Some(coupon) = context.caches.coupons.object(self.key) else {
            return Ok(ControlFlow::Break(Outcome::Done));
        };
        Ok(ControlFlow::Continue(gather(context, self.key, coupon).await?))
    }

    fn decide(&self, gathered: &Gathered) -> Step<Self::Command, Self::Rest> {
        step(CouponMachine::step(&gathered.view, self.controller.context.clock.now()))
    }

    async fn apply(
        &mut self,
        mut gathered: Gathered,
        command: Self::Command,
    ) -> Result<ControlFlow<Outcome>, ReconcileError> {
        match command {
            Apply::Command(command) => self.controller.carry_out(&mut gathered, command).await?,
            Apply::Write(counts) => self.controller.write_all(&mut gathered, *counts).await?,
        }
        self.gathered = Some(gathered);
        Ok(ControlFlow::Continue(()))
    }

    async fn rest(&mut self, mut gathered: Gathered, resting: Self::Rest) -> Result<Outcome, ReconcileError> {
        match resting.status_or_outcome(&self.controller.context.clock) {
            Ok(rest) => {
                self.controller.write_all(&mut gathered, rest.state).await?;
                Ok(Outcome::Done)
            }
            Err(outcome) => Ok(outcome),
        }
    }
}
