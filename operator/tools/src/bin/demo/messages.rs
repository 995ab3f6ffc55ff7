//! The messages as they arrive at the sandbox: one line each, as the customer reads them.

use std::sync::Arc;
use std::time::Duration;

use fooddelivery_e2e::Sandbox;
use tokio::task::JoinHandle;

use crate::console::{Console, Tone};

/// How often the sandbox is asked.
const PAUSE: Duration = Duration::from_millis(200);

/// Prints messages until it is dropped.
pub(crate) struct Messages(JoinHandle<()>);

impl Messages {
    /// From now on.
    pub(crate) fn follow(sandbox: &Sandbox, console: &Arc<Console>) -> Self {
        let (source, console) = (sandbox.messages_source(), Arc::clone(console));
        Self(tokio::spawn(async move {
            let mut shown = 0;
            loop {
                tokio::time::sleep(PAUSE).await;
                // A sandbox that is being stopped has nothing more to say.
                let Ok(messages) = source.messages().await else { continue };
                for message in messages.iter().filter(|message| message.seq > shown && !message.repeat) {
                    // The other service hears the same; it is counted at the end.
                    if let Some(text) = message.text.as_ref().filter(|_| message.channel == "AlimTalk") {
                        let whom = format!("  to {}", message.recipient.clone().unwrap_or_default());
                        console.event(Tone::Aside, &whom, "AlimTalk", &text.replace('\n', " "));
                    }
                }
                shown = messages.iter().map(|message| message.seq).max().unwrap_or(shown);
            }
        }))
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.0.abort();
    }
}
