//! The options of the sandbox: command line, environment, and the defaults that tests start from.
//!
//! Parsing only; nothing here opens a file or a socket.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::faults::Latency;

/// The secret key that is accepted when none is configured.
pub const DEFAULT_SECRET_KEY: &str = "test_sk_sandbox";
/// How long Toss replays the first answer for an idempotency key.
pub const DEFAULT_IDEMPOTENCY_RETENTION: Duration = Duration::from_hours(15 * 24);
/// How long Stripe replays the first answer for an idempotency key, at least.
pub const DEFAULT_STRIPE_IDEMPOTENCY_RETENTION: Duration = Duration::from_hours(24);
/// How far Stripe's search is behind.
pub const DEFAULT_SEARCH_LAG: Duration = Duration::from_mins(1);
/// How long a checkout waits for its confirmation before it is EXPIRED.
pub const DEFAULT_CHECKOUT_EXPIRY: Duration = Duration::from_mins(10);
/// How many calls `GET /sandbox/calls` remembers.
pub const DEFAULT_CALLS_KEPT: usize = 10_000;
/// For how long an AlimTalk is recognised by its key.
pub const DEFAULT_MESSAGE_KEY_RETENTION: Duration = Duration::from_mins(10);
/// How long the result of a message takes that comes later.
pub const DEFAULT_MESSAGE_DELAY: Duration = Duration::from_secs(2);
/// How many messages are remembered.
pub const DEFAULT_MESSAGES_KEPT: usize = 100_000;

/// How the sandbox behaves. [`Config::default`] listens on free loopback ports and adds no latency.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "fooddelivery-sandbox",
    version,
    about = "A payment provider (Toss and Stripe protocols) and receivers of messages (AlimTalk, webhook) to run against"
)]
pub struct Config {
    /// Address of the payment API and of what receives messages; port 0 picks a free one, printed on standard output.
    #[arg(long, env = "SANDBOX_LISTEN", default_value = "127.0.0.1:8787")]
    pub listen: SocketAddr,

    /// Address of the control endpoints (ledger, faults, reset), which ask for no authentication; port 0 picks a
    /// free one, printed on standard output.
    #[arg(long, env = "SANDBOX_ADMIN_LISTEN", default_value = "127.0.0.1:8788")]
    pub admin_listen: SocketAddr,

    /// Accepted secret keys, comma-separated; several stand for a rotation: one merchant, separate key scopes. They are
    /// AlimTalk's secret keys too, and what signs webhooks.
    #[arg(long = "secret-key", env = "SANDBOX_SECRET_KEY", hide_env_values = true, value_delimiter = ',',
          default_value = DEFAULT_SECRET_KEY)]
    pub secret_keys: Vec<SecretKey>,

    /// How long every POST of the payment API takes, in ms: `none`, or MIN-MAX, uniform. The reference services are 400-620 and
    /// 520-740.
    #[arg(long, env = "SANDBOX_LATENCY", default_value = "none")]
    pub latency: Latency,

    /// How long the first answer for a Toss idempotency key is replayed, from its first use, such as `15d` or `2s`.
    #[arg(long, env = "SANDBOX_IDEMPOTENCY_RETENTION", default_value = "15d", value_parser = parse_duration)]
    pub idempotency_retention: Duration,

    /// The same for a Stripe idempotency key.
    #[arg(long, env = "SANDBOX_STRIPE_IDEMPOTENCY_RETENTION", default_value = "24h", value_parser = parse_duration)]
    pub stripe_idempotency_retention: Duration,

    /// What a repeat with the same Toss idempotency key gets after a 5xx. With Stripe it is always the 5xx.
    #[arg(long, env = "SANDBOX_AFTER_SERVER_ERROR", default_value = "result")]
    pub after_server_error: ServerErrorMemory,

    /// How far Stripe's search is behind: what it finds is what was so long ago.
    #[arg(long, env = "SANDBOX_SEARCH_LAG", default_value = "60s", value_parser = parse_duration)]
    pub search_lag: Duration,

    /// Refuse Toss payment keys that no checkout registered, instead of registering them at their first confirm.
    #[arg(long, env = "SANDBOX_STRICT_CHECKOUT")]
    pub strict_checkout: bool,

    /// How long a checkout waits for its confirmation before it becomes EXPIRED.
    #[arg(long, env = "SANDBOX_CHECKOUT_EXPIRY", default_value = "10min", value_parser = parse_duration)]
    pub checkout_expiry: Duration,

    /// A file to append every ledger entry to, as a JSON line; read back at start. Only money that moved
    /// is in it: declines, and Stripe intents that were not captured, are forgotten.
    #[arg(long, env = "SANDBOX_LEDGER_FILE")]
    pub ledger_file: Option<PathBuf>,

    /// How many calls `GET /sandbox/calls` remembers.
    #[arg(long, env = "SANDBOX_CALLS_KEPT", default_value_t = DEFAULT_CALLS_KEPT)]
    pub calls_kept: usize,

    /// For how long an AlimTalk is recognised by its idempotency key, from its first use.
    #[arg(long, env = "SANDBOX_MESSAGE_KEY_RETENTION", default_value = "10min", value_parser = parse_duration)]
    pub message_key_retention: Duration,

    /// How long the result of an AlimTalk takes that goes to a number ending in 0002.
    #[arg(long, env = "SANDBOX_MESSAGE_DELAY", default_value = "2s", value_parser = parse_duration)]
    pub message_delay: Duration,

    /// How many messages are remembered: shown, recognised when repeated, and found.
    #[arg(long, env = "SANDBOX_MESSAGES_KEPT", default_value_t = DEFAULT_MESSAGES_KEPT)]
    pub messages_kept: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            admin_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            secret_keys: vec![SecretKey::from(DEFAULT_SECRET_KEY)],
            latency: Latency::NONE,
            idempotency_retention: DEFAULT_IDEMPOTENCY_RETENTION,
            stripe_idempotency_retention: DEFAULT_STRIPE_IDEMPOTENCY_RETENTION,
            after_server_error: ServerErrorMemory::Result,
            search_lag: DEFAULT_SEARCH_LAG,
            strict_checkout: false,
            checkout_expiry: DEFAULT_CHECKOUT_EXPIRY,
            ledger_file: None,
            calls_kept: DEFAULT_CALLS_KEPT,
            message_key_retention: DEFAULT_MESSAGE_KEY_RETENTION,
            message_delay: DEFAULT_MESSAGE_DELAY,
            messages_kept: DEFAULT_MESSAGES_KEPT,
        }
    }
}

/// What is remembered for an idempotency key whose request was answered with a 5xx.
///
/// Toss documents that the first answer is replayed and says nothing of a 5xx; so all three are here, and a caller
/// should be right under each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ServerErrorMemory {
    /// The 5xx is not stored. If the money moved, a repeat is told the true result; else it executes.
    Result,
    /// Nothing is stored: a repeat executes again, whatever the first one did. Only the bank's own rules protect.
    Forget,
    /// The 5xx itself is stored and replayed, as Stripe does.
    Replay,
}

/// A secret API key. Neither Debug nor Display shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey(String);

impl SecretKey {
    /// The key itself, to compare with what a caller presents.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for SecretKey {
    fn from(key: &str) -> Self {
        Self(key.to_owned())
    }
}

impl FromStr for SecretKey {
    type Err = String;

    fn from_str(key: &str) -> Result<Self, Self::Err> {
        if key.is_empty() || key.contains(':') {
            return Err(
                "a secret key is not empty and has no colon (it is a Basic auth user name)".to_owned()
            );
        }
        Ok(Self::from(key))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Reads `15d`, `10min`, `500ms` or ISO 8601 (`PT10M`); a day is 24 hours.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let span: jiff::Span = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    let duration =
        span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|error| error.to_string())?;
    Duration::try_from(duration).map_err(|_| "a duration is not negative".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_defaults_are_the_defaults_of_the_library_except_for_the_addresses() {
        let parsed = Config::try_parse_from(["sandbox"]).unwrap();
        let default = Config::default();
        assert_eq!(parsed.listen.to_string(), "127.0.0.1:8787");
        assert_eq!(parsed.admin_listen.to_string(), "127.0.0.1:8788");
        assert_eq!(parsed.secret_keys, default.secret_keys);
        assert_eq!(parsed.latency, default.latency);
        assert_eq!(parsed.idempotency_retention, default.idempotency_retention);
        assert_eq!(parsed.stripe_idempotency_retention, default.stripe_idempotency_retention);
        assert_eq!(parsed.search_lag, default.search_lag);
        assert_eq!(parsed.after_server_error, default.after_server_error);
        assert_eq!(parsed.checkout_expiry, default.checkout_expiry);
        assert_eq!(parsed.calls_kept, default.calls_kept);
        assert_eq!(parsed.message_key_retention, default.message_key_retention);
        assert_eq!(parsed.message_delay, default.message_delay);
        assert_eq!(parsed.messages_kept, default.messages_kept);
    }

    #[test]
    fn durations_are_read_in_words_and_a_negative_one_is_refused() {
        assert_eq!(parse_duration("15d").unwrap(), Duration::from_hours(360));
        assert_eq!(parse_duration("250ms").unwrap(), Duration::from_millis(250));
        assert_eq!(parse_duration("PT10M").unwrap(), Duration::from_mins(10));
        assert!(parse_duration("-1s").is_err());
        assert!(parse_duration("soon").is_err());
    }

    #[test]
    fn a_secret_key_is_not_shown() {
        let config = Config { secret_keys: vec!["sk_hidden".into()], ..Config::default() };
        assert!(!format!("{config:?}").contains("sk_hidden"));
    }
}
