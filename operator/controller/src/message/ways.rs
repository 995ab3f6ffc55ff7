//! Ways to the message providers: from a MessageProvider and its Secret to an adapter, with a gate in front of it.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fooddelivery_api::{MessageProvider, MessageProviderSpec, MessageTransport};
use fooddelivery_providers::notification::{self, AlimTalkSender, FailFastBreaker, MessagePort};
use fooddelivery_providers::{ConfigError, Credential, HttpClient};
use fooddelivery_saga::reason::Reason;
use kube::ResourceExt;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::api::{ApiError, ApiServer};
use crate::events::uid_of;
use crate::gateway::{NotReady, SECRET_LIFETIME, credential};

/// A provider that can be called.
#[derive(Clone)]
pub struct Way {
    /// The adapter.
    pub port: Arc<dyn MessagePort>,
    /// In front of it, one for all who call this provider.
    pub gate: FailFastBreaker,
    in_trouble: Arc<AtomicBool>,
}

impl Way {
    /// Says once that the provider is in trouble, and once that it is out of it again.
    pub(super) fn say(&self, provider: &str, why: &str) {
        let shut = self.gate.open_for().is_some();
        let was = self.in_trouble.swap(shut, Ordering::SeqCst);
        if shut && !was {
            warn!(provider, why, "messages wait: their provider cannot be reached");
        } else if was && !shut {
            info!(provider, "messages go out again");
        }
    }
}

struct Built {
    way: Way,
    uid: String,
    generation: Option<i64>,
    read_at: Instant,
}

/// Makes the adapter for a provider. The simulation hands in one that calls a provider within the process.
pub type MakeMessagePort = dyn Fn(
        notification::MessageDialect,
        &MessageProviderSpec,
        Credential,
    ) -> Result<Arc<dyn MessagePort>, ConfigError>
    + Send
    + Sync;

/// Adapters that speak the providers' protocols over `http`.
pub fn over_http(http: HttpClient) -> Arc<MakeMessagePort> {
    Arc::new(move |dialect, spec, credential| {
        let timeout = Duration::from_millis(spec.timeout_ms());
        notification::message_provider(dialect, &spec.endpoint, credential, timeout, http.clone())
    })
}

/// All ways of the process.
pub struct Ways {
    ports: Arc<MakeMessagePort>,
    secrets_namespace: String,
    built: Mutex<HashMap<String, Built>>,
}

impl Ways {
    /// None built yet.
    pub fn new(ports: Arc<MakeMessagePort>, secrets_namespace: &str) -> Self {
        Self { ports, secrets_namespace: secrets_namespace.to_owned(), built: Mutex::default() }
    }

    /// The way to a provider, or why there is none.
    ///
    /// # Errors
    /// When the API server cannot be asked.
    pub async fn open(
        &self,
        api: &ApiServer,
        provider: &MessageProvider,
    ) -> Result<Result<Way, NotReady>, ApiError> {
        if let Some(way) = self.fresh(provider) {
            return Ok(Ok(way));
        }
        let of = format!("message provider {}", provider.name_any());
        let secret = credential(api, &self.secrets_namespace, &provider.spec.secret_ref, &of).await?;
        Ok(secret.and_then(|credential| self.build(provider, credential)))
    }

    fn fresh(&self, provider: &MessageProvider) -> Option<Way> {
        let built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        let known = built.get(&provider.name_any()).filter(|known| is_of(known, provider))?;
        (known.read_at.elapsed() < SECRET_LIFETIME).then(|| known.way.clone())
    }

    fn build(&self, provider: &MessageProvider, credential: Credential) -> Result<Way, NotReady> {
        let name = provider.name_any();
        let spec = &provider.spec;
        let dialect = match (spec.transport, &spec.alim_talk) {
            (MessageTransport::AlimTalk, Some(alim_talk)) => {
                notification::MessageDialect::AlimTalk(AlimTalkSender {
                    app_key: alim_talk.app_key.clone(),
                    sender_key: alim_talk.sender_key.clone(),
                    template_code: alim_talk.template_code.clone(),
                })
            }
            (MessageTransport::Webhook, _) => notification::MessageDialect::Webhook,
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
        let known = built.get(&name).filter(|known| is_of(known, provider)).map(|known| known.way.clone());
        let places = usize::try_from(spec.concurrency).ok().and_then(NonZeroUsize::new);
        let way = known.map_or_else(
            || Way {
                port: port.clone(),
                gate: FailFastBreaker::new(places.unwrap_or(NonZeroUsize::MIN)),
                in_trouble: Arc::default(),
            },
            |known| Way { port: port.clone(), ..known },
        );
        let fresh = Built {
            way: way.clone(),
            uid: uid_of(provider),
            generation: provider.metadata.generation,
            read_at: Instant::now(),
        };
        built.insert(name, fresh);
        Ok(way)
    }
}

fn is_of(built: &Built, provider: &MessageProvider) -> bool {
    built.generation == provider.metadata.generation && built.uid == uid_of(provider)
}
