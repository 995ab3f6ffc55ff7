//! From caches and live reads to what a decision about a payment depends on. Reads only.

use fooddelivery_api::{Order, Payment, TOKEN_SECRETS_ROLE, Ticket, TokenText};
use fooddelivery_providers::Token;
use fooddelivery_runtime::Key;
use fooddelivery_runtime::api::ApiError;
use fooddelivery_runtime::key::uid_of;
use fooddelivery_saga::payment::{Access, NoToken, OrderStanding, PaymentView, ProviderSession, Responses};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use crate::context::Context;
use crate::shared::credentials::text_of;
use crate::shared::payment_clients::{PaymentClient, PaymentClients};

/// What the payment's decision sees.
pub(super) fn view(context: &Context, key: &Key, payment: &Payment, responses: Responses) -> PaymentView {
    let order_key = Key::new(&key.namespace, &payment.spec.order_ref.name);
    let order =
        context.caches.orders.object(&order_key).filter(|o| uid_of(&**o) == payment.spec.order_ref.uid);
    PaymentView {
        has_finalizer: payment.finalizers().iter().any(|f| f == fooddelivery_api::FINALIZER),
        deleting: payment.metadata.deletion_timestamp.is_some(),
        paused: order.as_ref().is_some_and(|o| o.is_paused()),
        desired: payment.spec.desired,
        resolution: payment.spec.resolution.as_ref().map(|r| r.action),
        total: payment.spec.quote.total,
        currency: payment.spec.quote.currency.clone(),
        order_id: payment.spec.provider_order_id.clone(),
        state: payment.state(),
        as_created: payment.is_as_created(),
        order_in_cache: order.is_some(),
        spread: spread(&uid_of(payment)),
        responses,
    }
}

/// 0 to 1000, from the random part of a uid.
fn spread(uid: &str) -> u16 {
    let sum = uid.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
    u16::try_from(sum % 1_001).unwrap_or(0)
}

/// The order behind a payment, read live: money moves only for an order that is there and wants it. Read when the payment is
/// there already, which whoever lets the order go looks for live: one of the two sees the other.
pub(super) async fn standing(
    context: &Context,
    key: &Key,
    payment: &Payment,
) -> Result<OrderStanding, ApiError> {
    let reference = &payment.spec.order_ref;
    let order_key = Key::new(&key.namespace, &reference.name);
    let order = context.api.read::<Order>(&order_key).await?;
    let Some(order) = order.filter(|o| uid_of(o) == reference.uid) else {
        let ticket = context.api.read::<Ticket>(key).await?.filter(|t| t.spec.order_ref.uid == reference.uid);
        return Ok(OrderStanding::Gone { store_has_begun: ticket.is_some_and(|t| t.seen().has_begun()) });
    };
    let state = order.state();
    Ok(OrderStanding::of(state.phase, state.cancellation, order.cancel_wanted()))
}

/// The session with the provider, and the token to charge.
pub(super) async fn access(
    context: &Context,
    clients: &PaymentClients,
    key: &Key,
    payment: &Payment,
) -> Result<(Access, Option<(PaymentClient, Option<Token>)>), ApiError> {
    let name = &payment.spec.provider_ref.name;
    let client = match clients.open(&context.api, &context.caches.providers, name).await? {
        Ok(client) => client,
        Err(not_ready) => {
            return Ok((
                Access::NotReady { reason: not_ready.reason.into(), message: not_ready.message },
                None,
            ));
        }
    };
    let (token, no_token) = match token(context, key, payment).await? {
        Ok(token) => (Some(token), None),
        Err(why) => (None, Some(why)),
    };
    let session = client.session(context.clock.now());
    Ok((Access::Ready(ProviderSession { no_token, ..session }), Some((client, token))))
}

async fn token(context: &Context, key: &Key, payment: &Payment) -> Result<Result<Token, NoToken>, ApiError> {
    let missing = |why: String| Ok(Err(NoToken::Missing(why)));
    if let Some(TokenText(text)) = &payment.spec.token {
        return Ok(Ok(Token::new(text.clone())));
    }
    let Some(reference) = &payment.spec.token_secret_ref else {
        return missing("the payment has neither token nor tokenSecretRef".into());
    };
    let name = &reference.name;
    let secret = match context.api.read::<Secret>(&Key::new(&key.namespace, name)).await {
        // Also where the namespace is on its way out, and the permission went before the payment.
        Err(ApiError::Forbidden(_)) => {
            return Ok(Err(NoToken::Forbidden(format!(
                "the operator may not read Secret {name} with the payment token: bind ClusterRole \
                 {TOKEN_SECRETS_ROLE} in namespace {}",
                key.namespace
            ))));
        }
        read => read?,
    };
    let Some(secret) = secret else {
        return missing(format!("Secret {name} with the payment token is missing"));
    };
    match text_of(&secret, &reference.key) {
        Some(text) => Ok(Ok(Token::new(text))),
        None => missing(format!("Secret {name} has no key {:?} with a text in it", reference.key)),
    }
}
