//! Shapes that several kinds share.

use std::borrow::Cow;
use std::fmt;

use fooddelivery_saga::time::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time: RFC 3339 in UTC, to the millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub Timestamp);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0.0) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => f.write_str("1970-01-01T00:00:00Z"),
        }
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let time = jiff::Timestamp::deserialize(deserializer)?;
        Ok(Self(Timestamp(time.as_millisecond())))
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

/// A payment token. It is kept out of logs: its `Debug` shows nothing.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct TokenText(#[schemars(length(min = 1, max = 300))] pub String);

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Reference to another object by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NameRef {
    /// Name of the object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Reference to the order that an object belongs to. The uid tells it from an earlier order of the same name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderRef {
    /// Name of the order.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Uid of the order: the correlation id of everything that belongs to it.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
}

/// Reference to a store by name and uid.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoreRef {
    /// Name of the store.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Uid of the store; empty when none was ever known.
    #[schemars(length(max = 64))]
    pub uid: String,
}

/// An item of an order: a dish, the number of portions, and its options.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// Name of the dish on the store's menu.
    #[schemars(length(min = 1, max = 63))]
    pub menu_item: String,
    /// Number of portions.
    #[schemars(range(min = 1, max = 99))]
    pub quantity: i64,
    /// Names of the options chosen, each at most once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub options: Vec<String>,
}

/// Whether a number need not be written.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
pub(crate) fn is_zero(n: &i64) -> bool {
    *n == 0
}

/// A condition, for `kubectl wait`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Type of the condition, such as `Ready`.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 63))]
    pub type_: String,
    /// Status of the condition: `True`, `False` or `Unknown`.
    #[schemars(length(min = 1, max = 7))]
    pub status: String,
    /// Machine-readable reason, in one word.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub reason: String,
    /// Human-readable explanation, in a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub message: String,
    /// Time of the last change of `status`.
    pub last_transition_time: Time,
}

impl Condition {
    /// A condition as it is said now: it keeps the time of that in `known` until it turns.
    pub fn said(
        known: &[Self],
        type_: &str,
        holds: bool,
        reason: &str,
        message: String,
        now: Timestamp,
    ) -> Self {
        let status = if holds { "True" } else { "False" };
        let same = known.iter().find(|c| c.type_ == type_ && c.status == status);
        Self {
            type_: type_.into(),
            status: status.into(),
            reason: reason.into(),
            message,
            last_transition_time: same.map_or(Time(now), |c| c.last_transition_time),
        }
    }
}
