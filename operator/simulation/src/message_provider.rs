//! The message provider, within the process, its inbox: a message waits until the scheduler carries it
//! out, and how is the scheduler's choice. It knows a message by its id, and remembers which came first.

use std::collections::BTreeMap;

use fooddelivery_providers::notification::{Message, SendOutcome};
use fooddelivery_saga::provider::CallFailure;

use crate::provider::ProviderFault;

/// What arrived, by order uid: the steps and phases, each when it came for the first time.
#[derive(Debug, Default)]
pub struct Inbox {
    heard: BTreeMap<String, Vec<(i64, String)>>,
    /// What did not follow on what was heard before, as a sentence.
    out_of_order: Option<String>,
}

impl Inbox {
    /// What was heard of an order.
    pub fn of(&self, order_uid: &str) -> &[(i64, String)] {
        self.heard.get(order_uid).map_or(&[], Vec::as_slice)
    }

    /// The first message that did not follow on the one before it.
    pub fn out_of_order(&self) -> Option<&str> {
        self.out_of_order.as_deref()
    }

    fn hear(&mut self, message: &Message) {
        let heard = self.heard.entry(message.order_uid.clone()).or_default();
        if heard.iter().any(|(step, _)| *step == message.step) {
            return;
        }
        let expected = heard.last().map_or(0, |(step, _)| step + 1);
        if message.step != expected {
            let sentence = format!("{}: step {} came, not {expected}", message.order_name, message.step);
            self.out_of_order.get_or_insert(sentence);
        }
        heard.push((message.step, message.phase.clone()));
    }

    /// Takes a message, or does not.
    pub fn carry_out(&mut self, message: &Message, fault: ProviderFault) -> SendOutcome {
        let arrives = !matches!(
            fault,
            ProviderFault::Lost
                | ProviderFault::NotSent
                | ProviderFault::Stalled
                | ProviderFault::Throttled
                | ProviderFault::ErrorBefore
                | ProviderFault::Declined
        );
        if arrives {
            self.hear(message);
        }
        match fault {
            ProviderFault::None => SendOutcome::Sent,
            ProviderFault::InProgress => SendOutcome::Pending,
            ProviderFault::NotSent | ProviderFault::Declined => {
                SendOutcome::CallFailure(CallFailure::NotSent("nobody listens".into()))
            }
            ProviderFault::Throttled => {
                SendOutcome::CallFailure(CallFailure::Throttled { retry_after_ms: Some(500) })
            }
            ProviderFault::ErrorBefore | ProviderFault::ErrorAfter => {
                SendOutcome::CallFailure(CallFailure::Errored("500".into()))
            }
            ProviderFault::AnswerLost | ProviderFault::Lost | ProviderFault::Stalled => {
                SendOutcome::CallFailure(CallFailure::OutcomeUnknown("no answer".into()))
            }
        }
    }
}
