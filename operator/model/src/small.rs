//! The configurations of the small models: coupons, counts and messages each have a model of their own, next to that of
//! an order's saga, whose states they would multiply.

use std::fmt::{Debug, Write as _};

use stateright::Path;

use crate::counter::{self, CounterModel};
use crate::coupon::{self, model::CouponModel};
use crate::notification::{self, NotificationModel};
use crate::runs::{Extent, Report, explore};

/// A named configuration.
#[derive(Debug, Clone, Copy)]
pub struct Small {
    /// What it is about.
    pub name: &'static str,
    /// Of which model, within which bounds.
    pub of: Of,
}

/// The small models and their bounds.
#[derive(Debug, Clone, Copy)]
pub enum Of {
    /// Orders that race for a coupon.
    Coupon(coupon::Bounds),
    /// Tickets that are counted by their store.
    Counter(counter::Bounds),
    /// Messages about an order.
    Notification(notification::Bounds),
}

/// Two orders of one customer that race for the last coupon.
pub const COUPON: coupon::Bounds = coupon::Bounds {
    orders: 2,
    limit: Some(1),
    per_customer: None,
    undone: 1,
    payments: 2,
    crashes: 1,
    long: false,
    mutant: None,
};

/// The same, of a coupon that is limited per customer too.
pub const OF_CUSTOMER: coupon::Bounds = coupon::Bounds { per_customer: Some(1), crashes: 0, ..COUPON };

/// Two tickets of one store.
pub const COUNT: counter::Bounds =
    counter::Bounds { tickets: 2, stores: 1, crashes: 1, long: false, mutant: None };

/// An order and two providers.
pub const TELL: notification::Bounds =
    notification::Bounds { moves: 3, first: true, second: true, crashes: 1, mutant: None };

/// The configurations.
pub const SMALL: &[Small] = &[
    Small { name: "a coupon, two orders, one may be undone", of: Of::Coupon(COUPON) },
    Small {
        name: "a coupon, two orders that may both be undone, no crash",
        of: Of::Coupon(coupon::Bounds { undone: 2, crashes: 0, ..COUPON }),
    },
    Small {
        name: "a coupon, three orders",
        of: Of::Coupon(coupon::Bounds { orders: 3, crashes: 0, payments: 1, ..COUPON }),
    },
    Small {
        name: "a coupon limited per customer, two orders",
        of: Of::Coupon(coupon::Bounds { limit: Some(2), payments: 1, ..OF_CUSTOMER }),
    },
    Small {
        name: "a coupon limited per customer and in all, two orders, payments made late",
        of: Of::Coupon(OF_CUSTOMER),
    },
    Small {
        name: "a coupon limited per customer, three orders of two customers that race",
        of: Of::Coupon(coupon::Bounds { orders: 3, undone: 0, payments: 1, ..OF_CUSTOMER }),
    },
    Small {
        name: "a coupon with long lists, two orders",
        of: Of::Coupon(coupon::Bounds { long: true, crashes: 0, ..COUPON }),
    },
    Small { name: "counts, two tickets, the store is deleted and made anew", of: Of::Counter(COUNT) },
    Small {
        name: "counts with a long list, two tickets",
        of: Of::Counter(counter::Bounds { long: true, ..COUNT }),
    },
    Small {
        name: "counts, three tickets",
        of: Of::Counter(counter::Bounds { tickets: 3, stores: 0, crashes: 0, ..COUNT }),
    },
    Small {
        name: "messages, a provider, two crashes",
        of: Of::Notification(notification::Bounds { second: false, crashes: 2, ..TELL }),
    },
    Small {
        name: "messages, a provider that comes later, a crash",
        of: Of::Notification(notification::Bounds { first: false, ..TELL }),
    },
    Small {
        name: "messages, two providers, of which one comes later",
        of: Of::Notification(notification::Bounds { moves: 2, crashes: 0, ..TELL }),
    },
];

/// Checks the states within the bounds, breadth first.
pub fn check_small(run: Small, extent: Extent) -> Report {
    match run.of {
        Of::Coupon(bounds) => explore(run.name, &bounds, CouponModel { bounds }, extent, story),
        Of::Counter(bounds) => explore(run.name, &bounds, CounterModel { bounds }, extent, story),
        Of::Notification(bounds) => explore(run.name, &bounds, NotificationModel::new(bounds), extent, story),
    }
}

/// The way to a state, one event a line, and the state.
fn story<S: Debug, A: Debug>(path: Path<S, A>) -> String {
    let mut text = String::new();
    let steps = path.into_vec();
    for (n, (_, event)) in steps.iter().enumerate() {
        if let Some(event) = event {
            let _ = writeln!(text, "    {:>3} {event:?}", n + 1);
        }
    }
    if let Some((world, _)) = steps.last() {
        let _ = writeln!(text, "        {world:?}");
    }
    text
}
