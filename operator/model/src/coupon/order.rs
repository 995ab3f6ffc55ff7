//! Orders and their payments, as far as the coupon goes. What each controller decides is the big model's matter: here
//! every step may be taken that a controller, a person or the provider can take on what is there, whether or not it would
//! be decided now. So nothing of their decisions is transcribed but the conditions under which a step is possible at all.

use fooddelivery_saga::phases::PaymentPhase;

use super::world::{Payment, Standing, World, customer};
use super::{Bounds, Mutant};
use crate::snapshot::has;

/// A step on an order or its payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// The customer wants it cancelled.
    Cancel,
    /// It is deleted.
    Delete,
    /// A payment with the coupon is sent: it was read live that one is kept.
    Send,
    /// A tombstone is sent: the order is to be undone, or the coupon was exhausted.
    SendTombstone,
    /// The payment with the coupon arrives.
    Arrive,
    /// The tombstone arrives.
    ArriveTombstone,
    /// The intent to charge is recorded, for an order that was read when it wanted to be paid; the money comes.
    Begin,
    /// The same, and the provider refuses.
    Decline,
    /// The money is wanted no more: it goes back, or can never be taken.
    WantBack,
    /// The order's status says that it has ended.
    End,
    /// It is found that nothing is owed: the payment may go.
    Drop,
    /// The payment goes.
    Dropped,
    /// No payment is left.
    LookForPayment,
    /// The order is let go.
    LetGo,
}

/// What may happen without anybody's help, in the order in which it does in fair weather.
pub const OWN: &[Step] = &[
    Step::WantBack,
    Step::Begin,
    Step::SendTombstone,
    Step::ArriveTombstone,
    Step::Send,
    Step::Arrive,
    Step::End,
    Step::Drop,
    Step::Dropped,
    Step::LookForPayment,
    Step::LetGo,
];

/// What people and the provider may do besides.
pub const OTHERS: &[Step] = &[Step::Cancel, Step::Delete, Step::Decline];

fn is_reserved(world: &World, order: usize) -> bool {
    has(world.coupon.kept, order)
}

/// As the controller's `hold`, when it refuses.
fn is_exhausted(world: &World, bounds: &Bounds, order: usize) -> bool {
    let all = bounds.limit.is_some_and(|limit| world.coupon.taken() >= limit);
    let own = world.own.get(customer(order)).is_some_and(|own| {
        bounds.per_customer.is_some_and(|limit| own.taken() >= limit) && !has(own.kept, order)
    });
    !is_reserved(world, order) && (all || own)
}

/// Whether a step may be taken.
pub fn may(world: &World, bounds: &Bounds, order: usize, step: Step) -> bool {
    let (Some(state), Some(payment)) = (world.orders.get(order), world.payments.get(order)) else {
        return false;
    };
    let open = state.standing == Standing::Open;
    let leaving = state.has_ended() && state.deleting;
    let more = state.made < bounds.payments;
    match (step, *payment) {
        (Step::Cancel, _) => state.wants() && order < bounds.undone,
        (Step::Delete, _) => !state.deleting && state.standing != Standing::Gone && order < bounds.undone,
        (Step::Send, None) => {
            let kept = is_reserved(world, order) || bounds.mutant == Some(Mutant::PaidUnkept);
            !state.sent && state.wants() && kept
        }
        (Step::SendTombstone, None) => {
            !state.sent_tombstone && open && (!state.wants() || is_exhausted(world, bounds, order))
        }
        (Step::Arrive, None) => state.sent && more,
        (Step::ArriveTombstone, None) => state.sent_tombstone && more,
        (Step::LookForPayment, None) => leaving && !state.lets_go,
        (Step::LetGo, _) => state.lets_go && state.standing != Standing::Gone,
        (Step::Begin, Some(p)) => pending(p) && open,
        (Step::Decline, Some(p)) => pending(p) && open && order < bounds.undone,
        (Step::WantBack, Some(p)) => {
            let undone = matches!(state.standing, Standing::Undone | Standing::Gone);
            let late = state.standing == Standing::Completed && pending(p);
            !p.phase.is_over() && (undone || late || (open && !state.wants()))
        }
        (Step::End, Some(p)) => {
            let done = p.phase == PaymentPhase::Captured && state.wants();
            open && (p.phase.is_over() || done)
        }
        (Step::Drop, Some(p)) => {
            let settled = p.phase.is_over() || state.standing == Standing::Completed;
            leaving && settled && !state.drops && !world.blocks_deletion(bounds, order)
        }
        // One whose order is gone goes when no money is on its way.
        (Step::Dropped, Some(p)) => state.drops || (state.standing == Standing::Gone && p.phase.is_over()),
        _ => false,
    }
}

fn pending(payment: Payment) -> bool {
    payment.phase == PaymentPhase::Pending
}

/// Takes a step.
pub fn take(world: &mut World, order: usize, step: Step) {
    let kept = is_reserved(world, order);
    let (Some(state), Some(slot)) = (world.orders.get_mut(order), world.payments.get_mut(order)) else {
        return;
    };
    let before = *slot;
    match step {
        Step::Cancel => state.cancel = true,
        Step::Delete => (state.deleting, state.cancel) = (true, false),
        Step::Send => state.sent = true,
        Step::SendTombstone => state.sent_tombstone = true,
        Step::Arrive => {
            state.made += 1;
            *slot = Some(Payment { coupon: true, returned: false, phase: PaymentPhase::Pending });
        }
        Step::ArriveTombstone => {
            state.made += 1;
            *slot = Some(Payment { coupon: false, returned: false, phase: PaymentPhase::Voided });
        }
        Step::Begin | Step::Decline => {
            world.unkept |= !kept && state.counted == 0;
            let phase = if step == Step::Begin { PaymentPhase::Captured } else { PaymentPhase::Declined };
            *slot = before.map(|p| Payment { phase, ..p });
        }
        Step::WantBack => {
            *slot = before.map(|p| {
                let phase = if pending(p) { PaymentPhase::Voided } else { PaymentPhase::Refunded };
                Payment { phase, ..p }
            });
        }
        Step::End => {
            let back = before.is_none_or(|p| p.phase.is_over());
            state.standing = if back { Standing::Undone } else { Standing::Completed };
            (state.completed, state.cancel) = (!back, false);
        }
        Step::Drop => state.drops = true,
        Step::Dropped => {
            state.drops = false;
            *slot = None;
        }
        Step::LookForPayment => state.lets_go = true,
        Step::LetGo => {
            state.standing = Standing::Gone;
            (state.deleting, state.lets_go) = (false, false);
        }
    }
    if *slot != before {
        for reconcile in world.reconciles.iter_mut().flatten() {
            reconcile.fresh &= !crate::snapshot::bit(order);
        }
    }
}
