//! What the API server spends its time and memory on while orders are played: its own profiles, and the first lines of each
//! as text, made by `go tool pprof`. What is allocated depends on what it is asked for alone, so that compares between
//! machines and hours; shares of CPU nearly do.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use kube::Client;
use kube::client::Body;

use crate::arm::Arm;
use crate::load::{Plan, play_on};

use crate::stage::Stage;

/// How long CPU is profiled, from the first order on, in s.
const CPU_SECONDS: u32 = 10;
/// Functions that the text names.
const FUNCTIONS: u32 = 40;
const BYTES_PER_MB: f64 = 1e6;

/// Plays once more, and writes the profiles into a folder in `dir`, which is made: `cpu` and `allocs`, each as `.pb.gz` and
/// `.txt`. Gives a sentence that says where they are, and what was allocated an order.
///
/// # Errors
/// When the run fails, the API server gives no profile, or there is no `go`.
pub(crate) async fn write(arm: &Arm, plan: &Plan, dir: &Path) -> Result<String> {
    let dir = dir.join(format!("{}, {}", arm.name, plan.pace.text()).replace([' ', '/', ','], "-"));
    std::fs::create_dir_all(&dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    let open = plan.pace.open(plan.orders);
    let stage = Stage::set(arm, plan.latency.as_deref(), open, Vec::new()).await?;
    let before = dir.join("allocs-before.pb.gz");
    fetch(&stage.client, "allocs", &before).await?;
    let allocated = allocated(&stage.client).await?;
    let (cpu, allocs) = (dir.join("cpu.pb.gz"), dir.join("allocs.pb.gz"));
    let profile = format!("profile?seconds={CPU_SECONDS}");
    tokio::try_join!(play_on(&stage, plan), fetch(&stage.client, &profile, &cpu))?;
    let allocated = self::allocated(&stage.client).await? - allocated;
    fetch(&stage.client, "allocs", &allocs).await?;
    top(&[cpu.as_os_str()], &dir.join("cpu.txt"))?;
    let since = ["-sample_index=alloc_space".as_ref(), "-base".as_ref(), before.as_os_str()];
    top(&[since[0], since[1], since[2], allocs.as_os_str()], &dir.join("allocs.txt"))?;
    std::fs::remove_file(&before)?;
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    let per_order = allocated / plan.orders as f64 / BYTES_PER_MB;
    Ok(format!(
        "{}, {}: the API server allocated {per_order:.2} MB an order; profiles are in {}",
        plan.pace.text(),
        arm.name,
        dir.display()
    ))
}

/// What the API server has allocated since its start, in bytes, whatever was freed again.
async fn allocated(client: &Client) -> Result<f64> {
    let request = http::Request::get("/metrics").body(Vec::new())?;
    let text = client.request_text(request).await?;
    let sample = text.lines().find_map(|line| line.strip_prefix("go_memstats_alloc_bytes_total "));
    Ok(sample.context("go_memstats_alloc_bytes_total")?.trim().parse()?)
}

/// Fetches a profile of the API server, in the format of pprof.
async fn fetch(client: &Client, name: &str, file: &Path) -> Result<()> {
    let request = http::Request::get(format!("/debug/pprof/{name}")).body(Body::empty())?;
    let response = client.send(request).await.with_context(|| format!("no profile {name}"))?;
    let status = response.status();
    ensure!(status.is_success(), "the API server gives no profile {name}: {status}");
    let bytes = response.into_body().collect_bytes().await?;
    Ok(std::fs::write(file, bytes)?)
}

/// The functions that have most, with those that they call.
fn top(arguments: &[&std::ffi::OsStr], file: &Path) -> Result<()> {
    let output = Command::new("go")
        .args(["tool", "pprof", "-top", "-cum"])
        .arg(format!("-nodecount={FUNCTIONS}"))
        .args(arguments)
        .output()
        .context("go cannot be run")?;
    ensure!(output.status.success(), "go tool pprof: {}", String::from_utf8_lossy(&output.stderr));
    Ok(std::fs::write(file, output.stdout)?)
}
