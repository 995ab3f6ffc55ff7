//! Runs the documents' commands as a reader would: in a folder with the repository's manifests, on a control plane with the
//! sample marketplace, an operator and the sandbox. The cluster is this test's own, as the commands take the names that the
//! samples have, and end with an uninstall.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use fooddelivery_e2e::binaries::workspace;
use fooddelivery_e2e::{ExclusiveCluster, Operator, OperatorOptions, Sandbox, SandboxOptions, TestCluster};
use tokio::process::Command;

use super::pages::Block;

/// Where the documents and the samples have the sandbox.
const SANDBOX: &str = "127.0.0.1:8787";
/// Where they have its controls.
const CONTROLS: &str = "127.0.0.1:8788";
/// No block takes longer on a busy machine.
const PATIENCE: Duration = Duration::from_mins(5);

/// Where commands are run.
pub(crate) struct Ground {
    dir: tempfile::TempDir,
    /// What stands in the documents, and what stands for it here.
    addresses: [(&'static str, String); 2],
    operator: Operator,
    _sandbox: Sandbox,
    cluster: ExclusiveCluster,
}

impl Ground {
    pub(crate) async fn open() -> Result<Self> {
        let cluster = TestCluster::fresh().await?;
        let programs = cluster.programs();
        let dir = tempfile::tempdir()?;
        let sandbox = Sandbox::start(
            &programs.sandbox,
            cluster.access().dir(),
            "docs-sandbox",
            SandboxOptions::default(),
        )
        .await?;
        let bare = |url: String| url.trim_start_matches("http://").to_owned();
        let addresses = [(SANDBOX, bare(sandbox.url())), (CONTROLS, bare(sandbox.admin_url()))];
        let kubeconfig = dir.path().join("kubeconfig");
        let own = cluster.access().cluster().kubeconfig().context("a local cluster has a kubeconfig")?;
        fs::copy(own, &kubeconfig)?;
        let operator = cluster.operator("docs", OperatorOptions::default()).await?;
        let ground = Self { dir, addresses, operator, _sandbox: sandbox, cluster };
        for folder in ["manifests", "crds"] {
            ground.copy(&workspace().join(folder), &ground.dir.path().join(folder))?;
        }
        ground.programs()?;
        Ok(ground)
    }

    /// Copies a folder, with the sandbox where it is here.
    fn copy(&self, from: &Path, to: &Path) -> Result<()> {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let path = entry?.path();
            let target = to.join(path.file_name().context("a name")?);
            if path.is_dir() {
                self.copy(&path, &target)?;
            } else {
                fs::write(target, self.translate(&fs::read_to_string(&path)?))?;
            }
        }
        Ok(())
    }

    fn translate(&self, text: &str) -> String {
        self.addresses.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }

    /// kubectl, the operator and cargo as the commands know them. What would go on for ever is ended after some seconds.
    fn programs(&self) -> Result<()> {
        let cluster = &self.cluster;
        let kubectl = cluster.access().cluster().kubectl_path().display().to_string();
        self.program(
            "bin/kubectl",
            &format!(
                "case \" $* \" in *\" --watch \"*)\n  timeout 3 '{kubectl}' \"$@\" || [ $? -eq 124 ]; exit;;\nesac\n\
                 exec '{kubectl}' \"$@\""
            ),
        )?;
        // A second replica beside the one that plays: what it is told to do it does until it is stopped.
        let operator = cluster.programs().operator.display().to_string();
        let run = format!(
            "case \" $* \" in *\" run --help \"*) ;; *\" run \"*)\n  export FOODDELIVERY_LISTEN=127.0.0.1:0 \
             FOODDELIVERY_REPLICA=docs-run\n  exec timeout --preserve-status 10 '{operator}' \"$@\";;\nesac\nexec '{operator}' \"$@\""
        );
        self.program("bin/fooddelivery-operator", &run)?;
        self.program("target/release/fooddelivery-operator", &run)?;
        let audit = env!("CARGO_BIN_EXE_ledger-audit");
        let (_, admin) = &self.addresses[1];
        self.program(
            "bin/cargo",
            &format!(
                "[ \"$*\" = ledger-audit ] || {{ echo 'only a marked block can have this' >&2; exit 1; }}\n\
                 exec '{audit}' --admin 'http://{admin}'"
            ),
        )
    }

    fn program(&self, name: &str, script: &str) -> Result<()> {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().context("a folder")?)?;
        fs::write(&path, format!("#!/bin/bash\n{script}\n"))?;
        Ok(fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?)
    }

    /// Every page finds the sample marketplace, no orders, and checkouts that have not been used: a token pays once.
    pub(crate) async fn between_pages(&self, page: usize) -> Result<()> {
        let samples = self.dir.path().join("manifests/samples");
        for entry in fs::read_dir(workspace().join("manifests/samples"))? {
            let path = entry?.path();
            let text = self.translate(&fs::read_to_string(&path)?);
            let own = |line: &str| match line.trim_start().strip_prefix("token: ") {
                Some(token) if !token.is_empty() => format!("{line}-{page}\n"),
                _ => format!("{line}\n"),
            };
            let target = samples.join(path.file_name().context("a name")?);
            fs::write(target, text.lines().map(own).collect::<String>())?;
        }
        let script = "kubectl apply -k manifests/samples >/dev/null\n\
                      kubectl wait --for=condition=Ready paymentprovider/sandbox --timeout=60s >/dev/null\n\
                      kubectl -n food delete orders --all --timeout=120s >/dev/null";
        self.shell(script).await.map(drop)
    }

    /// Runs a block. In a `console` block each command may fail, and has to say what stands below it.
    pub(crate) async fn play(&self, block: &Block) -> Result<()> {
        let text = self.translate(&block.text);
        if block.language == "sh" {
            return self.shell(&text).await.map(drop);
        }
        for (command, expected) in sessions(&text) {
            let said = self.shell(&format!("{command} 2>&1 || true")).await?;
            ensure!(
                says(&said, &expected),
                "{command}\nshould say\n{}\nand says\n{said}",
                expected.join("\n")
            );
        }
        Ok(())
    }

    /// The standard output of a script that succeeds.
    async fn shell(&self, script: &str) -> Result<String> {
        let dir = self.dir.path();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("bash");
        command
            .args(["-euo", "pipefail", "-c", script])
            .current_dir(dir)
            .env("PATH", format!("{}:{path}", dir.join("bin").display()))
            .env("KUBECONFIG", PathBuf::from(dir).join("kubeconfig"))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output =
            tokio::time::timeout(PATIENCE, command.output()).await.context("it takes too long")??;
        let (said, complained) = (text(&output.stdout), text(&output.stderr));
        if !output.status.success() {
            bail!("{}\n{script}\n{said}\n{complained}", output.status);
        }
        Ok(said)
    }

    pub(crate) fn log_tail(&self) -> String {
        self.operator.log_tail(40)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The commands of a terminal session, each with the lines below it.
fn sessions(text: &str) -> Vec<(String, Vec<String>)> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("$ "), found.last_mut()) {
            (Some(command), _) => found.push((command.to_owned(), Vec::new())),
            (None, Some((_, expected))) => expected.push(line.to_owned()),
            (None, None) => {}
        }
    }
    found
}

/// Whether `said` has every expected line, whatever its spaces; `...` stands for anything within a line.
fn says(said: &str, expected: &[String]) -> bool {
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = said.lines().map(plain).collect();
    expected.iter().all(|wanted| {
        lines.iter().any(|line| {
            let mut rest = line.as_str();
            wanted.split("...").map(plain).all(|part| match rest.find(part.as_str()) {
                Some(at) => {
                    rest = &rest[at + part.len()..];
                    true
                }
                None => false,
            })
        })
    })
}

#[test]
fn a_session_is_commands_with_what_they_say() {
    let found = sessions("$ a b\nc  d\ne ... g\n$ h\n");
    assert_eq!(found, [("a b".into(), vec!["c  d".into(), "e ... g".into()]), ("h".into(), vec![])]);
    assert!(says("c d\nx e f g y", &found[0].1));
    assert!(!says("c d\ng e", &found[0].1) && !says("e f g", &found[0].1));
}
