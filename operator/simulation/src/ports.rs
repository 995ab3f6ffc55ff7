//! A replica's ports: its calls to payment providers and its messages are put on their way, and wait there.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fooddelivery_api::{MessageProviderSpec, PaymentProviderSpec};
use fooddelivery_controller::{MakeMessagePort, MakePort};
use fooddelivery_providers::notification::{Message, MessagePort, SendOutcome};
use fooddelivery_saga::provider::CallFailure;
use futures::future::BoxFuture;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::mutants;
use crate::payment_port::port;
use crate::provider::{Call, CallOutcome};
use crate::world::{Shared, What};

/// How long a replica waits for an answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Adapters for a replica, by its number, that put their calls on their way and wait.
pub(crate) fn payments(shared: &Shared, replica: usize) -> Arc<MakePort> {
    let shared = shared.clone();
    Arc::new(move |dialect, _: &PaymentProviderSpec, _| {
        let shared = shared.clone();
        let ask = move |call| -> BoxFuture<'static, CallOutcome> {
            Box::pin(ask_as_mutated(shared.clone(), replica, call))
        };
        Ok(port(dialect, Arc::new(ask)))
    })
}

async fn ask_as_mutated(shared: Shared, replica: usize, mut call: Call) -> CallOutcome {
    mutants::before_call(&shared, &mut call.asked);
    let asked = call.asked.clone();
    let outcome = shared.ask(replica, call).await;
    mutants::after_call(&shared, replica, &asked, &outcome).await;
    outcome
}

/// Adapters for a replica, by its number, that put their messages on their way and wait.
pub(crate) fn messages(shared: &Shared, replica: usize) -> Arc<MakeMessagePort> {
    let shared = shared.clone();
    Arc::new(move |_, _: &MessageProviderSpec, _| Ok(Arc::new(Port { shared: shared.clone(), replica })))
}

struct Port {
    shared: Shared,
    replica: usize,
}

#[async_trait]
impl MessagePort for Port {
    fn needs_contact(&self) -> bool {
        false
    }

    async fn send(&self, message: &Message) -> SendOutcome {
        let (reply, answer) = oneshot::channel();
        let what = What::Message { message: Box::new(message.clone()), reply };
        self.shared.lock().send(self.replica, what);
        self.shared.arrived.notify_one();
        match timeout(PATIENCE, answer).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => SendOutcome::CallFailure(CallFailure::OutcomeUnknown("timed out".into())),
        }
    }
}
