//! Every reason that the operator gives, in one word each, with a sentence for users and the places where it stands.
//!
//! The word is part of the API: it never changes. Reasons that people and providers bring (why a ticket was refused, a
//! provider's own code) are theirs, and are not listed.

use std::fmt;

/// Where a reason stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// `Order.status.reason`; of an order that is undone, also the reason of its children.
    Order,
    /// The condition `Paid` of an `Order`.
    Paid,
    /// The condition `Settled` of an `Order`.
    Settled,
    /// The condition `Released` of an `Order` that is being deleted.
    Released,
    /// The condition `Notified` of an `Order`.
    Notified,
    /// `Payment.status.reason`.
    Payment,
    /// The condition `Ready` of a `PaymentProvider`.
    PaymentProvider,
    /// The condition `Ready` of a `MessageProvider`.
    MessageProvider,
    /// An Event, and nowhere else.
    Event,
}

impl Place {
    /// The place as a user looks for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Order => "Order: status.reason",
            Self::Paid => "Order: condition Paid",
            Self::Settled => "Order: condition Settled",
            Self::Released => "Order: condition Released",
            Self::Notified => "Order: condition Notified",
            Self::Payment => "Payment: status.reason",
            Self::PaymentProvider => "PaymentProvider: condition Ready",
            Self::MessageProvider => "MessageProvider: condition Ready",
            Self::Event => "Event",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The reasons, each with its sentence as a documentation comment and the places where it stands.
macro_rules! reasons {
    ($($(#[doc = $sentence:literal])+ $variant:ident in [$($place:ident),+]),+ $(,)?) => {
        /// Why something stands where it stands.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $($(#[doc = $sentence])+ $variant,)+
        }

        impl Reason {
            /// Every reason, grouped by what it is about.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word as it stands in the API.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant),)+
                }
            }

            /// What it means, in a sentence for users.
            pub const fn sentence(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($sentence),+).trim_ascii(),)+
                }
            }

            /// Where it stands.
            pub const fn places(self) -> &'static [Place] {
                match self {
                    $(Self::$variant => &[$(Place::$place),+],)+
                }
            }
        }
    };
}

reasons! {
    // What an order waits for before it can be paid.
    /// The store that the order goes to does not exist yet; the order waits for it.
    StoreNotFound in [Order, Paid],
    /// The store is closed; the order waits for it to open.
    StoreClosed in [Order, Paid],
    /// The order names no store, and its customer, who could prefer one, does not exist; the order waits.
    CustomerNotFound in [Order, Paid],
    /// The order names no store, and its customer prefers none; the order waits.
    NoPreferredStore in [Order, Paid],
    /// A dish is not on the store's menu; the order waits for the menu to change.
    UnknownMenuItem in [Order, Paid],
    /// The coupon is being kept for the order, which can be paid right after.
    CouponPending in [Order, Paid],
    /// The payment provider does not exist; the order or its payment waits for it.
    ProviderNotFound in [Order, Paid, Payment],
    /// The children of an earlier order of the same name are still being cleaned up; this order waits.
    NamesakeLingers in [Order],
    /// A person paused the order; its deadline begins anew when it is resumed.
    Paused in [Order],

    // Why an order cannot be priced, and never will.
    /// A dish is not available at the moment.
    MenuItemUnavailable in [Order],
    /// A quantity is not positive.
    BadQuantity in [Order],
    /// A dish has no such option.
    UnknownOption in [Order],
    /// The order comes to less than the store delivers for.
    BelowMinimum in [Order],
    /// The order comes to more than can be charged.
    TotalTooLarge in [Order],
    /// The order does not come to the total that the customer expects.
    TotalMismatch in [Order],
    /// The order comes to more now than when it was first priced.
    PriceRisen in [Order],
    /// There is no such coupon.
    CouponNotFound in [Order],
    /// The coupon was not valid yet when the order was placed.
    CouponNotYetValid in [Order],
    /// The coupon had expired when the order was placed.
    CouponExpired in [Order],
    /// The dishes come to less than the coupon asks for.
    CouponBelowMinimum in [Order],
    /// The coupon has been redeemed as often as it can be.
    CouponExhausted in [Order],
    /// The customer has redeemed the coupon as often as one customer can.
    CouponUsedUp in [Order],

    // Why an order is undone, or a cancel refused.
    /// The customer cancelled the order.
    CancelledByCustomer in [Order],
    /// The order was deleted before cooking began.
    OrderDeleted in [Order],
    /// The namespace is being deleted; all that is open is undone.
    NamespaceTerminating in [Order],
    /// Cooking has started, or the order is completed: it can no longer be cancelled.
    CancelRefused in [Order],
    /// The store refused the order; its money goes back.
    RejectedByStore in [Order],
    /// The store did not answer in time.
    StoreDidNotAnswer in [Order],
    /// The ticket was taken from the store's queue.
    TicketCancelled in [Order],
    /// The store's ticket no longer exists.
    TicketLost in [Order],
    /// Cooking did not begin, or did not end, in time.
    CookingTimedOut in [Order],
    /// No rider took the delivery in time.
    NoRider in [Order],
    /// No rider brought the food.
    DeliveryCancelled in [Order],
    /// The delivery no longer exists.
    DeliveryLost in [Order],
    /// The rider reported that the food did not arrive.
    DeliveryFailed in [Order],
    /// The food did not arrive in time.
    DeliveryTimedOut in [Order],
    /// The order could not be paid in time.
    PaymentTimedOut in [Order],
    /// The payment was given back, by somebody other than the order.
    PaymentReturned in [Order],
    /// The order was undone.
    Undone in [Paid],

    // The conditions of an order.
    /// The money is in.
    Captured in [Paid],
    /// The order is completed and the money is the store's.
    MoneyCaptured in [Settled],
    /// The money is being given back.
    MoneyOnItsWay in [Settled],
    /// All money was given back, or none was taken.
    MoneyReturned in [Settled],
    /// The payment needs a person to look at it.
    PaymentNeedsReview in [Settled],
    /// A count does not keep the order yet, so that it would be lost; its deletion waits for that.
    NotCountedYet in [Released],
    /// The coupon has not recorded yet that it was redeemed, or given back; the deletion waits for that.
    CouponNotSettled in [Released],
    /// The customer has not been sent every message yet; the deletion waits for that.
    MessagesOwed in [Released],
    /// Every message was delivered.
    Told in [Notified],
    /// The customer has left no telephone number.
    NoContact in [Notified],
    /// The message provider refused a message for good.
    MessageRefused in [Notified],
    /// Messages wait for their provider.
    MessagesWait in [Notified],

    // What a payment waits for, or was found to be.
    /// The payment provider cannot be reached, or its circuit is open; payment is tried again later.
    ProviderUnavailable in [Payment, Order, Paid],
    /// The payment provider asks for patience.
    ProviderThrottles in [Payment, Order, Paid],
    /// The payment provider does not accept the credential.
    ProviderRefusesCredentials in [Payment, Order, Paid],
    /// The provider has not told yet what became of the money; it is asked again.
    OutcomeUnknown in [Payment, Order, Paid],
    /// The Secret with the customer's payment token, or the token in it, is missing.
    TokenSecretMissing in [Payment, Order, Paid],
    /// The operator may not read the Secret with the customer's payment token.
    TokenSecretForbidden in [Payment, Order, Paid],
    /// The payment provider refused the charge, finally.
    PaymentDeclined in [Payment, Order, Paid],
    /// A person resolved the payment.
    ResolvedByHand in [Payment],

    // Why a payment needs a person to look at it.
    /// The provider answered with another payment than the one that was asked about.
    PaymentMismatch in [Payment],
    /// The provider took another sum than was due.
    AmountMismatch in [Payment],
    /// The payment was refunded at the provider, not by an order.
    RefundedElsewhere in [Payment],
    /// The provider, its credential or the lifetime of the idempotency key changed during a charge, and the provider
    /// knows no such payment.
    OutcomeUnknowable in [Payment],
    /// The provider does not know the payment that it had prepared.
    PaymentNotFound in [Payment],
    /// The provider had dealt with the checkout before the order was charged.
    CheckoutUsedBefore in [Payment],
    /// The provider refused the refund.
    RefundRefused in [Payment],
    /// The provider says both that the payment was refunded and that it was not.
    RefundUnclear in [Payment],
    /// The provider gave back more than was captured.
    RefundMismatch in [Payment],
    /// The provider gave back less than was captured.
    RefundIncomplete in [Payment],

    // Whether a provider can be called.
    /// The provider is configured and can be called.
    Configured in [PaymentProvider, MessageProvider],
    /// This version of the operator has no adapter for the provider.
    ProviderUnsupported in [PaymentProvider, MessageProvider, Payment, Order, Paid],
    /// The provider's configuration cannot be used.
    ProviderMisconfigured in [PaymentProvider, MessageProvider, Payment, Order, Paid],
    /// The Secret with the provider's credential, or the key in it, is missing.
    ProviderSecretMissing in [PaymentProvider, MessageProvider, Payment, Order, Paid],
    /// The operator may not read the Secret with the provider's credential.
    ProviderSecretForbidden in [PaymentProvider, MessageProvider, Payment, Order, Paid],

    // What only an Event tells.
    /// The circuit to the provider opened: it failed or was slow too often.
    CircuitOpen in [Event],
    /// The rider carries as many deliveries as they can; the claim was released.
    RiderAtCapacity in [Event],
    /// The object cannot be read by this version of the operator; it is left alone.
    Malformed in [Event],
}

impl Reason {
    /// Reads a word; `None` for one that is not the operator's own.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == word)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl AsRef<str> for Reason {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        reason.as_str().to_owned()
    }
}

impl PartialEq<Reason> for str {
    fn eq(&self, reason: &Reason) -> bool {
        self == reason.as_str()
    }
}

impl PartialEq<Reason> for String {
    fn eq(&self, reason: &Reason) -> bool {
        self == reason.as_str()
    }
}

impl PartialEq<&str> for Reason {
    fn eq(&self, word: &&str) -> bool {
        self.as_str() == *word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_one_word_that_reads_back_as_itself() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(*reason));
            assert!(reason.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric()), "{reason}");
        }
        assert_eq!(Reason::parse("SoldOut"), None, "a store's own");
    }

    #[test]
    fn every_reason_has_a_sentence_and_stands_somewhere() {
        for reason in Reason::ALL {
            let sentence = reason.sentence();
            assert!(sentence.ends_with('.') && !sentence.contains("  "), "{reason}: {sentence:?}");
            assert!(sentence.starts_with(char::is_uppercase), "{reason}: {sentence:?}");
            assert!(!reason.places().is_empty(), "{reason}");
        }
    }
}
