//! Messages, by AlimTalk and by webhook: every outcome of the port, and what the sandbox has of it.
#![expect(clippy::unwrap_used, reason = "in a test, what cannot be set up is a failure")]

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fooddelivery_providers::notification::{
    AlimTalkSender, FailFastBreaker, Message, MessagePort, MessageTransport, SendOutcome, message_provider,
};
use fooddelivery_providers::{Credential, HttpClient};
use fooddelivery_saga::provider::CallFailure;
use fooddelivery_saga::time::Timestamp;
use fooddelivery_sandbox::config::DEFAULT_SECRET_KEY;
use fooddelivery_sandbox::faults::{Fault, Operation, Rule};
use fooddelivery_sandbox::{Channel, Config, Handle, MessageRecord, MessageResult, Outage, serve};
use futures::future::join_all;

/// For tests that are not about time, so that a busy machine does not fail them.
const PATIENT: Duration = Duration::from_secs(10);
const HURRY: Duration = Duration::from_millis(300);
const HOUR_MS: i64 = 3_600_000;
const BOTH: [Channel; 2] = [Channel::AlimTalk, Channel::Webhook];

/// A sandbox and a port to it.
struct Office {
    sandbox: Handle,
    port: Arc<dyn MessagePort>,
    /// The port that does not wait for long.
    hurried: Arc<dyn MessagePort>,
}

fn port(channel: Channel, url: &str, secret: &str, timeout: Duration) -> Arc<dyn MessagePort> {
    let (dialect, endpoint) = match channel {
        Channel::AlimTalk => {
            let (app_key, sender_key) = ("app".into(), "s".repeat(40));
            let sender = AlimTalkSender { app_key, sender_key, template_code: "STEP".into() };
            (MessageTransport::AlimTalk(sender), url.to_owned())
        }
        Channel::Webhook => (MessageTransport::Webhook, format!("{url}/webhook")),
    };
    let http = HttpClient::new().unwrap();
    message_provider(dialect, &endpoint, Credential::new(secret), timeout, http).unwrap()
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

fn message() -> Message {
    Message {
        id: "uid-3".into(),
        order_namespace: "food".into(),
        order_name: "lunch".into(),
        order_uid: "uid".into(),
        step: 3,
        phase: "Cooking".into(),
        at: Timestamp(now_ms()),
        customer: "kim".into(),
        store: Some("hanok".into()),
        total: Some(28_500),
        reason: None,
        contact: Some("010-1234-5678".into()),
    }
}

fn to(number: &str) -> Message {
    Message { contact: Some(number.into()), ..message() }
}

impl Office {
    async fn open(channel: Channel) -> Self {
        Self::with(channel, Config::default()).await
    }

    async fn with(channel: Channel, config: Config) -> Self {
        let sandbox = serve(config).await.unwrap();
        let within = |timeout| port(channel, &sandbox.url(), DEFAULT_SECRET_KEY, timeout);
        let (port, hurried) = (within(PATIENT), within(HURRY));
        Self { sandbox, port, hurried }
    }

    fn fault(&self, fault: Fault) {
        self.sandbox.set_faults(vec![Rule::once(Operation::Message, fault)]).unwrap();
    }

    async fn send(&self) -> SendOutcome {
        self.port.send(&message()).await
    }

    /// What was delivered; repeats that were recognised are none.
    fn delivered(&self) -> Vec<MessageRecord> {
        self.sandbox.messages().into_iter().filter(|message| !message.repeat).collect()
    }
}

fn is_unknown(outcome: &SendOutcome) -> bool {
    matches!(outcome, SendOutcome::CallFailure(CallFailure::OutcomeUnknown(_)))
}

#[tokio::test]
async fn a_message_is_delivered_once_and_its_repeat_is_told_so() {
    for channel in BOTH {
        let office = Office::open(channel).await;
        assert_eq!(office.send().await, SendOutcome::Sent, "{channel:?}");
        assert_eq!(office.send().await, SendOutcome::Sent, "{channel:?}");
        let repeats: Vec<_> = office.sandbox.messages().iter().map(|one| one.repeat).collect();
        assert_eq!(repeats, [false, true], "{channel:?}");
        let delivered = &office.delivered()[0];
        assert_eq!((delivered.channel, delivered.id.as_str()), (channel, "uid-3"));
        assert_eq!((delivered.order_uid.as_deref(), delivered.step), (Some("uid"), Some(3)), "{channel:?}");
        let (phase, recipient) = match channel {
            Channel::AlimTalk => ("조리 중", "01012345678"),
            Channel::Webhook => ("Cooking", "kim"),
        };
        assert_eq!((delivered.phase.as_deref(), delivered.recipient.as_str()), (Some(phase), recipient));
    }
}

#[tokio::test]
async fn messages_arrive_in_the_order_in_which_they_are_sent_each_under_its_own_id() {
    for channel in BOTH {
        let office = Office::open(channel).await;
        for step in 0..5 {
            let message = Message { id: format!("uid-{step}"), step, ..message() };
            assert_eq!(office.port.send(&message).await, SendOutcome::Sent, "{channel:?}");
        }
        let steps: Vec<_> = office.delivered().iter().map(|one| one.step.unwrap()).collect();
        assert_eq!(steps, [0, 1, 2, 3, 4], "{channel:?}");
    }
}

#[tokio::test]
async fn an_outage_delays_a_message_and_does_not_lose_it() {
    for channel in BOTH {
        let office = Office::open(channel).await;
        for outage in [Outage::Error, Outage::Refuse, Outage::Hang] {
            office.sandbox.set_message_outage(outage);
            // Only who is not answered at all has to wait for it.
            let port = if matches!(outage, Outage::Hang) { &office.hurried } else { &office.port };
            let outcome = port.send(&message()).await;
            let expected = match outage {
                Outage::Error => matches!(outcome, SendOutcome::CallFailure(CallFailure::Errored(_))),
                _ => is_unknown(&outcome),
            };
            assert!(expected, "{channel:?} {outage:?}: {outcome:?}");
        }
        assert_eq!(office.sandbox.messages_refused(), 3, "{channel:?}");
        assert!(office.sandbox.messages().is_empty(), "{channel:?}");
        office.sandbox.set_message_outage(Outage::None);
        assert_eq!(office.send().await, SendOutcome::Sent, "{channel:?}");
        assert_eq!(office.delivered().len(), 1, "{channel:?}");
    }
}

#[tokio::test]
async fn an_answer_that_comes_too_late_is_unknown_and_the_repeat_finds_the_message_sent() {
    for channel in BOTH {
        let office = Office::open(channel).await;
        for (index, fault) in
            [Fault::DelayAfter { ms: 600 }, Fault::DelayBefore { ms: 600 }].into_iter().enumerate()
        {
            let message = Message { id: format!("uid-{index}"), ..message() };
            office.fault(fault.clone());
            let outcome = office.hurried.send(&message).await;
            assert!(is_unknown(&outcome), "{channel:?} {fault:?}: {outcome:?}");
            office.sandbox.idle().await;
            assert_eq!(office.delivered().len(), index + 1, "{channel:?} {fault:?}");
            assert_eq!(office.port.send(&message).await, SendOutcome::Sent, "{channel:?} {fault:?}");
            assert_eq!(office.delivered().len(), index + 1, "{channel:?} {fault:?}");
        }
    }
}

#[tokio::test]
async fn a_lost_answer_is_unknown_or_an_error_and_the_repeat_delivers_no_second_message() {
    for channel in BOTH {
        for (fault, error) in [
            (Fault::DropBefore, false),
            (Fault::DropAfter, false),
            (Fault::ErrorBefore { status: 502 }, true),
            (Fault::ErrorAfter { status: 503 }, true),
        ] {
            let office = Office::open(channel).await;
            office.fault(fault.clone());
            let outcome = office.send().await;
            let errored = matches!(outcome, SendOutcome::CallFailure(CallFailure::Errored(_)));
            assert!(if error { errored } else { is_unknown(&outcome) }, "{channel:?} {fault:?}: {outcome:?}");
            assert_eq!(office.send().await, SendOutcome::Sent, "{channel:?} {fault:?}");
            assert_eq!(office.delivered().len(), 1, "{channel:?} {fault:?}");
        }
    }
}

#[tokio::test]
async fn a_provider_that_asks_for_patience_is_heard_and_one_that_is_busy_with_the_message_waited_for() {
    for channel in BOTH {
        let office = Office::open(channel).await;
        office.fault(Fault::TooManyRequests { retry_after_seconds: Some(7) });
        let throttled = SendOutcome::CallFailure(CallFailure::Throttled { retry_after_ms: Some(7_000) });
        assert_eq!(office.send().await, throttled, "{channel:?}");
        office.fault(Fault::InProgress409);
        let outcome = office.send().await;
        let waited_for = match channel {
            // It has no such answer; what a proxy says in its place is not about the message.
            Channel::AlimTalk => is_unknown(&outcome),
            Channel::Webhook => outcome == SendOutcome::CallFailure(CallFailure::InProgress),
        };
        assert!(waited_for, "{channel:?}: {outcome:?}");
        assert!(office.sandbox.messages().is_empty(), "{channel:?}");
    }
}

#[tokio::test]
async fn a_message_that_reaches_the_provider_twice_is_delivered_once() {
    for channel in BOTH {
        let office = Office::open(channel).await;
        office.fault(Fault::DuplicateDelivery);
        assert_eq!(office.send().await, SendOutcome::Sent, "{channel:?}");
        let outcomes = join_all((0..8).map(|_| office.send())).await;
        assert!(outcomes.iter().all(|outcome| *outcome == SendOutcome::Sent), "{channel:?}: {outcomes:?}");
        assert_eq!(office.delivered().len(), 1, "{channel:?}");
    }
}

#[tokio::test]
async fn a_wrong_secret_is_unauthorized_and_delivers_nothing() {
    for channel in BOTH {
        let office = Office::open(channel).await;
        let stranger = port(channel, &office.sandbox.url(), "test_sk_wrong", PATIENT);
        let outcome = stranger.send(&message()).await;
        assert!(
            matches!(outcome, SendOutcome::CallFailure(CallFailure::Unauthorized(_))),
            "{channel:?}: {outcome:?}"
        );
        assert!(office.sandbox.messages().is_empty(), "{channel:?}");
        assert_eq!(office.send().await, SendOutcome::Sent, "{channel:?}");
    }
}

#[tokio::test]
async fn a_provider_that_is_not_there_got_nothing() {
    for channel in BOTH {
        let nobody = port(channel, "http://127.0.0.1:1", DEFAULT_SECRET_KEY, PATIENT);
        let outcome = nobody.send(&message()).await;
        assert!(
            matches!(outcome, SendOutcome::CallFailure(CallFailure::NotSent(_))),
            "{channel:?}: {outcome:?}"
        );
        let office = Office::open(channel).await;
        let outcome = office.port.send(&Message { id: "line\nbreak".into(), ..message() }).await;
        assert!(
            matches!(outcome, SendOutcome::CallFailure(CallFailure::NotSent(_))),
            "{channel:?}: {outcome:?}"
        );
    }
}

#[tokio::test]
async fn a_message_that_is_not_wanted_is_refused() {
    for channel in BOTH {
        let office = Office::open(channel).await;
        office.fault(Fault::Decline { code: None });
        let outcome = office.send().await;
        assert!(matches!(outcome, SendOutcome::Refused(_)), "{channel:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_number_that_cannot_be_reached_refuses_the_message_for_good_in_a_sentence_without_it() {
    let office = Office::open(Channel::AlimTalk).await;
    for _ in 0..2 {
        let SendOutcome::Refused(why) = office.port.send(&to("010-1234-0001")).await else { panic!("sent") };
        assert!(why.starts_with("not delivered: ") && !why.contains("1234"), "{why}");
    }
    assert_eq!(office.delivered().len(), 1);
    assert_eq!(office.delivered()[0].result, MessageResult::Failed);
}

#[tokio::test]
async fn without_a_number_alimtalk_refuses_without_a_call_and_the_webhook_needs_none() {
    let office = Office::open(Channel::AlimTalk).await;
    for contact in [None, Some("kim@example.com".to_owned())] {
        let outcome = office.port.send(&Message { contact, ..message() }).await;
        assert!(matches!(outcome, SendOutcome::Refused(_)), "{outcome:?}");
    }
    assert!(office.sandbox.messages().is_empty());
    let office = Office::open(Channel::Webhook).await;
    assert_eq!(office.port.send(&Message { contact: None, ..message() }).await, SendOutcome::Sent);
}

#[tokio::test]
async fn a_result_that_comes_later_is_pending_until_then_and_asked_for_by_the_same_id() {
    let message_delay = Duration::from_secs(4);
    let office = Office::with(Channel::AlimTalk, Config { message_delay, ..Config::default() }).await;
    let message = to("010-1234-0002");
    assert_eq!(office.port.send(&message).await, SendOutcome::Pending);
    tokio::time::sleep(message_delay + Duration::from_millis(50)).await;
    assert_eq!(office.port.send(&message).await, SendOutcome::Sent);
    assert_eq!(office.delivered().len(), 1);
}

#[tokio::test]
async fn an_accepted_message_whose_result_cannot_be_asked_for_is_pending_and_a_recognised_one_in_trouble() {
    let office = Office::open(Channel::AlimTalk).await;
    let rule = Rule::once(Operation::MessageResult, Fault::ErrorBefore { status: 500 });
    office.sandbox.set_faults(vec![Rule { times: Some(2), ..rule }]).unwrap();
    assert_eq!(office.send().await, SendOutcome::Pending);
    assert!(matches!(office.send().await, SendOutcome::CallFailure(CallFailure::Errored(_))));
    assert_eq!(office.send().await, SendOutcome::Sent);
    assert_eq!(office.delivered().len(), 1);
}

#[tokio::test]
async fn a_message_whose_key_the_provider_has_forgotten_is_found_before_it_is_sent_again() {
    let forgetful = Config { message_key_retention: Duration::ZERO, ..Config::default() };
    let office = Office::with(Channel::AlimTalk, forgetful).await;
    let old = Message { at: Timestamp(now_ms() - HOUR_MS), ..message() };
    for _ in 0..3 {
        assert_eq!(office.port.send(&old).await, SendOutcome::Sent);
    }
    assert_eq!(office.sandbox.messages().len(), 1, "it was asked for once");
}

#[tokio::test]
async fn a_secret_in_base64_signs_as_the_bytes_that_it_is() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let config = Config { secret_keys: vec![DEFAULT_SECRET_KEY.into(), secret.into()], ..Config::default() };
    let office = Office::with(Channel::Webhook, config).await;
    let signed = port(Channel::Webhook, &office.sandbox.url(), secret, PATIENT);
    assert_eq!(signed.send(&message()).await, SendOutcome::Sent);
    assert_eq!(office.send().await, SendOutcome::Sent, "while secrets are rotated, both sign");
}

#[tokio::test]
async fn a_gate_keeps_a_provider_that_is_out_from_being_called_for_every_message() {
    for channel in BOTH {
        let office = Office::open(channel).await;
        let breaker = FailFastBreaker::new(NonZeroUsize::new(4).unwrap());
        office.sandbox.set_message_outage(Outage::Error);
        let deliver = |step: i64| {
            let (breaker, office) = (breaker.clone(), &office);
            async move {
                let message = Message { id: format!("uid-{step}"), step, ..message() };
                loop {
                    let wait = match breaker.acquire() {
                        Ok(permit) => {
                            let outcome = office.port.send(&message).await;
                            permit.record(&outcome);
                            match outcome {
                                SendOutcome::Sent => return,
                                _ => Duration::from_millis(100),
                            }
                        }
                        Err(wait) => wait,
                    };
                    tokio::time::sleep(wait).await;
                }
            }
        };
        let recovery = async {
            tokio::time::sleep(Duration::from_millis(700)).await;
            office.sandbox.set_message_outage(Outage::None);
        };
        tokio::join!(join_all((0..100).map(deliver)), recovery);
        assert!(office.sandbox.messages_refused() <= 6, "{}", office.sandbox.messages_refused());
        assert_eq!(office.delivered().len(), 100, "{channel:?}");
    }
}
