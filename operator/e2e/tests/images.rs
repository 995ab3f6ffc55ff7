//! The images of the operator and the sandbox, run on a real node as they are in a strict namespace. Skipped, saying
//! why, where nodes cannot run.

use std::io::Write;

use anyhow::{Context, Result, ensure};
use fooddelivery_e2e::Programs;
use fooddelivery_e2e::images::{Images, OPERATOR_IMAGE, SANDBOX_IMAGE, VERSION, revision};
use local_cluster::{LocalCluster, NodeOptions, NodeTier, Options, Progress};

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

fn kubectl(cluster: &LocalCluster, arguments: &[&str]) -> Result<String> {
    let output = cluster.kubectl().args(arguments).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "kubectl {}: {said}", arguments.join(" "));
    Ok(String::from_utf8(output.stdout)?)
}

#[tokio::test]
async fn both_images_run_on_a_node_without_root_and_without_a_writable_file() -> Result<()> {
    if let Some(why) = NodeTier::unavailable() {
        writeln!(std::io::stderr(), "skipped: {why}")?;
        return Ok(());
    }
    let programs = tokio::task::spawn_blocking(Programs::find_or_build).await??;
    let cluster =
        LocalCluster::start(Options { nodes: true, progress: Progress::Quiet, ..Options::default() }).await?;
    let images = Images::write(&programs, VERSION, &revision(), cluster.dir())?;
    let tier = NodeTier::start(&cluster, NodeOptions { progress: Progress::Quiet, ..NodeOptions::default() });
    let tier = tier.await?;
    tier.import_image(images.operator).await?;
    tier.import_image(images.sandbox).await?;

    let manifest = cluster.dir().join("images.yaml");
    let pods = [pod("operator", OPERATOR_IMAGE, "version"), pod("sandbox", SANDBOX_IMAGE, "--version")];
    std::fs::write(&manifest, format!("{NAMESPACE}{}", pods.concat()))?;
    kubectl(&cluster, &["apply", "-f", manifest.to_str().context("path")?])?;
    for name in ["operator", "sandbox"] {
        let ended = "--for=jsonpath={.status.phase}=Succeeded";
        let waited = kubectl(&cluster, &["-n", "images", "wait", ended, "pod", name, "--timeout=60s"]);
        if let Err(error) = waited {
            let pod = kubectl(&cluster, &["-n", "images", "describe", "pod", name])?;
            return Err(error.context(pod));
        }
        let said = kubectl(&cluster, &["-n", "images", "logs", name])?;
        ensure!(said.starts_with(&format!("fooddelivery-{name} {VERSION}")), "{said}");
    }
    tier.stop().await?;
    cluster.stop().await?;
    Ok(())
}
