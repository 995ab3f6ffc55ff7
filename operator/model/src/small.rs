//! The configurations of the small models: coupons, counts and messages each have a model of their own, next to that of
//! an order's saga, whose states they would multiply.

use std::fmt::{Debug, Write as _};

use stateright::Path;

use crate::counting::{self, Counting};
use crate::redeeming::{self, model::Redeeming};
use crate::runs::{Extent, Report, explore};
use crate::telling::{self, NotificationStatus};

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
    Redeeming(redeeming::Bounds),
    /// Tickets that are counted by their store.
    Counting(counting::Bounds),
    /// Messages about an order.
    NotificationStatus(telling::Bounds),
}

/// Two orders of one customer that race for the last coupon.
pub const COUPON: redeeming::Bounds = redeeming::Bounds {
    orders: 2,
    limit: Some(1),
    per_customer: None,
    undone: 1,
    payments: 2,
    crashes: 1,
    long: false,
    mistake: None,
};

/// The same, of a coupon that is limited per customer too.
pub const OF_CUSTOMER: redeeming::Bounds = redeeming::Bounds { per_customer: Some(1), crashes: 0, ..COUPON };

/// Two tickets of one store.
pub const COUNT: counting::Bounds =
    counting::Bounds { tickets: 2, stores: 1, crashes: 1, long: false, mistake: None };

/// An order and two providers.
pub const TELL: telling::Bounds =
    telling::Bounds { moves: 3, first: true, second: true, crashes: 1, mistake: None };

/// The configurations.
pub const SMALL: &[Small] = &[
    Small { name: "a coupon, two orders, one may be undone", of: Of::Redeeming(COUPON) },
    Small {
        name: "a coupon, two orders that may both be undone, no crash",
        of: Of::Redeeming(redeeming::Bounds { undone: 2, crashes: 0, ..COUPON }),
    },
    Small {
        name: "a coupon, three orders",
        of: Of::Redeeming(redeeming::Bounds { orders: 3, crashes: 0, payments: 1, ..COUPON }),
    },
    Small {
        name: "a coupon limited per customer, two orders",
        of: Of::Redeeming(redeeming::Bounds { limit: Some(2), payments: 1, ..OF_CUSTOMER }),
    },
    Small {
        name: "a coupon limited per customer and in all, two orders, payments made late",
        of: Of::Redeeming(OF_CUSTOMER),
    },
    Small {
        name: "a coupon limited per customer, three orders of two customers that race",
        of: Of::Redeeming(redeeming::Bounds { orders: 3, undone: 0, payments: 1, ..OF_CUSTOMER }),
    },
    Small {
        name: "a coupon with long lists, two orders",
        of: Of::Redeeming(redeeming::Bounds { long: true, crashes: 0, ..COUPON }),
    },
    Small { name: "counts, two tickets, the store is deleted and made anew", of: Of::Counting(COUNT) },
    Small {
        name: "counts with a long list, two tickets",
        of: Of::Counting(counting::Bounds { long: true, ..COUNT }),
    },
    Small {
        name: "counts, three tickets",
        of: Of::Counting(counting::Bounds { tickets: 3, stores: 0, crashes: 0, ..COUNT }),
    },
    Small {
        name: "messages, a provider, two crashes",
        of: Of::NotificationStatus(telling::Bounds { second: false, crashes: 2, ..TELL }),
    },
    Small {
        name: "messages, a provider that comes later, a crash",
        of: Of::NotificationStatus(telling::Bounds { first: false, ..TELL }),
    },
    Small {
        name: "messages, two providers, of which one comes later",
        of: Of::NotificationStatus(telling::Bounds { moves: 2, crashes: 0, ..TELL }),
    },
];

/// Checks the states within the bounds, breadth first.
pub fn check_small(run: Small, extent: Extent) -> Report {
    match run.of {
        Of::Redeeming(bounds) => explore(run.name, &bounds, Redeeming { bounds }, extent, story),
        Of::Counting(bounds) => explore(run.name, &bounds, Counting { bounds }, extent, story),
        Of::NotificationStatus(bounds) => {
            explore(run.name, &bounds, NotificationStatus::new(bounds), extent, story)
        }
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
