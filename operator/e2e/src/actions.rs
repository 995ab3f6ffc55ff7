//! What people do in a test namespace: order, cook, deliver, cancel, confirm, delete. Each is one request of an
//! administrator, as kubectl would send it.
//!
//! A ticket or a delivery that is not there yet is waited for, and for a new order so is an API server that cannot tell
//! yet whether orders are taken; any other refusal is returned, with what the API server said.

use std::time::Instant;

use anyhow::{Context, Result};
use fooddelivery_api::common::{Item, TokenText};
use fooddelivery_api::order::{Destination, PaymentMethod};
use fooddelivery_api::{Delivery, NameRef, Order, OrderSpec, Ticket};
use fooddelivery_saga::phases::{DeliveryStage, OrderPhase, TicketStage};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, PropagationPolicy};
use serde_json::{Value, json};

use crate::namespace::{Kind, TestNamespace};
use crate::wait::{LONG, pause};

/// What an API server says of a policy that it cannot evaluate yet.
pub const NOT_CONFIGURED: &str = "denied request: failed to configure";

impl TestNamespace {
    /// Creates an order of two bibimbap with egg and a kimchi-jjigae (28,500 KRW) by `jiwoo` at `hanok`, changed by
    /// `change`.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn order(&self, name: &str, change: impl FnOnce(&mut OrderSpec)) -> Result<Order> {
        let mut spec = self.order_spec(name);
        change(&mut spec);
        let (orders, params, order) = (self.api::<Order>(), PostParams::default(), Order::new(name, spec));
        let created = once_configured(|| orders.create(&params, &order)).await;
        created.with_context(|| format!("order {name}"))
    }

    /// The spec that [`Self::order`] starts from; its token is `tok-<name>`.
    pub fn order_spec(&self, name: &str) -> OrderSpec {
        let item = |menu_item: &str, quantity, options: &[&str]| Item {
            menu_item: menu_item.to_owned(),
            quantity,
            options: options.iter().map(ToString::to_string).collect(),
        };
        let reference = |name: &str| NameRef { name: name.to_owned() };
        OrderSpec {
            customer_ref: reference("jiwoo"),
            store_ref: Some(reference("hanok")),
            items: vec![item("bibimbap", 2, &["egg"]), item("kimchi-jjigae", 1, &[])],
            delivery: Destination { address: "12 Wausan-ro, Mapo-gu".into(), region: "mapo".into() },
            payment: PaymentMethod {
                provider_ref: reference(self.provider()),
                token: Some(TokenText(format!("tok-{name}"))),
                ..PaymentMethod::default()
            },
            ..OrderSpec::default()
        }
    }

    /// Merge-patches an object.
    ///
    /// # Errors
    /// When the API server refuses, with its sentence.
    pub async fn patch<K: Kind>(&self, name: &str, patch: Value) -> Result<K> {
        self.merge(name, &patch).await.with_context(|| format!("{} {name}", K::kind(&())))
    }

    async fn merge<K: Kind>(&self, name: &str, patch: &Value) -> kube::Result<K> {
        self.api::<K>().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await
    }

    /// [`Self::patch`] for an object that the operator is about to create: waits until it is there.
    async fn patch_when_there<K: Kind>(&self, name: &str, patch: Value) -> Result<K> {
        let started = Instant::now();
        loop {
            match self.merge(name, &patch).await {
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                other => return other.with_context(|| format!("{} {name}: {patch}", K::kind(&()))),
            }
            if started.elapsed() >= LONG {
                let what = format!("waited {LONG:?} for {} {name} to be there", K::kind(&()));
                return Err(self.failure(&what, name).await);
            }
            pause(started).await;
        }
    }

    /// The store moves a ticket.
    ///
    /// # Errors
    /// When the API server refuses the step, or there is no ticket within [`LONG`].
    pub async fn move_ticket(&self, name: &str, stage: TicketStage) -> Result<Ticket> {
        self.patch_when_there(name, json!({ "spec": { "stage": stage } })).await
    }

    /// The store rejects a ticket, and says why.
    ///
    /// # Errors
    /// As [`Self::move_ticket`].
    pub async fn reject(&self, name: &str, reason: &str) -> Result<Ticket> {
        let patch = json!({ "spec": { "stage": TicketStage::Rejected, "reason": reason } });
        self.patch_when_there(name, patch).await
    }

    /// The store accepts, cooks and is done.
    ///
    /// # Errors
    /// As [`Self::move_ticket`].
    pub async fn cook(&self, name: &str) -> Result<()> {
        for stage in [TicketStage::Accepted, TicketStage::Cooking, TicketStage::Cooked] {
            self.move_ticket(name, stage).await?;
        }
        Ok(())
    }

    /// A rider takes a delivery.
    ///
    /// # Errors
    /// When the API server refuses, as for a delivery that another rider has, or there is none within [`LONG`].
    pub async fn claim(&self, name: &str, rider: &str) -> Result<Delivery> {
        self.patch_when_there(name, json!({ "spec": { "riderRef": { "name": rider } } })).await
    }

    /// The rider gives a delivery back.
    ///
    /// # Errors
    /// As [`Self::claim`].
    pub async fn give_back(&self, name: &str) -> Result<Delivery> {
        self.patch_when_there(name, json!({ "spec": { "riderRef": null } })).await
    }

    /// The rider moves a delivery.
    ///
    /// # Errors
    /// As [`Self::claim`].
    pub async fn move_delivery(&self, name: &str, stage: DeliveryStage) -> Result<Delivery> {
        self.patch_when_there(name, json!({ "spec": { "stage": stage } })).await
    }

    /// The rider takes, picks up and delivers.
    ///
    /// # Errors
    /// As [`Self::claim`].
    pub async fn deliver(&self, name: &str, rider: &str) -> Result<()> {
        self.claim(name, rider).await?;
        self.move_delivery(name, DeliveryStage::PickedUp).await?;
        self.move_delivery(name, DeliveryStage::Delivered).await?;
        Ok(())
    }

    /// The customer asks for the order to be undone. Whether it is, `status.cancellation` says later.
    ///
    /// # Errors
    /// When the API server refuses the request as such.
    pub async fn cancel(&self, name: &str, reason: &str) -> Result<Order> {
        self.patch(name, json!({ "spec": { "cancellation": { "reason": reason } } })).await
    }

    /// The customer confirms the receipt.
    ///
    /// # Errors
    /// When the API server refuses, as before the food is delivered.
    pub async fn confirm(&self, name: &str) -> Result<Order> {
        self.patch(name, json!({ "spec": { "receiptConfirmed": true } })).await
    }

    /// minjun brings the food, the customer confirms it, and the order is completed.
    ///
    /// # Errors
    /// As [`Self::deliver`] and [`Self::confirm`], and when the order does not follow.
    pub async fn complete(&self, name: &str) -> Result<Order> {
        self.deliver(name, "minjun").await?;
        self.wait_phase(name, OrderPhase::Delivered, LONG).await?;
        self.confirm(name).await?;
        self.wait_phase(name, OrderPhase::Completed, LONG).await
    }

    /// `kubectl delete order`, without waiting for the end.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn delete(&self, name: &str, propagation: PropagationPolicy) -> Result<()> {
        let params = DeleteParams { propagation_policy: Some(propagation), ..DeleteParams::default() };
        let deleted = self.api::<Order>().delete(name, &params).await;
        deleted.map(drop).with_context(|| format!("order {name}"))
    }
}

/// Asks again while the API server says that it cannot read a policy's parameter: whether new orders are taken stands in
/// a ConfigMap, and a server that has just started may not have listed those yet.
async fn once_configured<T, R: Future<Output = kube::Result<T>>>(request: impl Fn() -> R) -> kube::Result<T> {
    let started = Instant::now();
    loop {
        match request().await {
            Err(kube::Error::Api(status))
                if status.message.contains(NOT_CONFIGURED) && started.elapsed() < LONG =>
            {
                pause(started).await;
            }
            result => return result,
        }
    }
}
