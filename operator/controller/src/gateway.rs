//! Ways to the payment providers: from a PaymentProvider and its Secret to an adapter that can be called.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fooddelivery_api::provider::ProviderSecretRef;
use fooddelivery_api::{Dialect, PaymentProvider, PaymentProviderSpec};
use fooddelivery_providers::resilience::{Rate, ResiliencePolicy, ResilienceSettings};
use fooddelivery_providers::{self as providers, ConfigError, Credential, HttpClient, PaymentPort};
use fooddelivery_saga::reason::Reason;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use tokio::time::Instant;

use crate::api::{ApiError, ApiServer};
use crate::circuits::{Paces, Told, Turn};
use crate::clock::Clock;
use crate::engine::{Cache, Key};
use crate::events::uid_of;

/// A changed Secret takes effect within this time.
pub(crate) const SECRET_LIFETIME: Duration = Duration::from_secs(5);
/// Where a provider names no rate, so many of the payments that waited for its circuit come back in a second.
const RETURNS_PER_SECOND: u32 = 20;

/// A provider that can be called.
#[derive(Clone)]
pub struct Gateway {
    /// Uid of the PaymentProvider.
    pub provider_uid: String,
    /// Fingerprint of the credential.
    pub credential: String,
    /// The adapter.
    pub port: Arc<dyn PaymentPort>,
    /// Breaker, bulkhead and rate limit, one for all who call this provider.
    pub guard: Arc<ResiliencePolicy>,
}

/// Why a provider cannot be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotReady {
    /// One word.
    pub reason: Reason,
    /// A sentence.
    pub message: String,
}

struct Built {
    gateway: Gateway,
    generation: Option<i64>,
    read_at: Instant,
}

/// Makes the adapter for a provider. The simulation hands in one that calls a provider within the process.
pub type MakePort = dyn Fn(providers::Dialect, &PaymentProviderSpec, Credential) -> Result<Arc<dyn PaymentPort>, ConfigError>
    + Send
    + Sync;

/// Adapters that speak the providers' protocols over `http`.
pub fn over_http(http: HttpClient) -> Arc<MakePort> {
    Arc::new(move |dialect, spec, credential| {
        let timeout = Duration::from_millis(spec.timeout_ms());
        providers::payment_provider(dialect, &spec.endpoint, credential, timeout, http.clone())
    })
}

/// All gateways of the process.
pub struct Gateways {
    ports: Arc<MakePort>,
    secrets_namespace: String,
    built: Mutex<HashMap<String, Built>>,
    told: Told,
    clock: Arc<Clock>,
}

impl Gateways {
    /// None built yet. Every turn of a circuit goes to `told`.
    pub fn new(ports: Arc<MakePort>, secrets_namespace: &str, told: Told, clock: Arc<Clock>) -> Self {
        let secrets_namespace = secrets_namespace.to_owned();
        Self { ports, secrets_namespace, built: Mutex::new(HashMap::new()), told, clock }
    }

    /// The way to the provider called `name`, or why there is none.
    ///
    /// # Errors
    /// When the API server cannot be asked.
    pub async fn open(
        &self,
        api: &ApiServer,
        cache: &Cache<PaymentProvider>,
        name: &str,
    ) -> Result<Result<Gateway, NotReady>, ApiError> {
        let provider = match cache.object(&Key::new("", name)) {
            Some(provider) => provider,
            None => match api.read_cluster::<PaymentProvider>(name).await? {
                Some(provider) => Arc::new(provider),
                None => return Ok(Err(not_found(name))),
            },
        };
        if let Some(gateway) = self.fresh(&provider) {
            return Ok(Ok(gateway));
        }
        let of = format!("payment provider {name}");
        let secret = credential(api, &self.secrets_namespace, &provider.spec.secret_ref, &of).await?;
        Ok(secret.and_then(|credential| self.build(&provider, credential)))
    }

    fn fresh(&self, provider: &PaymentProvider) -> Option<Gateway> {
        let built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        let known = built.get(&provider.name_any())?;
        let same = known.generation == provider.metadata.generation
            && known.gateway.provider_uid == uid_of(provider)
            && known.read_at.elapsed() < SECRET_LIFETIME;
        same.then(|| known.gateway.clone())
    }

    fn build(&self, provider: &PaymentProvider, credential: Credential) -> Result<Gateway, NotReady> {
        let barred = |reason, message| NotReady { reason, message };
        let name = provider.name_any();
        let dialect = match provider.spec.dialect {
            Dialect::Toss => providers::Dialect::Toss,
            Dialect::Stripe => providers::Dialect::Stripe,
            Dialect::Unknown => {
                let message =
                    format!("payment provider {name} speaks a dialect that this version does not know");
                return Err(barred(Reason::ProviderUnsupported, message));
            }
        };
        let fingerprint = credential.fingerprint();
        let port = (self.ports)(dialect, &provider.spec, credential)
            .map_err(|e| barred(Reason::ProviderMisconfigured, format!("payment provider {name}: {e}")))?;
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        let known = built.get(&name).filter(|known| {
            known.generation == provider.metadata.generation && known.gateway.provider_uid == uid_of(provider)
        });
        let guard = match known {
            Some(known) => known.gateway.guard.clone(),
            None => self.guard(&name, &provider.spec)?,
        };
        let gateway = Gateway { provider_uid: uid_of(provider), credential: fingerprint, port, guard };
        let fresh = Built {
            gateway: gateway.clone(),
            generation: provider.metadata.generation,
            read_at: Instant::now(),
        };
        built.insert(name, fresh);
        Ok(gateway)
    }

    /// A circuit that begins closed, whatever an earlier one was.
    fn guard(&self, name: &str, spec: &PaymentProviderSpec) -> Result<Arc<ResiliencePolicy>, NotReady> {
        let told = self.told.clone();
        let turned = {
            let (told, name, paces) = (told.clone(), name.to_owned(), paces(spec));
            let clock = self.clock.clone();
            move |transition| told.tell(Turn::of(&name, &transition, paces, clock.now()))
        };
        let guard = ResiliencePolicy::new(name, &guard_settings(spec), turned).map_err(|e| {
            let message = format!("payment provider {name}: {e}");
            NotReady { reason: Reason::ProviderMisconfigured, message }
        })?;
        told.tell(Turn::begun(name, paces(spec), self.clock.now()));
        Ok(Arc::new(guard))
    }
}

fn guard_settings(spec: &PaymentProviderSpec) -> ResilienceSettings {
    let breaker = &spec.breaker;
    let count = |n: i64| usize::try_from(n).unwrap_or(1).max(1);
    #[expect(clippy::cast_precision_loss, reason = "a percentage")]
    let share = |percent: i64| percent.clamp(1, 100) as f64 / 100.0;
    let number = |n: i64| NonZeroU32::new(u32::try_from(n).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN);
    ResilienceSettings {
        failure_rate: share(breaker.failure_rate_percent),
        slow_rate: share(breaker.slow_call_rate_percent),
        slow_after: Duration::from_millis(breaker.slow_call_ms().unwrap_or(spec.timeout_ms())),
        window: Duration::from_millis(breaker.window_ms()),
        minimum_calls: count(breaker.minimum_calls),
        open_for: Duration::from_millis(breaker.open_for_ms()),
        trials: count(breaker.trials),
        concurrency: count(spec.concurrency),
        rate: spec.rate.map(|r| Rate { per_second: number(r.per_second), burst: number(r.burst) }),
    }
}

/// How those who waited for a circuit are to come back.
fn paces(spec: &PaymentProviderSpec) -> Paces {
    Paces {
        open_for: Duration::from_millis(spec.breaker.open_for_ms()),
        trials: usize::try_from(spec.breaker.trials).unwrap_or(1).max(1),
        per_second: spec.rate.map_or(RETURNS_PER_SECOND, |r| u32::try_from(r.per_second).unwrap_or(1).max(1)),
    }
}

/// The credential in a Secret of the operator's namespace; `of` says whose it is.
pub(crate) async fn credential(
    api: &ApiServer,
    secrets_namespace: &str,
    reference: &ProviderSecretRef,
    of: &str,
) -> Result<Result<Credential, NotReady>, ApiError> {
    let key = Key::new(secrets_namespace, &reference.name);
    let missing = |message| NotReady { reason: Reason::ProviderSecretMissing, message };
    let secret = match api.read::<Secret>(&key).await {
        Err(ApiError::Forbidden(_)) => {
            let message = format!("the operator may not read Secret {key} of {of}");
            return Ok(Err(NotReady { reason: Reason::ProviderSecretForbidden, message }));
        }
        read => read?,
    };
    let Some(secret) = secret else {
        return Ok(Err(missing(format!("Secret {key} of {of} is missing"))));
    };
    Ok(text_of(&secret, &reference.key)
        .map(Credential::new)
        .ok_or_else(|| missing(format!("Secret {key} has no key {:?} with a text in it", reference.key))))
}

/// A text of a Secret, without surrounding white space; `None` when it is missing, empty or no text.
pub fn text_of(secret: &Secret, key: &str) -> Option<String> {
    let bytes = secret.data.as_ref()?.get(key)?;
    let text = std::str::from_utf8(&bytes.0).ok()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn not_found(name: &str) -> NotReady {
    NotReady { reason: Reason::ProviderNotFound, message: format!("there is no PaymentProvider {name}") }
}
