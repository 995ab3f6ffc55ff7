//! A state of the model: what the API server has, what each replica believes and is about to do, and the money.

use fooddelivery_saga::phases::OrderPhase;

use crate::bank::Bank;
use crate::children::{DeliveryFlight, TicketFlight};
use crate::cluster::{Cache, Chain};
use crate::objects::{Delivery, Order, Payment, Ticket};
use crate::order::OrderFlight;
use crate::payment::Visit;

/// Everything that is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    /// The order's versions.
    pub orders: Chain<Order>,
    /// The payment's versions.
    pub payments: Chain<Payment>,
    /// The ticket's versions.
    pub tickets: Chain<Ticket>,
    /// The delivery's versions.
    pub deliveries: Chain<Delivery>,
    /// The operator's replicas.
    pub replicas: Vec<Replica>,
    /// The provider.
    pub bank: Bank,
    /// Time: every deadline that began in an earlier epoch has passed.
    pub epoch: u8,
    /// Whether a watch brings every version, or may skip to the newest.
    pub every_version: bool,
    /// How much of the bounds is used up.
    pub spent: Spent,
    /// How many were created: payments, tickets, deliveries.
    pub created: [u8; 3],
    /// Whether a ticket was put into the store's queue.
    pub queued: bool,
    /// What went wrong on the way here.
    pub flaws: Flaws,
    /// The phase in which the order ended, once it has.
    pub ended_as: Option<OrderPhase>,
}

/// What happened so often that it happens no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Spent {
    /// Calls to the provider that went wrong.
    pub faults: u8,
    /// Replicas that crashed.
    pub crashes: u8,
    /// Claims by riders.
    pub claims: u8,
}

/// What must never happen; seen when it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flaws {
    /// A CEL rule refused what was decided on fresh data.
    pub illegal_step: bool,
    /// A ticket was put into the store's queue without money for it.
    pub unpaid_ticket: bool,
    /// A ticket was put into the store's queue for an order that had one before.
    pub second_ticket: bool,
    /// The order was let go with a child left, or with money that is not where it belongs.
    pub left_behind: bool,
    /// A payment was let go with money that is on its way.
    pub payment_lost: bool,
    /// A terminal phase or a verdict changed.
    pub end_changed: bool,
}

/// One replica of the operator. Its caches are shared by its controllers; each controller has at most one step that is
/// decided and not carried out yet.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Replica {
    /// Its copy of the order.
    pub orders: Cache,
    /// Its copy of the payment.
    pub payments: Cache,
    /// Its copy of the ticket.
    pub tickets: Cache,
    /// Its copy of the delivery.
    pub deliveries: Cache,
    /// The epoch since which it has been watching.
    pub since: u8,
    /// What its order controller is about to do.
    pub order: Option<OrderFlight>,
    /// What its payment controller is about to do.
    pub payment: Option<Visit>,
    /// What its ticket controller is about to do.
    pub ticket: Option<TicketFlight>,
    /// What its delivery controller is about to do.
    pub delivery: Option<DeliveryFlight>,
}

impl Replica {
    /// How many of its steps are decided and not carried out.
    pub fn in_flight(&self) -> usize {
        let Self { order, payment, ticket, delivery, .. } = self;
        usize::from(order.is_some())
            + usize::from(payment.is_some())
            + usize::from(ticket.is_some())
            + usize::from(delivery.is_some())
    }
}

impl World {
    /// An order that was just applied and that every replica has seen.
    pub fn new(replicas: usize, every_version: bool) -> Self {
        let seen = Replica { orders: Cache { held: Some(0), watched: 0 }, ..Replica::default() };
        Self {
            orders: Chain(vec![Some(Order::new())]),
            payments: Chain(vec![None]),
            tickets: Chain(vec![None]),
            deliveries: Chain(vec![None]),
            replicas: vec![seen; replicas],
            bank: Bank::default(),
            epoch: 0,
            every_version,
            spent: Spent::default(),
            created: [0; 3],
            queued: false,
            flaws: Flaws::default(),
            ended_as: None,
        }
    }

    /// How many steps are decided and not carried out, over all replicas.
    pub fn in_flight(&self) -> usize {
        self.replicas.iter().map(Replica::in_flight).sum()
    }

    /// Whether every cache shows what is.
    pub fn is_seen(&self) -> bool {
        (0..self.replicas.len()).all(|r| {
            !self.lags::<Order>(r)
                && !self.lags::<Payment>(r)
                && !self.lags::<Ticket>(r)
                && !self.lags::<Delivery>(r)
        })
    }

    /// Whether the order is gone, or has ended and is being deleted.
    pub fn is_leaving(&self) -> bool {
        self.live::<Order>().is_none_or(|order| order.phase.is_terminal() && order.deleting)
    }

    /// A replica starts anew: it lists what is there, and knows nothing else.
    pub fn restart(&mut self, replica: usize) {
        if let Some(slot) = self.replicas.get_mut(replica) {
            *slot = Replica { since: self.epoch, ..Replica::default() };
        }
        self.list::<Order>(replica);
        self.list::<Payment>(replica);
        self.list::<Ticket>(replica);
        self.list::<Delivery>(replica);
    }

    fn list<K: crate::cluster::Kind>(&mut self, replica: usize) {
        self.refresh::<K>(replica);
        let last = K::chain(self).last().0;
        if let Some(slot) = self.replicas.get_mut(replica) {
            K::cache_mut(slot).watched = last;
        }
    }

    /// Brings the state into the one form that stands for all that behave alike.
    #[must_use]
    pub fn canonical(mut self) -> Self {
        if let Some(order) = self.live::<Order>()
            && order.phase.is_terminal()
        {
            if self.ended_as.is_some_and(|ended| ended != order.phase) {
                self.flaws.end_changed = true;
            }
            self.ended_as = Some(order.phase);
        }
        self.tidy::<Order>();
        self.tidy::<Payment>();
        self.tidy::<Ticket>();
        self.tidy::<Delivery>();
        self
    }
}
