//! Notifications: how a customer is told how an order stands. The message port, its adapters, and the circuit breaker in
//! front of them.
//!
//! An adapter sends one message, once, within a bounded time, and reports the outcome. It neither retries nor
//! remembers: a message whose outcome is not final is sent again by the caller, under the same id, by which the receiver
//! recognises it. So an outage delays a message and never loses it, and a crash at any moment at most repeats a call. The
//! [`FailFastBreaker`] keeps a provider that is down from being called for each of thousands of orders.
//!
//! Invariant: no phone number and no secret is in a log line, a sentence or a Debug output.

mod alimtalk;
mod breaker;
mod port;
mod signature;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use crate::config::{ConfigError, account, check_sendable};
use crate::http::HttpClient;
use crate::secret::Credential;
use alimtalk::AlimTalk;
use signature::Signer;
use webhook::Webhook;

pub use alimtalk::AlimTalkSender;
pub use breaker::{FailFastBreaker, Permit};
pub use port::{Message, MessagePort, SendOutcome};

/// Protocol of a message provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageTransport {
    /// Kakao AlimTalk, through NHN Cloud or the sandbox. The endpoint is the API's domain, the credential the secret
    /// key. Needs a phone number.
    AlimTalk(AlimTalkSender),
    /// A CloudEvent to a webhook, signed as Standard Webhooks has it. The endpoint is the webhook's URL, the credential
    /// the signing secret: `whsec_` and base64, or any other text, whose bytes then are the key.
    Webhook,
}

/// The message port of a provider. `timeout` limits one request, from connecting to the last byte of the response;
/// a message takes one, or at most three.
///
/// Whether plain http is allowed is the caller's policy.
///
/// # Errors
/// When the endpoint, the credential, the sender or the timeout cannot be used.
pub fn message_provider(
    transport: MessageTransport,
    endpoint: &str,
    credential: Credential,
    timeout: Duration,
    http: HttpClient,
) -> Result<Arc<dyn MessagePort>, ConfigError> {
    let account = account(endpoint, credential, timeout, http)?;
    match transport {
        MessageTransport::AlimTalk(sender) => {
            check_sendable(&account.credential)?;
            sender.check()?;
            Ok(Arc::new(AlimTalk { account, sender }))
        }
        MessageTransport::Webhook => {
            let signer = Signer::new(&account.credential).ok_or(ConfigError::SigningSecret)?;
            Ok(Arc::new(Webhook { account, signer }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(transport: MessageTransport, credential: &str) -> Result<bool, ConfigError> {
        let http = HttpClient::new().unwrap();
        let credential = Credential::new(credential);
        message_provider(transport, "https://host/hook", credential, Duration::from_secs(1), http)
            .map(|port| port.needs_contact())
    }

    fn sender() -> AlimTalkSender {
        AlimTalkSender { app_key: "app".into(), sender_key: "s".repeat(40), template_code: "STEP".into() }
    }

    #[test]
    fn alimtalk_needs_a_telephone_number_and_a_webhook_does_not() {
        assert_eq!(configured(MessageTransport::AlimTalk(sender()), "secret"), Ok(true));
        assert_eq!(configured(MessageTransport::Webhook, "secret"), Ok(false));
    }

    #[test]
    fn a_sender_that_is_not_said_in_full_is_refused_by_name() {
        let with = |change: fn(&mut AlimTalkSender)| {
            let mut sender = sender();
            change(&mut sender);
            configured(MessageTransport::AlimTalk(sender), "secret")
        };
        assert_eq!(with(|sender| sender.app_key.clear()), Err(ConfigError::Sender("the app key")));
        assert_eq!(with(|sender| sender.sender_key.push('키')), Err(ConfigError::Sender("the sender key")));
        let too_long = with(|sender| sender.template_code = "t".repeat(21));
        assert_eq!(too_long, Err(ConfigError::Sender("the template code")));
    }

    #[test]
    fn a_secret_that_can_neither_be_sent_nor_sign_is_refused() {
        for secret in ["", "two\nlines", "비밀"] {
            let result = configured(MessageTransport::AlimTalk(sender()), secret);
            assert_eq!(result, Err(ConfigError::Credential), "{secret:?}");
        }
        for secret in ["", "whsec_", "whsec_not base64"] {
            let result = configured(MessageTransport::Webhook, secret);
            assert_eq!(result, Err(ConfigError::SigningSecret), "{secret:?}");
        }
        assert_eq!(configured(MessageTransport::Webhook, "any other text, 비밀"), Ok(false));
    }
}
