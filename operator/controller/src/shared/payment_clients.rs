//! Clients of the payment providers: from a PaymentProvider and its Secret to an adapter that can be called.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fooddelivery_api::{Dialect, PaymentProvider, PaymentProviderSpec};
use fooddelivery_providers::resilience::{Circuit, Rate, ResiliencePolicy, ResilienceSettings};
use fooddelivery_providers::{self as providers, ConfigError, Credential, HttpClient, PaymentPort};
use fooddelivery_runtime::api::{ApiError, ApiServer};
use fooddelivery_runtime::clock::Clock;
use fooddelivery_runtime::key::uid_of;
use fooddelivery_runtime::{Cache, Key};
use fooddelivery_saga::circuit::ReturnRate;
use fooddelivery_saga::payment::ProviderSession;
use fooddelivery_saga::readiness::NotReady;
use fooddelivery_saga::reason::Reason;
use fooddelivery_saga::time::{Millis, Timestamp};
use kube::ResourceExt;
use tokio::time::Instant;

use super::circuit_events::{CircuitEvent, CircuitEvents};
use super::credentials::{SECRET_AGE_MAX, credential};

/// Rate at which payments that waited for a circuit come back where the provider names none, per second.
const RETURNS_PER_SECOND_DEFAULT: u32 = 20;

/// A provider that can be called.
#[derive(Clone)]
pub(crate) struct PaymentClient {
    /// Uid of the PaymentProvider.
    pub(crate) provider_uid: String,
    /// Fingerprint of the credential.
    pub(crate) credential: String,
    /// The adapter.
    pub(crate) port: Arc<dyn PaymentPort>,
    /// Breaker, bulkhead and rate limit, one for all who call this provider.
    pub(crate) resilience: Arc<ResiliencePolicy>,
}

impl PaymentClient {
    /// The way to the provider, with a token that is at hand.
    pub(crate) fn session(&self, now: Timestamp) -> ProviderSession {
        let traits = self.port.traits();
        let open_until = match self.resilience.circuit() {
            Circuit::Open { until } => {
                Some(now + span(until.saturating_duration_since(std::time::Instant::now())))
            }
            Circuit::Closed | Circuit::HalfOpen => None,
        };
        ProviderSession {
            provider_uid: self.provider_uid.clone(),
            credential: self.credential.clone(),
            prepares: traits.prepares,
            retention: span(traits.key_retention),
            token_lifetime: traits.token_lifetime.map(span),
            no_token: None,
            open_until,
        }
    }
}

/// A span as the domain has it.
pub(crate) fn span(span: Duration) -> Millis {
    Millis(i64::try_from(span.as_millis()).unwrap_or(i64::MAX))
}

struct Built {
    client: PaymentClient,
    generation: Option<i64>,
    read_at: Instant,
}

/// Makes the adapter for a provider. The simulation hands in one that calls a provider within the process.
pub type MakePort = dyn Fn(providers::Dialect, &PaymentProviderSpec, Credential) -> Result<Arc<dyn PaymentPort>, ConfigError>
    + Send
    + Sync;

/// Adapters that speak the providers' protocols over `http`.
pub(crate) fn over_http(http: HttpClient) -> Arc<MakePort> {
    Arc::new(move |dialect, spec, credential| {
        let timeout = Duration::from_millis(spec.timeout_ms());
        providers::payment_provider(dialect, &spec.endpoint, credential, timeout, http.clone())
    })
}

/// All payment clients of the process.
pub(crate) struct PaymentClients {
    ports: Arc<MakePort>,
    secrets_namespace: String,
    built: Mutex<HashMap<String, Built>>,
    events: CircuitEvents,
    clock: Arc<Clock>,
}

impl PaymentClients {
    /// None built yet. Every transition of a circuit goes to `events`.
    pub(crate) fn new(
        ports: Arc<MakePort>,
        secrets_namespace: &str,
        events: CircuitEvents,
        clock: Arc<Clock>,
    ) -> Self {
        let secrets_namespace = secrets_namespace.to_owned();
        Self { ports, secrets_namespace, built: Mutex::new(HashMap::new()), events, clock }
    }

    /// The client of the provider called `name`, or why there is none.
    ///
    /// # Errors
    /// When the API server cannot be asked.
    pub(crate) async fn open(
        &self,
        api: &ApiServer,
        cache: &Cache<PaymentProvider>,
        name: &str,
    ) -> Result<Result<PaymentClient, NotReady>, ApiError> {
        let provider = match cache.object(&Key::new("", name)) {
            Some(provider) => provider,
            None => match api.read_cluster::<PaymentProvider>(name).await? {
                Some(provider) => Arc::new(provider),
                None => return Ok(Err(not_found(name))),
            },
        };
        if let Some(client) = self.at_hand(&provider) {
            return Ok(Ok(client));
        }
        let of = format!("payment provider {name}");
        let secret = credential(api, &self.secrets_namespace, &provider.spec.secret_ref, &of).await?;
        Ok(secret.and_then(|credential| self.build(&provider, credential)))
    }

    /// The client of a provider, if it was made from what the provider and its Secret say now; nobody is asked.
    pub(crate) fn at_hand(&self, provider: &PaymentProvider) -> Option<PaymentClient> {
        let built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        let known = built.get(&provider.name_any())?;
        let same = known.generation == provider.metadata.generation
            && known.client.provider_uid == uid_of(provider)
            && known.read_at.elapsed() < SECRET_AGE_MAX;
        same.then(|| known.client.clone())
    }

    fn build(&self, provider: &PaymentProvider, credential: Credential) -> Result<PaymentClient, NotReady> {
        let not_ready = |reason, message| NotReady { reason, message };
        let name = provider.name_any();
        let dialect = match provider.spec.dialect {
            Dialect::Toss => providers::Dialect::Toss,
            Dialect::Stripe => providers::Dialect::Stripe,
            Dialect::Unknown => {
                let message =
                    format!("payment provider {name} speaks a dialect that this version does not know");
                return Err(not_ready(Reason::ProviderUnsupported, message));
            }
        };
        let fingerprint = credential.fingerprint();
        let port = (self.ports)(dialect, &provider.spec, credential)
            .map_err(|e| not_ready(Reason::ProviderMisconfigured, format!("payment provider {name}: {e}")))?;
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        let known = built.get(&name).filter(|known| {
            known.generation == provider.metadata.generation && known.client.provider_uid == uid_of(provider)
        });
        let resilience = match known {
            Some(known) => known.client.resilience.clone(),
            None => self.resilience(&name, &provider.spec)?,
        };
        let client =
            PaymentClient { provider_uid: uid_of(provider), credential: fingerprint, port, resilience };
        let fresh = Built {
            client: client.clone(),
            generation: provider.metadata.generation,
            read_at: Instant::now(),
        };
        built.insert(name, fresh);
        Ok(client)
    }

    /// A circuit that begins closed, whatever an earlier one was.
    fn resilience(&self, name: &str, spec: &PaymentProviderSpec) -> Result<Arc<ResiliencePolicy>, NotReady> {
        let events = self.events.clone();
        let on_transition = {
            let (events, name, rate) = (events.clone(), name.to_owned(), return_rate(spec));
            let clock = self.clock.clone();
            move |transition| events.send(CircuitEvent::of(&name, &transition, rate, clock.now()))
        };
        let policy = ResiliencePolicy::new(name, &resilience_settings(spec), on_transition).map_err(|e| {
            let message = format!("payment provider {name}: {e}");
            NotReady { reason: Reason::ProviderMisconfigured, message }
        })?;
        events.send(CircuitEvent::begun(name, return_rate(spec), self.clock.now()));
        Ok(Arc::new(policy))
    }
}

fn resilience_settings(spec: &PaymentProviderSpec) -> ResilienceSettings {
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
fn return_rate(spec: &PaymentProviderSpec) -> ReturnRate {
    ReturnRate {
        open_for: Duration::from_millis(spec.breaker.open_for_ms()),
        trials: usize::try_from(spec.breaker.trials).unwrap_or(1).max(1),
        per_second: spec
            .rate
            .map_or(RETURNS_PER_SECOND_DEFAULT, |r| u32::try_from(r.per_second).unwrap_or(1).max(1)),
    }
}

fn not_found(name: &str) -> NotReady {
    NotReady { reason: Reason::ProviderNotFound, message: format!("there is no PaymentProvider {name}") }
}
