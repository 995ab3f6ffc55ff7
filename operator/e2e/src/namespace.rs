//! A test namespace: one namespace with everything that an order needs, and nobody else in it.
//!
//! This module sets it up, reads it and waits for it; what people do in it is in `actions`. Methods return errors rather
//! than panic; every error of a wait shows the objects, the ledger and the end of the operator's log.

use std::fmt::Debug;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use fooddelivery_api::{
    OPERATOR_NAMESPACE, OPERATOR_SERVICE_ACCOUNT, Order, Payment, PaymentProvider, PaymentProviderStatus,
    TOKEN_SECRETS_ROLE,
};
use fooddelivery_saga::phases::OrderPhase;
use fooddelivery_sandbox::ledger::Entry;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::access::ClusterAccess;
use crate::audit::{findings, holds};
use crate::cluster::TestCluster;
use crate::names::suffix;
use crate::operator::{Operator, OperatorOptions};
use crate::samples::{marketplace, provider};
use crate::sandbox::{Sandbox, SandboxOptions};
use crate::wait::{LONG, pause};

/// How many of the operator's last log lines a failure shows.
const SHOWN_LOG_LINES: usize = 60;
/// Test namespaces open at the same time. Tests mostly wait, so more of them than cores pay; with still more, an operator
/// gets so little of a core that calls of the provider time out.
const AT_ONCE: usize = 8;

static PLACES: Semaphore = Semaphore::const_new(AT_ONCE);

/// How a test namespace differs from an ordinary one.
#[derive(Debug, Clone, Default)]
pub struct NamespaceOptions {
    /// Of the operator; `namespaces` is filled with this one where it is empty.
    pub operator: OperatorOptions,
    /// Whether the operator is left stopped: `ns.operator.restart()` starts it.
    pub operator_stopped: bool,
    /// Of the sandbox.
    pub sandbox: SandboxOptions,
    /// The PaymentProvider's `timeout`, such as `2s`; `None`: its default.
    pub provider_timeout: Option<String>,
    /// Further fields of the PaymentProvider's spec, such as `{"dialect": "Stripe"}`.
    pub provider: serde_json::Map<String, Value>,
}

impl NamespaceOptions {
    /// With these fields in the PaymentProvider's spec; `fields` is a JSON object.
    #[must_use]
    pub fn with_provider(mut self, fields: Value) -> Self {
        if let Value::Object(fields) = fields {
            self.provider.extend(fields);
        }
        self
    }
}

/// A namespace with a store, its own provider and its own operator. Dropping it ends the two processes; the namespace
/// stays, and goes with the cluster or with [`TestNamespace::close`].
pub struct TestNamespace {
    /// The cluster that it is on.
    pub cluster: Arc<TestCluster>,
    /// Its name; also the name of its PaymentProvider and of that one's Secret.
    pub name: String,
    /// A client with an administrator's rights.
    pub client: Client,
    /// The operator of this namespace.
    pub operator: Operator,
    /// The payment provider.
    pub sandbox: Sandbox,
    /// Freed after the two processes have ended.
    _place: SemaphorePermit<'static>,
}

/// What can be read here: a namespaced kind that is known at compile time.
pub trait Kind:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned
{
}

impl<K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned> Kind
    for K
{
}

impl TestCluster {
    /// A fresh namespace with its own sandbox, payment provider, store `hanok`, rider `minjun`, customer `jiwoo`, and
    /// an operator that is limited to it. `name` begins the namespace's name: lower case, at most 40 letters. Waits
    /// while too many are open in this process.
    ///
    /// # Errors
    /// When something is refused or does not start.
    pub async fn namespace(self: &Arc<Self>, name: &str) -> Result<TestNamespace> {
        self.namespace_with(name, NamespaceOptions::default()).await
    }

    /// [`Self::namespace`] with options.
    ///
    /// # Errors
    /// As [`Self::namespace`].
    pub async fn namespace_with(
        self: &Arc<Self>,
        name: &str,
        options: NamespaceOptions,
    ) -> Result<TestNamespace> {
        TestNamespace::open(Arc::clone(self), name, options).await
    }
}

impl TestNamespace {
    async fn open(cluster: Arc<TestCluster>, name: &str, options: NamespaceOptions) -> Result<Self> {
        let place = PLACES.acquire().await.context("the places for test namespaces")?;
        let name = format!("{name}-{}", suffix());
        let client = cluster.access().client().await?;
        let dir = cluster.access().dir();
        let programs = cluster.programs();
        let sandbox_name = format!("{name}-sandbox");
        let sandbox = Sandbox::start(&programs.sandbox, dir, &sandbox_name, options.sandbox).await?;
        let mut fields = options.provider;
        fields.extend(options.provider_timeout.map(|timeout| ("timeout".to_owned(), timeout.into())));
        let manifests = marketplace(&name, &sandbox.url(), &fields)?;
        ClusterAccess::apply(&client, &manifests).await?;
        let mut of_operator = options.operator;
        if of_operator.namespaces.is_empty() {
            of_operator.namespaces.push(name.clone());
        }
        let judges_providers = of_operator.controllers.is_empty();
        let operator_name = format!("{name}-operator");
        let operator = Operator::new(
            &programs.operator,
            cluster.operator_kubeconfig(),
            dir,
            &operator_name,
            of_operator,
        )?;
        let ns = Self { cluster, name, client, operator, sandbox, _place: place };
        if !options.operator_stopped {
            ns.operator.restart().await?;
            if judges_providers {
                ns.wait_provider_ready(LONG).await?;
            }
        }
        Ok(ns)
    }

    /// Another operator for this namespace, as a second replica would be; ready when this returns. `namespaces` of
    /// the options is filled where it is empty.
    ///
    /// # Errors
    /// As [`Operator::start`].
    pub async fn another_operator(&self, mut options: OperatorOptions) -> Result<Operator> {
        if options.namespaces.is_empty() {
            options.namespaces.push(self.name.clone());
        }
        self.cluster.operator(&self.name, options).await
    }

    /// The name of its PaymentProvider.
    pub fn provider(&self) -> &str {
        &self.name
    }

    /// Access to a kind in this namespace.
    pub fn api<K: Kind>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// An object.
    ///
    /// # Errors
    /// When it is not there, or cannot be read.
    pub async fn get<K: Kind>(&self, name: &str) -> Result<K> {
        self.api::<K>().get(name).await.with_context(|| format!("{} {name}", K::kind(&())))
    }

    /// An object, or `None` when it is not there.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn find<K: Kind>(&self, name: &str) -> Result<Option<K>> {
        self.api::<K>().get_opt(name).await.with_context(|| format!("{} {name}", K::kind(&())))
    }

    /// All objects of a kind.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn list<K: Kind>(&self) -> Result<Vec<K>> {
        Ok(self.api::<K>().list(&ListParams::default()).await?.items)
    }

    /// `kubectl -n <namespace> …`, as a person would run it; its standard output.
    ///
    /// # Errors
    /// What kubectl said, when it fails.
    pub async fn kubectl(&self, args: &[&str]) -> Result<String> {
        let all = ["-n", &self.name].into_iter().chain(args.iter().copied());
        self.cluster.access().kubectl(all).await
    }

    /// `kubectl apply -f -` in this namespace.
    ///
    /// # Errors
    /// What kubectl said.
    pub async fn apply_yaml(&self, text: &str) -> Result<(), String> {
        let args = ["-n", &self.name, "apply", "-f", "-"];
        let applied = self.cluster.access().kubectl_with_input(args, text).await;
        applied.map(drop).map_err(|error| format!("{error:#}"))
    }

    /// Waits until an object exists and `is_so` holds for it, and returns it. `what` ends the sentence "waited for …".
    ///
    /// # Errors
    /// When it does not come to that before `deadline`; the error shows everything about `name`.
    pub async fn wait_until<K: Kind>(
        &self,
        name: &str,
        what: &str,
        deadline: Duration,
        is_so: impl Fn(&K) -> bool,
    ) -> Result<K> {
        let started = Instant::now();
        loop {
            // An API server that is being restarted does not answer: that is no failure yet.
            let found = self.find::<K>(name).await;
            if let Ok(Some(object)) = &found
                && is_so(object)
            {
                return Ok(object.clone());
            }
            if started.elapsed() >= deadline {
                let what = format!("{} {name}: {what}", K::kind(&()));
                let error = found.err().map(|error| format!(" ({error:#})")).unwrap_or_default();
                return Err(self.failure(&format!("waited {deadline:?} for {what}{error}"), name).await);
            }
            pause(started).await;
        }
    }

    /// Waits until an order has entered `phase`: it is there now, or its history says that it was. The order that is
    /// returned may be further already.
    ///
    /// # Errors
    /// When it does not get there before `deadline`, or at once when it has ended otherwise.
    pub async fn wait_phase(&self, name: &str, phase: OrderPhase, deadline: Duration) -> Result<Order> {
        let has_entered = |order: &Order| {
            let state = order.state();
            state.phase == phase || state.history.iter().any(|entry| entry.phase == phase.as_str())
        };
        let is_decided = |order: &Order| has_entered(order) || order.state().phase.is_terminal();
        let what = format!("phase {phase}");
        let order = self.wait_until::<Order>(name, &what, deadline, is_decided).await?;
        if !has_entered(&order) {
            let ended = format!("waited for Order {name}: {what}, but it is {}", order.state().phase);
            return Err(self.failure(&ended, name).await);
        }
        Ok(order)
    }

    /// Waits until a condition (`Paid`, `Settled`, `Completed`, `Ended`) of an order is `True`.
    ///
    /// # Errors
    /// When it is not before `deadline`.
    pub async fn wait_condition(&self, name: &str, condition: &str, deadline: Duration) -> Result<Order> {
        self.wait_until(name, &format!("condition {condition}"), deadline, |order| holds(order, condition))
            .await
    }

    /// Waits until an object is gone.
    ///
    /// # Errors
    /// When it is still there at `deadline`.
    pub async fn wait_gone<K: Kind>(&self, name: &str, deadline: Duration) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < deadline {
            if matches!(self.find::<K>(name).await, Ok(None)) {
                return Ok(());
            }
            pause(started).await;
        }
        let what = format!("waited {deadline:?} for {} {name} to be gone", K::kind(&()));
        Err(self.failure(&what, name).await)
    }

    /// Waits until the operator says that the provider can be called.
    ///
    /// # Errors
    /// When it does not before `deadline`.
    pub async fn wait_provider_ready(&self, deadline: Duration) -> Result<()> {
        let is_ready = |status: &PaymentProviderStatus| {
            status.conditions.iter().any(|found| found.type_ == "Ready" && found.status == "True")
        };
        self.wait_provider(self.provider(), "Ready", deadline, is_ready).await.map(drop)
    }

    /// Waits until `is_so` holds for the status of a PaymentProvider, and returns it.
    ///
    /// # Errors
    /// When it does not come to that before `deadline`; the error shows the status and the operator's log.
    pub async fn wait_provider(
        &self,
        name: &str,
        what: &str,
        deadline: Duration,
        is_so: impl Fn(&PaymentProviderStatus) -> bool,
    ) -> Result<PaymentProviderStatus> {
        let api: Api<PaymentProvider> = Api::all(self.client.clone());
        let started = Instant::now();
        loop {
            let status = api.get(name).await?.status.unwrap_or_default();
            if is_so(&status) {
                return Ok(status);
            }
            if started.elapsed() >= deadline {
                let log = self.operator.log_tail(SHOWN_LOG_LINES);
                bail!("provider {name}: waited {deadline:?} for {what}: {status:#?}\n{log}");
            }
            pause(started).await;
        }
    }

    /// Applies another PaymentProvider, at the same sandbox and with the same Secret, with these fields in its spec,
    /// and returns its name: the namespace's own with `-<suffix>`.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn another_provider(&self, suffix: &str, fields: Value) -> Result<String> {
        let name = format!("{}-{suffix}", self.name);
        let fields = fields.as_object().cloned().unwrap_or_default();
        let provider = provider(&name, &self.name, &self.sandbox.url(), &fields);
        ClusterAccess::apply(&self.client, &provider.to_string()).await?;
        Ok(name)
    }

    /// Lets the operator read Secrets of this namespace, for orders that keep their token in one.
    ///
    /// # Errors
    /// What kubectl said.
    pub async fn allow_token_secrets(&self) -> Result<()> {
        let role = format!("--clusterrole={TOKEN_SECRETS_ROLE}");
        let account = format!("--serviceaccount={OPERATOR_NAMESPACE}:{OPERATOR_SERVICE_ACCOUNT}");
        self.kubectl(&["create", "rolebinding", TOKEN_SECRETS_ROLE, &role, &account]).await.map(drop)
    }

    /// The Events about the object called `name`: reason and note of each.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn events(&self, name: &str) -> Result<Vec<(String, String)>> {
        let events = self.list::<Event>().await?.into_iter();
        let about = |event: &Event| event.regarding.as_ref().and_then(|it| it.name.clone());
        let ours = events.filter(|event| about(event).as_deref() == Some(name));
        Ok(ours.map(|event| (event.reason.unwrap_or_default(), event.note.unwrap_or_default())).collect())
    }

    /// Every movement of money in this namespace.
    ///
    /// # Errors
    /// When the sandbox does not answer.
    pub async fn ledger(&self) -> Result<Vec<Entry>> {
        self.sandbox.ledger().await
    }

    /// Fails when the money is not right: captured twice, more refunded than captured, an order undone and settled
    /// without its money back, a completed one without its price paid, a payment that states what the ledger does
    /// not. The sandbox must run.
    ///
    /// # Errors
    /// All that is wrong, and the ledger.
    pub async fn audit(&self) -> Result<()> {
        let ledger = self.ledger().await?;
        let found = findings(&self.list::<Order>().await?, &self.list::<Payment>().await?, &ledger);
        if found.is_empty() {
            return Ok(());
        }
        bail!("the money is not right:\n- {}\n{}", found.join("\n- "), shown(&ledger))
    }

    /// Deletes the namespace, waits until it is gone (the operator undoes what is open), then removes the provider,
    /// its Secret and the operator's Leases. For existing clusters, or tests of just that; a local cluster needs no
    /// tidying.
    ///
    /// # Errors
    /// When the namespace is not gone within 60 s.
    pub async fn close(self) -> Result<()> {
        let args = ["delete", "namespace", &self.name, "--timeout=180s"];
        self.cluster.access().kubectl(args).await?;
        Api::<PaymentProvider>::all(self.client.clone()).delete(&self.name, &DeleteParams::default()).await?;
        let args = ["-n", OPERATOR_NAMESPACE, "delete", "secret", &self.name];
        self.cluster.access().kubectl(args).await?;
        let leases = ["order", "payment", "ticket", "delivery", "coupon"]
            .map(|c| format!("fooddelivery-{c}.{}", self.name));
        let args = ["-n", OPERATOR_NAMESPACE, "delete", "lease", "--ignore-not-found"].map(str::to_owned);
        self.cluster.access().kubectl(args.into_iter().chain(leases)).await?;
        Ok(())
    }

    /// Everything about an order for people: the objects as YAML, Events, the ledger, the end of the operator's log.
    pub async fn describe(&self, name: &str) -> String {
        let mut text = String::new();
        for kind in ["order", "payment", "ticket", "delivery"] {
            let args = ["get", kind, name, "-o", "yaml", "--ignore-not-found"];
            let shown = self.kubectl(&args).await.unwrap_or_else(|error| format!("{error:#}\n"));
            let _ = write!(text, "--- {kind}\n{shown}");
        }
        let counts = self.kubectl(&["get", "cpn,cpnu,sto,rid", "-o", "json"]).await.unwrap_or_default();
        let _ = writeln!(text, "--- counts\n{}", statuses(&counts));
        let events = self.events(name).await.unwrap_or_default();
        let _ = writeln!(text, "--- events\n{events:#?}");
        let ledger = self.ledger().await.map_or_else(|error| format!("{error:#}\n"), |all| shown(&all));
        let _ = write!(text, "--- ledger\n{ledger}");
        let log = self.operator.log_tail(SHOWN_LOG_LINES);
        let running = if self.operator.is_running() { "running" } else { "not running" };
        let _ = writeln!(text, "--- operator ({running}), {}\n{log}", self.operator.log_path().display());
        text
    }

    pub(crate) async fn failure(&self, what: &str, name: &str) -> anyhow::Error {
        anyhow!("{what}\n{}", self.describe(name).await)
    }
}

/// The statuses of a list that kubectl printed, a line each.
fn statuses(list: &str) -> String {
    let list: Value = serde_json::from_str(list).unwrap_or_default();
    let items = list["items"].as_array().into_iter().flatten();
    let line = |item: &Value| format!("{} {}: {}", item["kind"], item["metadata"]["name"], item["status"]);
    items.map(line).collect::<Vec<_>>().join("\n")
}

fn shown(ledger: &[Entry]) -> String {
    let mut text = String::new();
    for Entry { seq, at, kind, amount, order_id, idempotency_key, .. } in ledger {
        let key = idempotency_key.as_deref().unwrap_or("-");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{seq:>4} {at} {kind:?} {amount} {order_id} {key}");
    }
    text
}
