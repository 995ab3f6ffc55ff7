//! The images of the operator and the sandbox, run on a real node as they are in a strict namespace. Skipped, saying
//! why, where nodes cannot run.

use std::io::Write;

use anyhow::{Context, Result, ensure};
use fooddelivery_e2e::images::{Images, OPERATOR_IMAGE, SANDBOX_IMAGE, VERSION, revision};
use fooddelivery_e2e::{ClusterAccess, Programs};
use local_cluster::{NodeOptions, NodeTier, Options, Progress};

use crate::size;

const NAMESPACE: &str = r"
apiVersion: v1
kind: Namespace
metadata: {name: images, labels: {pod-security.kubernetes.io/enforce: restricted}}
";

/// A pod that runs a program to its end, with no more rights than Pod Security's `restricted` has.
fn pod(name: &str, image: &str, argument: &str) -> String {
    format!(
        r"---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: images}}
spec:
  restartPolicy: Never
  securityContext: {{runAsNonRoot: true, seccompProfile: {{type: RuntimeDefault}}}}
  containers:
  - name: {name}
    image: {image}:{VERSION}
    imagePullPolicy: Never
    args: [{argument}]
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {{drop: [ALL]}}
"
    )
}

#[tokio::test]
async fn both_images_run_on_a_node_without_root_and_without_a_writable_file() -> Result<()> {
    if size::is_left_to_test_all() {
        return Ok(());
    }
    if let Some(why) = NodeTier::unavailable() {
        writeln!(std::io::stderr(), "skipped: {why}")?;
        return Ok(());
    }
    let programs = tokio::task::spawn_blocking(Programs::find_or_build).await??;
    let options = Options { nodes: true, progress: Progress::Quiet, ..Options::default() };
    let access = ClusterAccess::local_with(options).await?;
    let images = Images::write(&programs, VERSION, &revision(), access.dir())?;
    let options = NodeOptions { progress: Progress::Quiet, ..NodeOptions::default() };
    let tier = NodeTier::start(access.local_cluster().context("a local cluster")?, options).await?;
    tier.import_image(images.operator).await?;
    tier.import_image(images.sandbox).await?;

    let pods = [pod("operator", OPERATOR_IMAGE, "version"), pod("sandbox", SANDBOX_IMAGE, "--version")];
    access.kubectl_with_input(["apply", "-f", "-"], NAMESPACE).await?;
    // Pods are refused until the controller manager has made it.
    access.kubectl(["-n", "images", "wait", "--for=create", "sa/default", "--timeout=60s"]).await?;
    access.kubectl_with_input(["apply", "-f", "-"], &pods.concat()).await?;
    for name in ["operator", "sandbox"] {
        let ended = "--for=jsonpath={.status.phase}=Succeeded";
        let waited = access.kubectl(["-n", "images", "wait", ended, "pod", name, "--timeout=60s"]).await;
        if let Err(error) = waited {
            let pod = access.kubectl(["-n", "images", "describe", "pod", name]).await?;
            return Err(error.context(pod));
        }
        let said = access.kubectl(["-n", "images", "logs", name]).await?;
        ensure!(said.starts_with(&format!("fooddelivery-{name} {VERSION}")), "{said}");
    }
    tier.stop().await?;
    access.stop().await?;
    Ok(())
}
