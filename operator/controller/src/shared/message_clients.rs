//! Clients of the message providers: from a MessageProvider and its Secret to an adapter, with a circuit breaker in front
//! of it.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fooddelivery_api::{MessageProvider, MessageProviderSpec, MessageTransport};
use fooddelivery_providers::notification::{self, AlimTalkSender, FailFastBreaker, MessagePort};
use fooddelivery_providers::{ConfigError, Credential, HttpClient};
use fooddelivery_runtime::api::{ApiError, ApiServer};
use fooddelivery_runtime::key::uid_of;
use fooddelivery_saga::readiness::NotReady;
use fooddelivery_saga::reason::Reason;
use kube::ResourceExt;
use tokio::time::Instant;
use tracing::{info, warn};

use super::credentials::{SECRET_AGE_MAX, credential};

/// A provider that can be called.
#[derive(Clone)]
pub(crate) struct MessageClient {
    /// The adapter.
    pub(crate) port: Arc<dyn MessagePort>,
    /// In front of it, one for all who call this provider.
    pub(crate) breaker: FailFastBreaker,
    unreachable: Arc<AtomicBool>,
}

impl MessageClient {
    /// Logs once that the provider cannot be reached, and once that it can be again.
    pub(crate) fn log_change(&self, provider: &str, why: &str) {
        let is_open = self.breaker.open_for().is_some();
        let was = self.unreachable.swap(is_open, Ordering::SeqCst);
        if is_open && !was {
            warn!(provider, why, "message provider unreachable; messages wait");
        } else if was && !is_open {
            info!(provider, "message provider reachable again");
        }
    }
}

struct Built {
    client: MessageClient,
    uid: String,
    generation: Option<i64>,
    read_at: Instant,
}

/// Makes the adapter for a provider. The simulation hands in one that calls a provider within the process.
pub type MakeMessagePort = dyn Fn(
        notification::MessageTransport,
        &MessageProviderSpec,
        Credential,
    ) -> Result<Arc<dyn MessagePort>, ConfigError>
    + Send
    + Sync;

/// Adapters that speak the providers' protocols over `http`.
pub(crate) fn over_http(http: HttpClient) -> Arc<MakeMessagePort> {
    Arc::new(move |dialect, spec, credential| {
        let timeout = Duration::from_millis(spec.timeout_ms());
        notification::message_provider(dialect, &spec.endpoint, credential, timeout, http.clone())
    })
}

/// All message clients of the process.
pub(crate) struct MessageClients {
    ports: Arc<MakeMessagePort>,
    secrets_namespace: String,
    built: Mutex<HashMap<String, Built>>,
}

impl MessageClients {
    /// None built yet.
    pub(crate) fn new(ports: Arc<MakeMessagePort>, secrets_namespace: &str) -> Self {
        Self { ports, secrets_namespace: secrets_namespace.to_owned(), built: Mutex::default() }
    }

    /// The client of a provider, or why there is none.
    ///
    /// # Errors
    /// When the API server cannot be asked.
    pub(crate) async fn open(
        &self,
        api: &ApiServer,
        provider: &MessageProvider,
    ) -> Result<Result<MessageClient, NotReady>, ApiError> {
        if let Some(client) = self.fresh(provider) {
            return Ok(Ok(client));
        }
        let of = format!("message provider {}", provider.name_any());
        let secret = credential(api, &self.secrets_namespace, &provider.spec.secret_ref, &of).await?;
        Ok(secret.and_then(|credential| self.build(provider, credential)))
    }

    fn fresh(&self, provider: &MessageProvider) -> Option<MessageClient> {
        let built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        let known = built.get(&provider.name_any()).filter(|known| is_of(known, provider))?;
        (known.read_at.elapsed() < SECRET_AGE_MAX).then(|| known.client.clone())
    }

    fn build(&self, provider: &MessageProvider, credential: Credential) -> Result<MessageClient, NotReady> {
        let name = provider.name_any();
        let spec = &provider.spec;
        let dialect = match (spec.transport, &spec.alim_talk) {
            (MessageTransport::AlimTalk, Some(alim_talk)) => {
                notification::MessageTransport::AlimTalk(AlimTalkSender {
                    app_key: alim_talk.app_key.clone(),
                    sender_key: alim_talk.sender_key.clone(),
                    template_code: alim_talk.template_code.clone(),
                })
            }
            (MessageTransport::Webhook, _) => notification::MessageTransport::Webhook,
            (MessageTransport::AlimTalk, None) | (MessageTransport::Unknown, _) => {
                let message =
                    format!("message provider {name} has a transport that this version does not know");
                return Err(NotReady { reason: Reason::ProviderUnsupported, message });
            }
        };
        let port = (self.ports)(dialect, spec, credential).map_err(|e| NotReady {
            reason: Reason::ProviderMisconfigured,
            message: format!("message provider {name}: {e}"),
        })?;
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        let known = built.get(&name).filter(|known| is_of(known, provider)).map(|known| known.client.clone());
        let places = usize::try_from(spec.concurrency).ok().and_then(NonZeroUsize::new);
        let client = known.map_or_else(
            || MessageClient {
                port: port.clone(),
                breaker: FailFastBreaker::new(places.unwrap_or(NonZeroUsize::MIN)),
                unreachable: Arc::default(),
            },
            |known| MessageClient { port: port.clone(), ..known },
        );
        let fresh = Built {
            client: client.clone(),
            uid: uid_of(provider),
            generation: provider.metadata.generation,
            read_at: Instant::now(),
        };
        built.insert(name, fresh);
        Ok(client)
    }
}

fn is_of(built: &Built, provider: &MessageProvider) -> bool {
    built.generation == provider.metadata.generation && built.uid == uid_of(provider)
}
