//! Sets the stage: the cluster, the base, the sandbox, the operator, the samples; and clears it away.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use fooddelivery_api::OPERATOR_NAMESPACE;
use fooddelivery_e2e::binaries::workspace;
use fooddelivery_e2e::identity::operator_kubeconfig;
use fooddelivery_e2e::install::{Installed, install_base, wait_stamped};
use fooddelivery_e2e::{ClusterAccess, Operator, OperatorOptions, Programs, Sandbox, SandboxOptions};
use local_cluster::{ControllerManager, Options, Progress, try_port};

use crate::Arguments;
use crate::console::Console;
use crate::messages::Messages;
use crate::people::{NAMESPACE, People};
use crate::timeline::Timeline;

/// Where the samples' provider points to.
const SAMPLE_PORT: u16 = 8787;
/// The orders of the five acts.
pub(crate) const ORDERS: [&str; 5] = ["lunch", "second-thoughts", "too-late", "hard-times", "favourites"];

/// Everything that the acts need.
pub(crate) struct DemoEnvironment {
    /// The cluster.
    pub(crate) access: ClusterAccess,
    /// What was installed on it.
    pub(crate) installed: Installed,
    /// The operator's process.
    pub(crate) operator: Operator,
    /// The payment provider's process.
    pub(crate) sandbox: Sandbox,
    /// What goes on in the marketplace.
    pub(crate) timeline: Timeline,
    /// Standard output.
    pub(crate) console: Arc<Console>,
    _messages: Messages,
}

impl DemoEnvironment {
    /// Starts and installs everything.
    ///
    /// # Errors
    /// When something does not compile, start or install.
    pub(crate) async fn open(arguments: &Arguments, console: Arc<Console>) -> Result<Self> {
        console.heading("The stage: a Kubernetes control plane, the operator, a payment provider");
        let programs = tokio::task::spawn_blocking(Programs::find_or_build).await??;
        let access = cluster(arguments, &console).await?;
        let said = Arc::clone(&console);
        let installed = install_base(&access, &workspace(), move |text| said.note(text)).await?;
        console.note("the new kinds, their rules and the admission policies are in force (manifests/base)");
        check_vacant(&access).await?;
        let options = SandboxOptions {
            listen: sample_address(),
            latency: arguments.latency.clone(),
            ..SandboxOptions::default()
        };
        let sandbox = Sandbox::start(&programs.sandbox, access.dir(), "sandbox", options).await?;
        console.note(&format!("a payment provider listens on {} (fooddelivery-sandbox)", sandbox.url()));
        let kubeconfig = operator_kubeconfig(&access).await?;
        let options = OperatorOptions::in_namespace(NAMESPACE);
        let operator =
            Operator::start(&programs.operator, &kubeconfig, access.dir(), "operator", options).await?;
        console
            .note("the operator runs, with the permissions of its service account (fooddelivery-operator)");
        if installed.stamps_finalizers {
            wait_stamped(&access).await?;
        }
        apply_samples(&access, &console, &sandbox).await?;
        let timeline = Timeline::start(&access.client().await?, &console);
        let messages = Messages::follow(&sandbox, &console);
        Ok(Self { access, installed, operator, sandbox, timeline, console, _messages: messages })
    }

    /// The people of the marketplace.
    pub(crate) fn people(&self) -> People<'_> {
        People::new(&self.access, &self.console)
    }

    /// What to type next, in another terminal.
    pub(crate) fn say_how_to_go_on(&self) {
        let console = &self.console;
        console.heading("Go on by yourself, in another terminal");
        if let Some(local) = self.access.local_cluster() {
            console.note(&format!("export KUBECONFIG='{}'", local.kubeconfig_path().display()));
            console.note(&format!("alias kubectl='{}'   # the same version", local.kubectl_path().display()));
        }
        let patch = |kind: &str, patch: &str| {
            console.note(&format!("kubectl -n {NAMESPACE} patch {kind} dinner --type=merge -p '{patch}'"));
        };
        console.note(&format!("kubectl get food -n {NAMESPACE}"));
        let sample = workspace().join("manifests/samples/order.yaml");
        let renamed = "sed 's/lunch/dinner/'";
        console.note(&format!("{renamed} '{}' | kubectl apply -f -", sample.display()));
        for stage in ["Accepted", "Cooking", "Cooked"] {
            patch("ticket", &format!(r#"{{"spec":{{"stage":"{stage}"}}}}"#));
        }
        patch("delivery", r#"{"spec":{"riderRef":{"name":"minjun"}}}"#);
        for stage in ["PickedUp", "Delivered"] {
            patch("delivery", &format!(r#"{{"spec":{{"stage":"{stage}"}}}}"#));
        }
        patch("order", r#"{"spec":{"receiptConfirmed":true}}"#);
        console.note(&format!("curl -s {}/sandbox/ledger.txt", self.sandbox.admin_url()));
        console.note(&format!("tail -f '{}'", self.operator.log_path().display()));
        console.note("Ctrl-C here stops everything.");
    }

    /// Stops everything. On an existing cluster, `tidy` also removes the samples; the base stays there.
    ///
    /// # Errors
    /// When something cannot be removed or ended.
    pub(crate) async fn close(self, tidy: bool) -> Result<()> {
        let Self { access, operator, sandbox, timeline, console, .. } = self;
        drop(timeline);
        if access.local_cluster().is_none() && tidy {
            console.heading("Tidying up the existing cluster");
            let mut args = vec!["-n", NAMESPACE, "delete", "orders", "--timeout=30s"];
            args.extend(ORDERS);
            access.kubectl(args).await?;
            let samples = workspace().join("manifests/samples");
            access.kubectl(["delete".as_ref(), "-k".as_ref(), samples.as_os_str()]).await?;
            console.note("the samples are gone; what `kubectl apply -k manifests/base` made stays");
        }
        operator.stop().await?;
        sandbox.stop().await?;
        access.stop().await
    }
}

async fn cluster(arguments: &Arguments, console: &Console) -> Result<ClusterAccess> {
    if arguments.context.is_some() || arguments.kubeconfig.is_some() {
        let Arguments { kubeconfig, context, .. } = arguments;
        let access = ClusterAccess::existing(kubeconfig.clone(), context.clone(), &Progress::Stderr)?;
        console.note("an existing cluster is used");
        return Ok(access);
    }
    let options = Options {
        // The demo deletes nothing here that others depend on; whoever goes on with it may.
        controller_manager: if arguments.keep {
            ControllerManager::AtOnce
        } else {
            ControllerManager::Absent
        },
        progress: Progress::Stderr,
        ..Options::default()
    };
    let access = ClusterAccess::local_with(options).await?;
    let server = access.local_cluster().map(|cluster| cluster.server_url().to_owned()).unwrap_or_default();
    console.note(&format!("a control plane of its own runs at {server}"));
    Ok(access)
}

/// What would mix with the demo on an existing cluster.
async fn check_vacant(access: &ClusterAccess) -> Result<()> {
    let args = ["get", "deployments", "-n", OPERATOR_NAMESPACE, "-o", "name"];
    let deployed = access.kubectl(args).await?;
    if !deployed.trim().is_empty() {
        bail!(
            "{} is deployed in {OPERATOR_NAMESPACE}: the demo runs an operator of its own",
            deployed.trim()
        );
    }
    let args = ["get", "namespace/food", "paymentprovider/sandbox", "--ignore-not-found", "-o", "name"];
    let there = access.kubectl(args).await?;
    if !there.trim().is_empty() {
        let names = there.split_whitespace().collect::<Vec<_>>().join(" and ");
        bail!("{names}: there already; the demo makes them and deletes them at its end");
    }
    Ok(())
}

/// The samples' own address, if nothing listens there.
fn sample_address() -> Option<SocketAddr> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, SAMPLE_PORT));
    try_port(Ipv4Addr::LOCALHOST, SAMPLE_PORT).is_ok().then_some(address)
}

async fn apply_samples(access: &ClusterAccess, console: &Console, sandbox: &Sandbox) -> Result<()> {
    let people = People::new(access, console);
    let samples = workspace().join("manifests/samples");
    let sample_url = format!("http://127.0.0.1:{SAMPLE_PORT}");
    if sandbox.url() == sample_url {
        let samples = shown(&samples)?;
        people
            .run(
                "an administrator: a store, riders, a customer, a coupon, whom to tell",
                &["apply", "-k", &samples],
            )
            .await?;
    } else {
        console.note(&format!(
            "port {SAMPLE_PORT} is taken: the sample provider is applied with another endpoint"
        ));
        let rendered = access.kubectl(["kustomize".as_ref(), samples.as_os_str()]).await?;
        let rendered = rendered.replace(&sample_url, &sandbox.url());
        console.output(&access.kubectl_with_input(["apply", "-f", "-"], &rendered).await?);
    }
    let ready = ["wait", "--for=condition=Ready", "paymentprovider/sandbox", "--timeout=30s"];
    people.run("is the payment provider usable?", &ready).await?;
    Ok(())
}

/// A path as text, to be shown and run: from the working directory where it is below that.
pub(crate) fn shown(path: &Path) -> Result<String> {
    let here = std::env::current_dir().context("the working directory")?;
    let short = path.strip_prefix(here).unwrap_or(path);
    short.to_str().map(str::to_owned).with_context(|| format!("{} is not text", path.display()))
}
