//! What people type: kubectl commands, shown as they are, then run.

use std::time::Duration;

use anyhow::{Context, Result};
use fooddelivery_e2e::ClusterAccess;

use crate::console::Console;

/// Where the samples' marketplace is.
pub(crate) const NAMESPACE: &str = "food";
/// A person's moment between two steps, so that one can follow.
const MOMENT: Duration = Duration::from_millis(400);

/// Runs commands of people.
pub(crate) struct People<'a> {
    access: &'a ClusterAccess,
    console: &'a Console,
}

impl<'a> People<'a> {
    pub(crate) fn new(access: &'a ClusterAccess, console: &'a Console) -> Self {
        Self { access, console }
    }

    /// Shows the command, runs it, shows what it printed, and returns that.
    ///
    /// # Errors
    /// What kubectl said, when it fails.
    pub(crate) async fn run(&self, who: &str, args: &[&str]) -> Result<String> {
        let line = command_line(args);
        self.console.command(who, &line);
        let printed = self.access.kubectl(args).await.with_context(|| line.clone())?;
        self.console.output(if printed.is_empty() { "(nothing)" } else { &printed });
        Ok(printed)
    }

    /// Merge-patches an object in the samples' namespace, after a moment.
    ///
    /// # Errors
    /// What kubectl said, when it fails.
    pub(crate) async fn patch(&self, who: &str, kind: &str, name: &str, patch: &str) -> Result<()> {
        tokio::time::sleep(MOMENT).await;
        self.run(who, &["-n", NAMESPACE, "patch", kind, name, "--type=merge", "-p", patch]).await.map(drop)
    }

    /// The store moves its ticket.
    ///
    /// # Errors
    /// As [`Self::patch`].
    pub(crate) async fn store_moves(&self, name: &str, stage: &str) -> Result<()> {
        self.patch("the store", "ticket", name, &format!(r#"{{"spec":{{"stage":"{stage}"}}}}"#)).await
    }

    /// The rider takes a delivery.
    ///
    /// # Errors
    /// As [`Self::patch`].
    pub(crate) async fn rider_takes(&self, name: &str) -> Result<()> {
        self.patch("the rider", "delivery", name, r#"{"spec":{"riderRef":{"name":"minjun"}}}"#).await
    }

    /// A command of which it is not known beforehand whether it will be let through; what kubectl said, either way.
    pub(crate) async fn try_to(&self, who: &str, args: &[&str]) -> Result<String, String> {
        self.console.command(who, &command_line(args));
        let said = self.access.kubectl(args).await.map_err(|error| format!("{error:#}"));
        self.console.output(said.as_deref().unwrap_or_else(|refused| refused));
        said
    }

    /// The rider moves a delivery.
    ///
    /// # Errors
    /// As [`Self::patch`].
    pub(crate) async fn rider_moves(&self, name: &str, stage: &str) -> Result<()> {
        self.patch("the rider", "delivery", name, &format!(r#"{{"spec":{{"stage":"{stage}"}}}}"#)).await
    }

    /// The customer asks for the order to be undone.
    ///
    /// # Errors
    /// As [`Self::patch`].
    pub(crate) async fn customer_cancels(&self, name: &str, reason: &str) -> Result<()> {
        let patch = format!(r#"{{"spec":{{"cancellation":{{"reason":"{reason}"}}}}}}"#);
        self.patch("the customer", "order", name, &patch).await
    }

    /// The customer has the food.
    ///
    /// # Errors
    /// As [`Self::patch`].
    pub(crate) async fn customer_confirms(&self, name: &str) -> Result<()> {
        self.patch("the customer", "order", name, r#"{"spec":{"receiptConfirmed":true}}"#).await
    }
}

/// The command as it can be typed into a shell.
fn command_line(args: &[&str]) -> String {
    let plain = |arg: &str| arg.chars().all(|c| c.is_ascii_alphanumeric() || "-_=./:,@".contains(c));
    let quoted = args.iter().map(|arg| {
        if plain(arg) && !arg.is_empty() {
            (*arg).to_owned()
        } else {
            format!("'{}'", arg.replace('\'', r"'\''"))
        }
    });
    let words: Vec<String> = ["kubectl".to_owned()].into_iter().chain(quoted).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_so_that_a_shell_takes_it() {
        let patch = r#"{"spec":{"stage":"Accepted"}}"#;
        assert_eq!(
            command_line(&["-n", "food", "patch", "ticket", "lunch", "--type=merge", "-p", patch]),
            r#"kubectl -n food patch ticket lunch --type=merge -p '{"spec":{"stage":"Accepted"}}'"#
        );
        assert_eq!(command_line(&["it's"]), r"kubectl 'it'\''s'");
        assert_eq!(command_line(&[""]), "kubectl ''");
    }
}
