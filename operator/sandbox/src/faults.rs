//! Faults on request: which misbehaviour applies to which call, and how long calls take.
//!
//! It chooses; the execution of a call carries out. Rules come first, in their order; then the prefixes of
//! payment keys and payment methods that are made for use by hand.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rand::RngExt;
use serde::{Deserialize, Serialize};

/// How many rules a plan may have.
pub const RULES_MAX: usize = 1_000;
/// The longest delay and the longest latency, in ms.
pub const DELAY_MS_MAX: u64 = 600_000;
/// How long a confirm of a `slow_` key takes before the money moves, in ms.
pub const SLOW_MS: u64 = 1_500;

/// What a call does; in JSON in lower case, without a separator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// Capture: Toss's confirm, Stripe's confirm, and Stripe's create with `confirm=true`.
    Confirm,
    /// Refund: Toss's cancel, Stripe's refund.
    Cancel,
    /// Read a payment, by whatever it is known by.
    LookUp,
    /// Create what can be captured later (Stripe only).
    Prepare,
    /// Make a capture impossible (Stripe's cancel of a payment intent).
    Void,
    /// Deliver a message: AlimTalk's send, a webhook's event.
    Message,
    /// Ask what became of messages (AlimTalk only).
    MessageResult,
}

impl Operation {
    fn is_about_messages(self) -> bool {
        matches!(self, Self::Message | Self::MessageResult)
    }
}

/// A misbehaviour. "Before" and "after" are relative to the moment the money moves, the intent changes, or the message is
/// accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Fault {
    /// The issuer declines (confirm only): finally with Toss, and with Stripe until the next confirm. A message goes
    /// wrong for good.
    Decline {
        /// The refusal's code (Stripe: its `decline_code`); when absent, the dialect's `DEFAULT_DECLINE_CODE`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
    },
    /// A 5xx, and nothing was done.
    ErrorBefore {
        /// 500 to 599.
        #[serde(default = "internal_error")]
        status: u16,
    },
    /// A 5xx, and the money moved.
    ErrorAfter {
        /// 500 to 599.
        #[serde(default = "internal_error")]
        status: u16,
    },
    /// The connection closes without an answer, and nothing was done.
    DropBefore,
    /// The connection closes without an answer, and the money moved.
    DropAfter,
    /// The money moves late.
    #[serde(alias = "Delay")]
    DelayBefore {
        /// How late, at most [`DELAY_MS_MAX`].
        ms: u64,
    },
    /// The money moves at once and the answer comes late.
    DelayAfter {
        /// How late, at most [`DELAY_MS_MAX`].
        ms: u64,
    },
    /// 409 as while the first request with the key still runs, and nothing was done.
    InProgress409,
    /// 429, and nothing was done.
    TooManyRequests {
        /// The `Retry-After` header, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_seconds: Option<u64>,
    },
    /// The request arrives twice, one after the other; the second answer goes back.
    DuplicateDelivery,
    /// The money moved, and the 200 carries something that is not JSON.
    GarbledAnswer,
}

fn internal_error() -> u16 {
    500
}

impl Fault {
    /// The name, as in a rule's `type`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Decline { .. } => "Decline",
            Self::ErrorBefore { .. } => "ErrorBefore",
            Self::ErrorAfter { .. } => "ErrorAfter",
            Self::DropBefore => "DropBefore",
            Self::DropAfter => "DropAfter",
            Self::DelayBefore { .. } => "DelayBefore",
            Self::DelayAfter { .. } => "DelayAfter",
            Self::InProgress409 => "InProgress409",
            Self::TooManyRequests { .. } => "TooManyRequests",
            Self::DuplicateDelivery => "DuplicateDelivery",
            Self::GarbledAnswer => "GarbledAnswer",
        }
    }
}

/// Which calls a rule is about; an absent field matches all. Calls about messages are matched only where their
/// operation is named, so that a rule made for payments is not used up by them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Match {
    /// What the call does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// The payment's key; with Stripe, the payment intent's id or its payment method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_key: Option<String>,
    /// The payment's order id; of a message, the order's uid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<String>,
}

/// A fault for the calls that match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Which calls.
    #[serde(default, rename = "match")]
    pub matching: Match,
    /// What happens to them.
    pub fault: Fault,
    /// To how many of them; absent: one; null: all, for ever.
    #[serde(default = "once")]
    pub times: Option<u64>,
}

#[expect(clippy::unnecessary_wraps, reason = "serde wants the field's type")]
fn once() -> Option<u64> {
    Some(1)
}

impl Rule {
    /// `fault`, once, for the next call that does `operation`.
    pub fn once(operation: Operation, fault: Fault) -> Self {
        Self { matching: Match { operation: Some(operation), ..Match::default() }, fault, times: once() }
    }

    fn validate(&self) -> Result<(), String> {
        match self.fault {
            Fault::ErrorBefore { status } | Fault::ErrorAfter { status } if !(500..600).contains(&status) => {
                Err(format!("an error's status is 500 to 599, not {status}"))
            }
            Fault::DelayBefore { ms } | Fault::DelayAfter { ms } if ms > DELAY_MS_MAX => {
                Err(format!("a delay is at most {DELAY_MS_MAX} ms, not {ms}"))
            }
            _ => Ok(()),
        }
    }
}

/// What a call is about, as far as it is known when it arrives.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// What it does.
    pub operation: Operation,
    /// The payment's key; with Stripe, the payment intent's id.
    pub payment_key: Option<&'a str>,
    /// With Stripe, the payment method.
    pub payment_method: Option<&'a str>,
    /// The payment's order id.
    pub order_id: Option<&'a str>,
}

/// The rules in force, and which prefixed payment keys have had their fault.
#[derive(Debug, Default)]
pub struct FaultPlan {
    rules: VecDeque<Rule>,
    spent_keys: HashSet<String>,
}

impl FaultPlan {
    /// Replaces the rules.
    ///
    /// # Errors
    /// A sentence when there are too many, or one is out of bounds; then the old ones stay.
    pub fn replace(&mut self, rules: Vec<Rule>) -> Result<(), String> {
        if rules.len() > RULES_MAX {
            return Err(format!("at most {RULES_MAX} rules, not {}", rules.len()));
        }
        rules.iter().try_for_each(Rule::validate)?;
        self.rules = rules.into();
        Ok(())
    }

    /// The rules that are left.
    pub fn rules(&self) -> Vec<Rule> {
        self.rules.iter().cloned().collect()
    }

    /// Forgets the rules and which payment keys have had their fault.
    pub fn clear(&mut self) {
        self.rules.clear();
        self.spent_keys.clear();
    }

    /// The fault for a call, if any; it counts as applied.
    pub fn take(&mut self, subject: &Subject<'_>) -> Option<Fault> {
        let index = self.rules.iter().position(|rule| rule.matching.covers(subject) && rule.times != Some(0));
        let Some(rule) = index.and_then(|index| self.rules.get_mut(index)) else {
            return self.by_prefix(subject);
        };
        let fault = rule.fault.clone();
        if let Some(times) = &mut rule.times {
            *times -= 1;
        }
        self.rules.retain(|rule| rule.times != Some(0));
        Some(fault)
    }

    /// Prefixes apply to the first confirm of a payment key or payment method, so that a repeat succeeds; `decline_`
    /// to each.
    fn by_prefix(&mut self, subject: &Subject<'_>) -> Option<Fault> {
        if subject.operation != Operation::Confirm {
            return None;
        }
        let key = subject.payment_method.or(subject.payment_key)?;
        if key.starts_with("decline_") {
            return Some(Fault::Decline { code: None });
        }
        let prefixes = [
            ("error_before_", Fault::ErrorBefore { status: 500 }),
            ("error_after_", Fault::ErrorAfter { status: 500 }),
            ("drop_before_", Fault::DropBefore),
            ("drop_after_", Fault::DropAfter),
            ("slow_", Fault::DelayBefore { ms: SLOW_MS }),
        ];
        let (_, fault) = prefixes.into_iter().find(|(prefix, _)| key.starts_with(prefix))?;
        self.spent_keys.insert(key.to_owned()).then_some(fault)
    }
}

impl Match {
    fn covers(&self, subject: &Subject<'_>) -> bool {
        let same =
            |wanted: &Option<String>, given: Option<&str>| wanted.is_none() || wanted.as_deref() == given;
        let operation = match self.operation {
            Some(operation) => operation == subject.operation,
            None => !subject.operation.is_about_messages(),
        };
        operation
            && (same(&self.payment_key, subject.payment_key)
                || same(&self.payment_key, subject.payment_method))
            && same(&self.order_id, subject.order_id)
    }
}

/// How long a POST takes, uniform between two bounds; `none` or `MIN-MAX` in text, in ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    min_ms: u64,
    max_ms: u64,
}

impl Latency {
    /// No added latency.
    pub const NONE: Self = Self { min_ms: 0, max_ms: 0 };

    /// A duration between the bounds.
    pub fn sample(self) -> Duration {
        Duration::from_millis(rand::rng().random_range(self.min_ms..=self.max_ms))
    }
}

impl FromStr for Latency {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" {
            return Ok(Self::NONE);
        }
        let bounds = text.split_once('-').and_then(|(min, max)| Some((min.parse().ok()?, max.parse().ok()?)));
        match bounds {
            Some((min_ms, max_ms)) if min_ms <= max_ms && max_ms <= DELAY_MS_MAX => {
                Ok(Self { min_ms, max_ms })
            }
            _ => Err(format!("a latency is none or MIN-MAX in ms, at most {DELAY_MS_MAX}")),
        }
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NONE { f.write_str("none") } else { write!(f, "{}-{}", self.min_ms, self.max_ms) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn confirm(key: &str) -> Subject<'_> {
        Subject {
            operation: Operation::Confirm,
            payment_key: Some(key),
            payment_method: None,
            order_id: Some("order-1"),
        }
    }

    fn plan(json: &str) -> FaultPlan {
        let mut plan = FaultPlan::default();
        plan.replace(serde_json::from_str(json).unwrap()).unwrap();
        plan
    }

    #[test]
    fn a_rule_applies_once_unless_it_says_otherwise_and_null_means_for_ever() {
        let mut once = plan(r#"[{"fault":{"type":"DropAfter"}}]"#);
        assert_eq!(once.take(&confirm("pk")), Some(Fault::DropAfter));
        assert_eq!(once.take(&confirm("pk")), None);
        let mut twice = plan(r#"[{"fault":{"type":"DropBefore"},"times":2}]"#);
        assert!((0..2).all(|_| twice.take(&confirm("pk")).is_some()));
        assert_eq!(twice.take(&confirm("pk")), None);
        let mut always = plan(r#"[{"fault":{"type":"InProgress409"},"times":null}]"#);
        assert!((0..100).all(|_| always.take(&confirm("pk")).is_some()));
    }

    #[test]
    fn the_first_rule_that_matches_applies_and_the_others_wait() {
        let mut plan = plan(
            r#"[{"match":{"operation":"cancel"},"fault":{"type":"DropAfter"}},
                {"match":{"paymentKey":"other"},"fault":{"type":"DropBefore"}},
                {"match":{"orderId":"order-1"},"fault":{"type":"Delay","ms":5}},
                {"fault":{"type":"ErrorAfter"}}]"#,
        );
        assert_eq!(plan.take(&confirm("pk")), Some(Fault::DelayBefore { ms: 5 }));
        assert_eq!(plan.take(&confirm("pk")), Some(Fault::ErrorAfter { status: 500 }));
        assert_eq!(plan.rules().len(), 2);
    }

    #[test]
    fn a_rule_is_about_messages_only_when_it_names_their_operation() {
        let message = Subject { operation: Operation::Message, payment_key: None, ..confirm("pk") };
        assert_eq!(plan(r#"[{"fault":{"type":"DropAfter"}}]"#).take(&message), None);
        let rule = r#"[{"match":{"operation":"message","orderId":"order-1"},"fault":{"type":"DropAfter"}}]"#;
        assert_eq!(plan(rule).take(&message), Some(Fault::DropAfter));
        assert_eq!(plan(rule).take(&confirm("pk")), None);
    }

    #[test]
    fn a_misspelt_or_immoderate_rule_is_refused_and_the_old_ones_stay() {
        assert!(serde_json::from_str::<Rule>(r#"{"fault":{"type":"DropBefor"}}"#).is_err());
        assert!(
            serde_json::from_str::<Rule>(r#"{"match":{"paymentkey":"x"},"fault":{"type":"DropBefore"}}"#)
                .is_err()
        );
        assert!(serde_json::from_str::<Rule>(r#"{"fault":{"type":"ErrorAfter","code":503}}"#).is_err());
        let mut plan = plan(r#"[{"fault":{"type":"DropAfter"}}]"#);
        assert!(
            plan.replace(vec![Rule::once(Operation::Confirm, Fault::ErrorAfter { status: 200 })]).is_err()
        );
        let endless = Fault::DelayAfter { ms: DELAY_MS_MAX + 1 };
        assert!(plan.replace(vec![Rule::once(Operation::Confirm, endless)]).is_err());
        assert_eq!(plan.rules().len(), 1);
    }

    #[test]
    fn a_prefixed_key_has_its_fault_once_and_a_decline_key_every_time() {
        let mut plan = FaultPlan::default();
        assert_eq!(plan.take(&confirm("drop_after_1")), Some(Fault::DropAfter));
        assert_eq!(plan.take(&confirm("drop_after_1")), None);
        assert_eq!(plan.take(&confirm("slow_1")), Some(Fault::DelayBefore { ms: SLOW_MS }));
        assert!((0..3).all(|_| plan.take(&confirm("decline_1")).is_some()));
        assert_eq!(plan.take(&Subject { operation: Operation::Cancel, ..confirm("error_after_1") }), None);
    }

    #[test]
    fn with_stripe_a_rule_names_the_intent_or_the_payment_method_and_a_prefix_is_that_of_the_method() {
        let stripe = Subject { payment_method: Some("drop_before_pm"), ..confirm("pi_1") };
        for name in ["pi_1", "drop_before_pm"] {
            let rule = format!(r#"[{{"match":{{"paymentKey":"{name}"}},"fault":{{"type":"DropAfter"}}}}]"#);
            assert_eq!(plan(&rule).take(&stripe), Some(Fault::DropAfter), "{name}");
        }
        assert_eq!(FaultPlan::default().take(&stripe), Some(Fault::DropBefore));
        let mut void = plan(r#"[{"match":{"operation":"void"},"fault":{"type":"DropAfter"}}]"#);
        assert_eq!(void.take(&Subject { operation: Operation::Prepare, ..stripe }), None);
        assert_eq!(void.take(&Subject { operation: Operation::Void, ..stripe }), Some(Fault::DropAfter));
    }

    #[test]
    fn a_latency_is_between_its_bounds_and_reads_back_what_it_prints() {
        let latency: Latency = "400-620".parse().unwrap();
        assert!((0..1000).map(|_| latency.sample().as_millis()).all(|ms| (400..=620).contains(&ms)));
        assert_eq!(latency.to_string().parse::<Latency>().unwrap(), latency);
        assert_eq!("none".parse::<Latency>().unwrap().sample(), Duration::ZERO);
        for wrong in ["", "400", "620-400", "1-999999999", "a-b"] {
            assert!(wrong.parse::<Latency>().is_err(), "{wrong}");
        }
    }
}
