//! The kinds that the oracle sees, and the promises that go beyond what holds for every kind.

use fooddelivery_api::for_each_kind;

macro_rules! kinds {
    ($($kind:ident: $cache:ident, $plural:literal, $scope:ident, { $($facts:tt)* };)+) => {
        /// The kinds: all there are. What holds for each (its caches are what there is, whatever was missed is made up for)
        /// follows from its row.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Kind {
            $(
                #[doc = $plural]
                $kind,
            )+
        }

        /// The kinds by plural.
        pub(super) const KINDS: &[(Kind, &str)] = &[$((Kind::$kind, $plural)),+];
    };
}

for_each_kind!(kinds);

/// Which promises of its own a kind makes: those in [`super::steps`], [`super::counts`] and [`super::ends`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Promises {
    /// Of an order.
    Order,
    /// Of an order's payment.
    Payment,
    /// Of an order's ticket.
    Ticket,
    /// Of an order's delivery.
    Delivery,
    /// Of a store, which counts what is cooked.
    Store,
    /// Of a rider, who counts what is brought.
    Rider,
    /// Of a coupon, which counts who holds it.
    Coupon,
    /// Of a customer's use of a coupon, which counts the same.
    CouponUse,
    /// None.
    Nothing,
}

impl Kind {
    /// The promises that are looked at where objects of the kind change. A new kind has to say.
    pub(super) fn promises(self) -> Promises {
        match self {
            Self::Order => Promises::Order,
            Self::Payment => Promises::Payment,
            Self::Ticket => Promises::Ticket,
            Self::Delivery => Promises::Delivery,
            Self::Store => Promises::Store,
            Self::Rider => Promises::Rider,
            Self::Coupon => Promises::Coupon,
            Self::CouponUse => Promises::CouponUse,
            Self::Customer | Self::PaymentProvider | Self::MessageProvider => Promises::Nothing,
        }
    }

    /// Whether its objects count orders.
    pub(super) fn counts(self) -> bool {
        match self.promises() {
            Promises::Store | Promises::Rider | Promises::Coupon | Promises::CouponUse => true,
            Promises::Order
            | Promises::Payment
            | Promises::Ticket
            | Promises::Delivery
            | Promises::Nothing => false,
        }
    }
}
