//! Messages: the reconciler. Every step of an order is told to every message provider, in order, at least once. It holds
//! nothing up: an order neither waits for it nor hears of it, but that a deleted one goes only when all was told.
//!
//! How far each was told is kept in memory and goes along with whatever else is written of the order; on its own it is
//! written once, when the order has ended, or when messages have waited for long.

mod log;
mod provider;
mod told;
mod ways;

use std::sync::Arc;
use std::time::Duration;

use fooddelivery_api::common::Time;
use fooddelivery_api::customer::CustomerMessage;
use fooddelivery_api::{MessageProvider, MessageTransport, Order, convert};
use fooddelivery_providers::notification::{Message, SendOutcome};
use fooddelivery_saga::machine::{Next, StateMachine};
use fooddelivery_saga::notification::{
    self, Command, NotificationMachine, NotificationStatus, NotificationView, Progress, Response, Retry, Step,
};
use fooddelivery_saga::provider::CallFailure;
use fooddelivery_saga::time::Millis;
use kube::ResourceExt;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::context::Context;
use crate::engine::{Key, Outcome, ReconcileError, Reconciler};
use crate::events::{correlate, uid_of};
use crate::lag::Lag;
use crate::settings::ControllerName;

pub use log::Customers;
pub use provider::MessageProviders;
pub use told::Notices;
pub use ways::{MakeMessagePort, Way, Ways, over_http};

/// How long the write at the end waits, for the order to write something itself.
const LAST_WORD_LAG: Duration = Duration::from_secs(1);
/// Messages that have waited for so long are spoken of in the order's status.
const UNSAID: Duration = Duration::from_secs(30);

/// The message controller.
pub struct Messages {
    context: Arc<Context>,
    last_word: Lag,
    waiting: Lag,
}

/// The providers that orders are told to, by name; no more than an order keeps track of.
pub(crate) fn providers(context: &Context) -> Vec<Arc<MessageProvider>> {
    let is_known = |provider: &MessageProvider| provider.spec.transport != MessageTransport::Unknown;
    // They are in no namespace.
    let found = context.message_providers.objects_in("", is_known);
    found.into_iter().map(|(_, provider)| provider).take(told::PROVIDERS).collect()
}

/// The telephone number of the customer of an order.
fn contact(context: &Context, key: &Key, order: &Order) -> Option<String> {
    let customer = context.customers.object(&Key::new(&key.namespace, &order.spec.customer_ref.name))?;
    customer.spec.contact.clone()
}

/// A step as it stands in the customer's log.
fn logged(key: &Key, order: &Order, step: &Step) -> CustomerMessage {
    CustomerMessage {
        id: notification::id(&uid_of(order), step.number),
        order: key.name.to_string(),
        phase: step.phase.clone(),
        at: Time(step.at),
    }
}

/// All steps of an order.
fn steps(order: &Order) -> Vec<Step> {
    notification::steps(&order.state(), convert::created_at(&order.metadata))
}

/// The next of an order's steps that a provider is to be told of.
fn next<'a>(
    context: &Context,
    key: &Key,
    order: &Order,
    steps: &'a [Step],
    provider: &MessageProvider,
) -> Option<&'a Step> {
    let told = context.told.steps(key, order, &provider.name_any());
    notification::next(steps, told, convert::created_at(&provider.metadata))
}

/// Whether somebody is still to be told of an order, and can be.
pub(crate) fn is_owed(context: &Context, key: &Key, order: &Order) -> bool {
    let steps = steps(order);
    providers(context).iter().any(|provider| {
        let reachable = !provider.spec.transport.needs_contact() || contact(context, key, order).is_some();
        reachable && next(context, key, order, &steps, provider).is_some()
    })
}

impl Messages {
    /// Over the shared context.
    pub fn new(context: Arc<Context>) -> Self {
        Self { context, last_word: Lag::new(LAST_WORD_LAG), waiting: Lag::new(UNSAID) }
    }

    /// Tells one provider the steps that it was not told of yet, and how far that came.
    async fn tell(
        &self,
        key: &Key,
        order: &Order,
        steps: &[Step],
        provider: &MessageProvider,
    ) -> Result<Progress, ReconcileError> {
        let context = &self.context;
        let name = provider.name_any();
        let mut way = None;
        let mut view = NotificationView {
            provider: name.clone(),
            steps: steps.to_vec(),
            notified: context.told.steps(key, order, &name),
            since: convert::created_at(&provider.metadata),
            needs_contact: false,
            has_contact: contact(context, key, order).is_some(),
            session: None,
            open_for: None,
            response: None,
        };
        loop {
            match NotificationMachine::step(&view, context.clock.now()) {
                Next::Act(Command::Open) => {
                    let opened = context.ways.open(&context.api, provider).await?;
                    view.needs_contact = opened.as_ref().is_ok_and(|way| way.port.needs_contact());
                    view.session = Some(opened.as_ref().map(|_| ()).map_err(|barred| barred.message.clone()));
                    way = opened.ok();
                }
                Next::Act(Command::Send(step)) => match &way {
                    Some(way) => match self.send(key, order, &step, &name, way).await {
                        Ok(response) => view.response = Some(response),
                        Err(come_back) => view.open_for = Some(millis(come_back)),
                    },
                    None => view.session = None,
                },
                Next::Write(progress) => {
                    if let NotificationStatus::Refused(why) = &progress.standing {
                        context.told.refuse(key, order, why);
                    }
                    context.told.tell(key, order, &name, progress.notified);
                    if let Some(step) = steps.iter().find(|step| step.number + 1 == progress.notified) {
                        self.log(key, order, step);
                    }
                    // The way is looked up anew for each step: what is configured may have changed.
                    view = NotificationView {
                        notified: progress.notified,
                        session: None,
                        open_for: None,
                        response: None,
                        ..view
                    };
                }
                Next::Rest(rest) => return Ok(rest.state),
                Next::Halt(violation) => {
                    error!(%violation, "a decision about messages breaks a rule: nothing is done");
                    return Ok(stands(&view));
                }
                Next::Skip | Next::Wait(_) | Next::Retry(_) => return Ok(stands(&view)),
            }
        }
    }

    /// Sends one step.
    ///
    /// # Errors
    /// After how long it is worth trying, when the breaker lets nothing through.
    async fn send(
        &self,
        key: &Key,
        order: &Order,
        step: &Step,
        provider: &str,
        way: &Way,
    ) -> Result<Response, Duration> {
        let context = &self.context;
        let permit = way.gate.acquire()?;
        let contact = contact(context, key, order);
        let outcome = way.port.send(&Self::message(key, order, step, contact)).await;
        permit.record(&outcome);
        context.metrics.message(provider, word(&outcome));
        Ok(match outcome {
            SendOutcome::Sent => {
                way.say(provider, "");
                info!(provider, step = step.number, phase = step.phase, "told");
                Response::Sent
            }
            SendOutcome::Refused(why) => {
                way.say(provider, "");
                warn!(provider, step = step.number, why, "a message was refused for good");
                Response::Refused(why)
            }
            SendOutcome::Pending => Response::Pending,
            SendOutcome::CallFailure(trouble) => {
                let why = sentence(&trouble);
                way.say(provider, &format!("{provider}: {why}"));
                Response::Failed(why, way.gate.open_for().map(millis))
            }
        })
    }

    /// What was told comes into the customer's log, with whatever else does in a while.
    fn log(&self, key: &Key, order: &Order, step: &Step) {
        let context = &self.context;
        let customer = Key::new(&key.namespace, &order.spec.customer_ref.name);
        if context.queues.of(ControllerName::Customer).is_none() {
            return;
        }
        context.told.to_be_logged(&customer, logged(key, order, step));
        context.queues.push_at(ControllerName::Customer, customer, Instant::now() + context.message_log_lag);
    }

    fn message(key: &Key, order: &Order, step: &Step, contact: Option<String>) -> Message {
        let state = order.state();
        let is_latest = state.phase.as_str() == step.phase;
        Message {
            id: notification::id(&uid_of(order), step.number),
            order_namespace: key.namespace.to_string(),
            order_name: key.name.to_string(),
            order_uid: uid_of(order),
            step: step.number,
            phase: step.phase.clone(),
            at: step.at,
            customer: order.spec.customer_ref.name.clone(),
            store: state.store,
            total: state.total,
            reason: Some(state.reason).filter(|reason| is_latest && !reason.is_empty()),
            contact,
        }
    }

    /// Writes how far everybody was told, when the order writes nothing any more, or when it has taken long.
    async fn last_word(
        &self,
        key: &Key,
        order: &Order,
        waits: bool,
    ) -> Result<Option<Duration>, ReconcileError> {
        let context = &self.context;
        let old = order.status.clone().unwrap_or_default();
        let mut new = old.clone();
        context.told.put_into(key, order, &mut new, context.clock.now());
        let due = if waits { &self.waiting } else { &self.last_word };
        let other = if waits { &self.last_word } else { &self.waiting };
        other.settled(key);
        if new == old || !(waits || old.phase.is_terminal() || told::says_amiss(&old)) {
            due.settled(key);
            return Ok(None);
        }
        if let Some(left) = due.left(key) {
            return Ok(Some(left));
        }
        context.write_status(&context.orders, order, &old, &new).await?;
        due.settled(key);
        Ok(None)
    }
}

/// Rounded up, so that nobody comes back too early.
fn millis(span: Duration) -> Millis {
    Millis(i64::try_from(span.as_micros().div_ceil(1_000)).unwrap_or(i64::MAX))
}

/// Nothing more is done.
fn stands(view: &NotificationView) -> Progress {
    Progress { notified: view.notified, standing: NotificationStatus::Done, retry: None }
}

fn word(outcome: &SendOutcome) -> &'static str {
    match outcome {
        SendOutcome::Sent => "sent",
        SendOutcome::Pending => "pending",
        SendOutcome::Refused(_) => "refused",
        SendOutcome::CallFailure(_) => "trouble",
    }
}

fn sentence(trouble: &CallFailure) -> String {
    match trouble {
        CallFailure::NotSent(why)
        | CallFailure::Unauthorized(why)
        | CallFailure::Errored(why)
        | CallFailure::OutcomeUnknown(why) => why.clone(),
        CallFailure::Throttled { .. } => "it asks for patience".into(),
        CallFailure::InProgress | CallFailure::IdempotencyKeyConsumed(_) => {
            "an earlier call is still under way".into()
        }
    }
}

impl Reconciler for Messages {
    fn name(&self) -> &'static str {
        ControllerName::Message.word()
    }

    fn is_mine(&self, key: &Key) -> bool {
        self.context.has_order(ControllerName::Message, key)
    }

    async fn reconcile(&self, key: Key, _tries: u32) -> Result<Outcome, ReconcileError> {
        let context = &self.context;
        let Some(order) = context.orders.object(&key) else {
            context.told.gone(&key);
            return Ok(Outcome::Done);
        };
        correlate(order.uid());
        let providers = providers(context);
        if providers.is_empty() {
            return Ok(Outcome::Done);
        }
        let steps = steps(&order);
        let (mut telling, mut later) = (NotificationStatus::Done, None);
        for provider in &providers {
            let progress = self.tell(&key, &order, &steps, provider).await?;
            telling = telling.or_worse(progress.standing);
            later = match (later, progress.retry) {
                (Some(known), Some(retry)) => Some(std::cmp::min::<Retry>(known, retry)),
                (known, retry) => known.or(retry),
            };
        }
        context.told.stands(&key, &order, telling);
        if order.metadata.deletion_timestamp.is_some() && later.is_none() {
            // It may have waited for this.
            context.queues.push_at(ControllerName::Order, key.clone(), Instant::now());
        }
        let said_in = self.last_word(&key, &order, later.is_some()).await?;
        Ok(match (later, said_in) {
            (None, None) => Outcome::Done,
            (None, Some(left)) => Outcome::After(left),
            (Some(Retry::WithBackoff), _) => Outcome::AskAgain(None),
            (Some(Retry::After(pause)), _) => Outcome::After(Duration::from_millis(pause.0.unsigned_abs())),
        })
    }
}
