//! The command line of `fooddelivery-operator`.

use clap::{Parser, Subcommand};
use fooddelivery_api::{crds, policies};

use crate::admin::drain;
use crate::admin::recount::recount;
use crate::settings::Settings;
use crate::{run, telemetry};

/// The commit that this was built from; whoever builds an image sets it.
const REVISION: Option<&str> = option_env!("FOODDELIVERY_REVISION");

/// Runs a food-delivery marketplace's orders as custom resources.
#[derive(Debug, Parser)]
#[command(name = "fooddelivery-operator", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the controllers.
    Run(Box<Settings>),
    /// Hold the counts of stores, riders and coupons against the objects that exist; ends with 1 when a coupon's falls short.
    Recount {
        /// Raise those of coupons that fall short to what exists.
        #[arg(long)]
        repair: bool,
        /// Of this namespace only.
        #[arg(long, short)]
        namespace: Option<String>,
        /// Context of the kubeconfig to use.
        #[arg(long)]
        context: Option<String>,
    },
    /// Refuse new orders, and wait until those that there are have come to their end; before an uninstall.
    Drain {
        #[command(flatten)]
        options: drain::Options,
        /// Context of the kubeconfig to use.
        #[arg(long)]
        context: Option<String>,
    },
    /// Print the CRDs as YAML.
    Crds,
    /// Print the admission policies as YAML.
    Policies {
        /// Users that the operator runs as; the shipped service account when none is named.
        #[arg(long = "operator-user", env = "FOODDELIVERY_OPERATOR_USERS", value_delimiter = ',')]
        operator_users: Vec<String>,
        /// What the groups of customers, stores and riders begin with, as in `food:NAMESPACE:customer:NAME`.
        #[arg(long, default_value = policies::actors::PREFIX, value_parser = actors_prefix)]
        actors_prefix: String,
        /// Leave out the mutating policy, for servers without MutatingAdmissionPolicy.
        #[arg(long)]
        validating_only: bool,
    },
    /// Print the version, and the commit that it was built from where that is known.
    Version,
}

/// Does what the command line says.
///
/// # Errors
/// A sentence for the person at the terminal.
pub async fn main(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Run(settings) => {
            telemetry::start(settings.log_format, &settings.log)
                .map_err(|e| anyhow::anyhow!("cannot start logging: {e}"))?;
            run::run(*settings).await
        }
        Command::Recount { repair, namespace, context } => {
            let client = run::connect(context.as_deref()).await?;
            let found = recount(client, namespace.as_deref(), repair).await?;
            let sum = match (found.short.len(), found.repaired) {
                (0, _) => "none below what exists".into(),
                (short, true) => format!("{short} were below what exists: raised"),
                (short, false) => format!("{short} below what exists; --repair raises them"),
            };
            let mut lines = found.behind.clone();
            if !found.behind.is_empty() {
                lines.push(
                    "the operator writes what stores and riders show by itself, within --count-lag-ms".into(),
                );
            }
            lines.extend(found.short.iter().cloned());
            lines.push(format!("{} counts, {sum}\n", found.looked_at));
            print(&lines.join("\n"))?;
            if found.short.is_empty() || found.repaired {
                return Ok(());
            }
            anyhow::bail!("counts are below what exists")
        }
        Command::Drain { options, context } => {
            let client = run::connect(context.as_deref()).await?;
            let say = |line: &str| drop(print(&format!("{line}\n")));
            drain::drain(client, &options, say).await
        }
        Command::Crds => print(&crds::file()?),
        Command::Policies { operator_users, actors_prefix, validating_only } => {
            let users =
                if operator_users.is_empty() { vec![policies::operator_user()] } else { operator_users };
            let texts: Vec<String> = policies::files(&users, &actors_prefix)?
                .into_iter()
                .filter(|(name, _)| !validating_only || *name != "mutating.yaml")
                .map(|(_, text)| text)
                .collect();
            print(&texts.join("---\n"))
        }
        Command::Version => print(&version_line(REVISION)),
    }
}

/// What groups begin with, if they can.
fn actors_prefix(text: &str) -> Result<String, &'static str> {
    if policies::actors::is_prefix(text) {
        Ok(text.to_owned())
    } else {
        Err("1 to 100 visible ASCII characters, without quotes and backslashes")
    }
}

/// What `version` prints; an empty revision is an unknown one.
pub fn version_line(revision: Option<&str>) -> String {
    let version = env!("CARGO_PKG_VERSION");
    match revision.filter(|it| !it.is_empty()) {
        Some(revision) => format!("fooddelivery-operator {version} (revision {revision})\n"),
        None => format!("fooddelivery-operator {version}\n"),
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}
