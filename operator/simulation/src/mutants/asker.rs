//! Which controller sends a request: read from the span in which every reconcile runs. Only what a mutant is about asks.

use std::fmt::Debug;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::subscriber::Interest;
use tracing::{Metadata, Span, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

/// The span of a reconcile, and its field with the controller's name.
const SPAN: &str = "reconcile";
const CONTROLLER: &str = "kind";

/// The name of the controller on whose behalf this runs, as its metrics have it; empty outside of a reconcile.
pub(super) fn asker() -> String {
    let found = Span::current().with_subscriber(|(id, dispatch)| {
        let registry = dispatch.downcast_ref::<Registry>()?;
        let span = registry.span(id)?;
        span.extensions().get::<Controller>().map(|found| found.0.clone())
    });
    found.flatten().unwrap_or_default()
}

/// What has to hear of spans for [`asker`] to know.
pub(crate) fn subscriber() -> impl Subscriber + Send + Sync {
    tracing_subscriber::registry().with(Controllers)
}

struct Controllers;

/// A controller's name, kept with the span.
#[derive(Default)]
struct Controller(String);

impl Visit for Controller {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == CONTROLLER {
            value.clone_into(&mut self.0);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

fn is_reconcile(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.name() == SPAN
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Controllers {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_reconcile(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        is_reconcile(metadata)
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut controller = Controller::default();
        attributes.record(&mut controller);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(controller);
        }
    }
}
