//! The closed vocabularies: phases, stages, verdicts. Each has a catch-all for words that a newer version may write.
//!
//! An unknown word is read as `Unknown`, means "hands off", and is never written.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! open_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$vmeta])* $variant,)+
            /// A word from another version of the operator: nothing is done with the object that carries it.
            Unknown,
        }

        impl $name {
            /// Every word that this version knows, in the order of the happy path.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word as it stands in the API.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant),)+
                    Self::Unknown => "Unknown",
                }
            }

            /// Reads a word; one that this version does not know gives `Unknown`.
            pub fn parse(word: &str) -> Self {
                Self::ALL.iter().copied().find(|w| w.as_str() == word).unwrap_or(Self::Unknown)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if *self == Self::Unknown {
                    return Err(serde::ser::Error::custom(concat!(
                        "a ", stringify!($name), " that this version does not know is never written"
                    )));
                }
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Cow::<'de, str>::deserialize(deserializer).map(|word| Self::parse(&word))
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let words: Vec<&str> = Self::ALL.iter().map(|w| w.as_str()).collect();
                json_schema!({ "type": "string", "enum": words })
            }
        }
    };
}

open_enum! {
    /// Where an order stands. The last four words end or undo it.
    OrderPhase {
        /// Nothing is paid yet; also while references are missing.
        AwaitingPayment,
        /// The provider cannot be reached; payment is tried again later.
        PaymentDeferred,
        /// Paid; the store has not answered yet.
        AwaitingStore,
        /// The store took the order.
        Accepted,
        /// The store is cooking: from here on a cancel is refused.
        Cooking,
        /// Cooked; no rider yet.
        AwaitingRider,
        /// A rider took the delivery.
        RiderAssigned,
        /// The rider has the food.
        PickedUp,
        /// The food is with the customer.
        Delivered,
        /// The customer confirmed, or time did.
        Completed,
        /// Being undone: the money is on its way back.
        Cancelling,
        /// Undone, and the money is back.
        Cancelled,
        /// The store said no; the money goes back.
        Rejected,
        /// The money could not be had.
        PaymentFailed,
    }
}

open_enum! {
    /// Where the money of an order stands.
    PaymentPhase {
        /// Not captured; with `attempt` ≥ 1 a charge may be on its way.
        Pending,
        /// The provider was out of reach; tried again at `nextAttemptAt`.
        Deferred,
        /// The money is in.
        Captured,
        /// The provider refused, finally.
        Declined,
        /// The money is going back.
        Refunding,
        /// The money is back.
        Refunded,
        /// A charge that may be on its way is being made impossible.
        Voiding,
        /// No money moved and none can.
        Voided,
        /// The provider and the record disagree in a way that only a person can resolve.
        NeedsReview,
    }
}

open_enum! {
    /// What the order wants of its payment.
    PaymentDesired {
        /// Take the money.
        Captured,
        /// Give it back, or see to it that it is never taken.
        Refunded,
    }
}

open_enum! {
    /// What a person found out about a payment that needs review, by looking at the provider.
    Resolution {
        /// Ask the provider again, as it is configured now; calls may be repeated there.
        Retry,
        /// The whole total was taken, and is still there.
        Captured,
        /// The money went back, in whole.
        Refunded,
        /// No money was taken, and none will be.
        NotCharged,
    }
}

open_enum! {
    /// How far the store is with a ticket.
    TicketStage {
        /// In the store's queue.
        Pending,
        /// The store took it.
        Accepted,
        /// The store refused it.
        Rejected,
        /// On the stove.
        Cooking,
        /// Ready for a rider.
        Cooked,
        /// Operator only: the order was cancelled before cooking.
        Cancelled,
        /// Operator only: cooking did not end in time.
        Abandoned,
    }
}

open_enum! {
    /// How far a delivery is.
    DeliveryStage {
        /// Cooked food waits for its rider.
        Waiting,
        /// The rider has it.
        PickedUp,
        /// It arrived.
        Delivered,
        /// It did not arrive.
        Failed,
        /// Operator only: the order was undone before a rider had it.
        Cancelled,
    }
}

open_enum! {
    /// What became of a request to cancel.
    CancellationVerdict {
        /// The order is undone.
        Accepted,
        /// Cooking had started, or the order had ended: it goes on unharmed.
        Refused,
    }
}

open_enum! {
    /// What an order wants when the provider is out of reach.
    WhenUnavailable {
        /// Pay later.
        Defer,
        /// Fail at once.
        Fail,
    }
}

open_enum! {
    /// How a store takes tickets.
    Acceptance {
        /// A person moves the ticket to Accepted.
        Manual,
        /// The operator does so on the store's behalf.
        Automatic,
    }
}

open_enum! {
    /// Whether calls to a provider are let through.
    CircuitState {
        /// They are.
        Closed,
        /// A few are, on trial.
        HalfOpen,
        /// None is: it failed or was slow too often.
        Open,
    }
}

impl OrderPhase {
    /// Whether the order has ended: such a phase never changes again.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Rejected | Self::PaymentFailed)
    }
}

impl PaymentPhase {
    /// Whether no money is on its way in either direction and none will be.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Declined | Self::Refunded | Self::Voided)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back_as_itself() {
        for phase in OrderPhase::ALL {
            assert_eq!(OrderPhase::parse(phase.as_str()), *phase);
        }
    }

    #[test]
    fn a_word_of_another_version_is_unknown() {
        assert_eq!(TicketStage::parse("Plated"), TicketStage::Unknown);
    }
}
