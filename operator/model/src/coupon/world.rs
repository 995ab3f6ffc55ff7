//! A state: the counts, the orders and their payments, and what the replicas are about to do.

use fooddelivery_saga::coupon::{RedemptionRecord, RedemptionState};
use fooddelivery_saga::phases::{PaymentDesired, PaymentPhase};
use fooddelivery_saga::redemption::{PaymentSeen, standing};

use super::{Bounds, Mutant};
use crate::snapshot::{ORDERS, Set, Snapshot, bit, has};

/// Number of customers.
pub const CUSTOMERS: usize = 2;

/// Whose an order is.
pub fn customer(order: usize) -> usize {
    usize::from(order + 1 == ORDERS)
}

/// A coupon's redemptions; the lists as sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Counts {
    /// How many hold it.
    pub redeemed: i8,
    /// Orders that one is kept for.
    pub kept: Set,
    /// Orders that gave it back.
    pub releasing: Set,
}

impl Counts {
    /// How many can be had no more.
    pub fn taken(&self) -> i64 {
        i64::from(self.redeemed) + i64::from(self.kept.count_ones())
    }
}

/// Where an order stands, as far as its coupon goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Standing {
    /// It is on its way.
    #[default]
    Open,
    /// It has ended with the food delivered.
    Completed,
    /// It was undone.
    Undone,
    /// It is gone.
    Gone,
}

/// An order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Order {
    /// Where it stands.
    pub standing: Standing,
    /// Whether it ended with the food delivered; also when it is gone.
    pub completed: bool,
    /// Whether the customer wants it cancelled.
    pub cancel: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// A payment with the coupon was sent, and may arrive at any later time.
    pub sent: bool,
    /// The same of a tombstone.
    pub sent_tombstone: bool,
    /// Number of payments made so far.
    pub made: u8,
    /// A replica has found that nothing is owed, and is to delete the payment.
    pub drops: bool,
    /// A replica has seen that no payment is left, and is to let the order go.
    pub lets_go: bool,
    /// It has held the coupon, or given it back, and any cache may still say so.
    pub held: bool,
    /// The same of giving back.
    pub gave: bool,
    /// How often it is in the counts: kept by the model only, to compare.
    pub counted: i8,
}

impl Order {
    /// Whether it wants to be paid.
    pub fn wants(&self) -> bool {
        self.standing == Standing::Open && !self.cancel && !self.deleting
    }

    /// Whether it has ended and is there.
    pub fn has_ended(&self) -> bool {
        matches!(self.standing, Standing::Completed | Standing::Undone)
    }
}

/// A payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Payment {
    /// Whether it carries the coupon. Tombstones do not.
    pub coupon: bool,
    /// Whether it says that the coupon was given back.
    pub returned: bool,
    /// Where the money stands. One that is undone has its money back at once, as that is the same to the coupon.
    pub phase: PaymentPhase,
}

/// Where a reconcile stands: what the replica does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Nothing: it has taken its copy of one kind of counts (the customers', if so), and is to take the other.
    Take(bool),
    /// Nothing: it reads this order, or has read all.
    Read(u8),
    /// This customer's counts.
    Own(u8),
    /// The coupon's.
    Coupon,
    /// The payment of this order, which is to say that the coupon was given back.
    Mark(u8),
    /// Nothing: a decision broke a rule of its machine.
    Halted,
}

/// A reconcile of the coupon controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReconcileState {
    /// What is next.
    pub stage: Stage,
    /// The coupon's counts, as they were, and then as they were written.
    pub coupon: Snapshot<Counts>,
    /// The customers' counts.
    pub own: [Snapshot<Counts>; CUSTOMERS],
    /// How it stands with the orders that are settled.
    pub holders: [Option<RedemptionState>; ORDERS],
    /// Orders that are still to be read.
    pub unread: Set,
    /// Orders whose payment nobody has written since it was read.
    pub fresh: Set,
}

impl ReconcileState {
    /// Whether no write of it can go through any more.
    fn is_in_vain(&self, bounds: &Bounds) -> bool {
        let own = match self.stage {
            Stage::Mark(_) | Stage::Take(_) | Stage::Halted => return false,
            Stage::Own(of) => self.own.get(usize::from(of)).is_some_and(|own| own.current),
            Stage::Read(_) => bounds.per_customer.is_some() && self.own.iter().any(|own| own.current),
            Stage::Coupon => false,
        };
        let all = self.coupon.current && !matches!(self.stage, Stage::Own(_));
        !own && !all && bounds.mutant != Some(Mutant::BlindCounts)
    }

    /// Without what makes no difference any more.
    fn canonical(mut self, bounds: &Bounds) -> Self {
        let gives = |holder: &Option<RedemptionState>| *holder == Some(RedemptionState::Releasing);
        let giving: Set = (0..ORDERS).filter(|o| self.holders.get(*o).is_some_and(gives)).map(bit).sum();
        self.fresh &= giving;
        let written = bounds.mutant != Some(Mutant::MarkFirst);
        if matches!(self.stage, Stage::Mark(_)) && written {
            for holder in self.holders.iter_mut().filter(|holder| !gives(holder)) {
                *holder = None;
            }
            for snapshot in self.own.iter_mut().chain([&mut self.coupon]) {
                let releasing = snapshot.value.releasing & giving;
                *snapshot = Snapshot::of(Counts { releasing, ..Counts::default() });
            }
        }
        self
    }
}

/// A write by a replica that has crashed since, still in transit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LateWrite {
    /// The customer whose counts it is for, or the coupon's.
    pub customer: Option<u8>,
    /// Whether it goes through when it arrives.
    pub current: bool,
    /// What it says.
    pub counts: Counts,
    /// How it changes how often the orders are in the counts.
    pub change: [i8; ORDERS],
}

/// Everything that is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct World {
    /// The coupon's counts.
    pub coupon: Counts,
    /// The customers' counts.
    pub own: [Counts; CUSTOMERS],
    /// The orders.
    pub orders: [Order; ORDERS],
    /// Their payments.
    pub payments: [Option<Payment>; ORDERS],
    /// The reconciles of the two replicas.
    pub reconciles: [Option<ReconcileState>; 2],
    /// A write that is still in transit.
    pub late_write: Option<LateWrite>,
    /// Number of crashes so far.
    pub crashes: u8,
    /// A payment began with a coupon that was not kept.
    pub unkept: bool,
    /// A decision broke a rule of its machine, and was not carried out.
    pub halted: bool,
}

impl World {
    /// How it stands with an order, read live.
    pub fn holder(&self, bounds: &Bounds, order: usize) -> RedemptionState {
        let (Some(state), Some(payment)) = (self.orders.get(order), self.payments.get(order)) else {
            return RedemptionState::None;
        };
        let seen = match *payment {
            None => PaymentSeen::Absent,
            Some(payment) if payment.coupon => PaymentSeen::Carries(carrier(bounds, payment)),
            Some(_) => PaymentSeen::Without,
        };
        standing(state.standing != Standing::Gone, seen, || state.wants())
    }

    /// Whether an order's payment has to stay for the counts.
    pub fn blocks_deletion(&self, bounds: &Bounds, order: usize) -> bool {
        let Some(payment) = self.payments.get(order).and_then(|p| *p).filter(|p| p.coupon) else {
            return false;
        };
        let own = self.own.get(customer(order)).is_some_and(|own| has(own.kept, order));
        let kept = has(self.coupon.kept, order) || (bounds.per_customer.is_some() && own);
        bounds.mutant != Some(Mutant::OwesNothing)
            && RedemptionState::of(carrier(bounds, payment)).blocks_deletion(kept)
    }

    /// Brings the state into the one form that stands for all that behave alike.
    #[must_use]
    pub fn canonical(mut self, bounds: &Bounds) -> Self {
        for slot in &mut self.reconciles {
            *slot = slot
                .filter(|reconcile| !reconcile.is_in_vain(bounds))
                .map(|reconcile| reconcile.canonical(bounds));
        }
        self.reconciles.sort_unstable();
        self
    }
}

fn carrier(bounds: &Bounds, payment: Payment) -> RedemptionRecord {
    let unbegun = matches!(payment.phase, PaymentPhase::Pending | PaymentPhase::Voided);
    let begun = !unbegun || bounds.mutant == Some(Mutant::CountsUnbegun);
    let desired = if payment.phase.is_over() && payment.phase != PaymentPhase::Declined {
        PaymentDesired::Refunded
    } else {
        PaymentDesired::Captured
    };
    RedemptionRecord { returned: payment.returned, desired, phase: payment.phase, attempt: i64::from(begun) }
}
