//! Calls to the provider, with or without a fault, their results, and the same as outcomes of `saga`.

use fooddelivery_saga::provider::{
    CallFailure, ChargeOutcome, LookUpOutcome, ProviderPayment, ProviderStatus, RefundOutcome, Refusal,
};

use crate::bank::{Charged, ProviderFault, Request};
use crate::bounds::{Bounds, Mutant, TOTAL};
use crate::flight::CallResult;
use crate::world::World;

/// The result of a call that never arrives, or not now.
fn lost_on_the_way(world: &mut World, request: Request, fault: ProviderFault) -> Option<CallResult> {
    match fault {
        ProviderFault::Unreachable => Some(CallResult::NotSent),
        ProviderFault::Lost => Some(CallResult::Unknown),
        ProviderFault::Stalled => {
            world.bank.stall(request);
            Some(CallResult::Unknown)
        }
        ProviderFault::None | ProviderFault::Declines | ProviderFault::Blind => None,
    }
}

pub(crate) fn look_up(world: &World, bounds: &Bounds, uid: u8, fault: ProviderFault) -> CallResult {
    if bounds.prepares {
        // By its id a payment is found at once, or not at all.
        return match world.bank.charge(uid) {
            _ if fault == ProviderFault::Blind => CallResult::Unknown,
            Some(Charged::Captured) => CallResult::Captured(world.bank.was_returned(uid)),
            _ if world.bank.was_voided(uid) => CallResult::Voided,
            _ => CallResult::Open,
        };
    }
    match world.bank.charge(uid) {
        Some(Charged::Captured) if fault != ProviderFault::Blind => {
            CallResult::Captured(world.bank.was_returned(uid))
        }
        _ => CallResult::NotFound,
    }
}

pub(crate) fn charge(world: &mut World, bounds: &Bounds, uid: u8, fault: ProviderFault) -> CallResult {
    let request = Request::Charge(uid);
    if let Some(result) = lost_on_the_way(world, request, fault) {
        return result;
    }
    if bounds.carrying.mutant == Some(Mutant::FreshKeys) && world.bank.charge(uid) == Some(Charged::Captured)
    {
        world.bank.captures += 1;
    }
    world.bank.execute(request, fault == ProviderFault::Declines);
    match world.bank.charge(uid) {
        // The first answer is replayed as it was.
        Some(Charged::Captured) => CallResult::Captured(false),
        Some(Charged::Declined) => CallResult::Declined,
        None => CallResult::Unknown,
    }
}

pub(crate) fn void(world: &mut World, uid: u8, fault: ProviderFault) -> CallResult {
    let request = Request::Void(uid);
    if let Some(result) = lost_on_the_way(world, request, fault) {
        return result;
    }
    world.bank.execute(request, false);
    if world.bank.was_voided(uid) { CallResult::Voided } else { CallResult::TooLate }
}

pub(crate) fn refund(world: &mut World, uid: u8, fault: ProviderFault) -> CallResult {
    let request = Request::Refund(uid);
    if let Some(result) = lost_on_the_way(world, request, fault) {
        return result;
    }
    world.bank.execute(request, false);
    if world.bank.was_returned(uid) { CallResult::Captured(true) } else { CallResult::Declined }
}

pub(crate) fn provider_payment(status: ProviderStatus, refunded: bool) -> ProviderPayment {
    ProviderPayment {
        payment_id: "pk".into(),
        order_id: "o1".into(),
        amount: TOTAL,
        refunded: if refunded { TOTAL } else { 0 },
        currency: "KRW".into(),
        status,
    }
}

fn refusal() -> Refusal {
    Refusal { code: "REJECT_CARD_PAYMENT".into(), message: "no".into() }
}

pub(crate) fn failure(result: CallResult) -> CallFailure {
    match result {
        CallResult::NotSent => CallFailure::NotSent("connection refused".into()),
        _ => CallFailure::OutcomeUnknown("no answer".into()),
    }
}

pub(crate) fn found(result: CallResult) -> LookUpOutcome {
    match result {
        CallResult::Captured(refunded) => {
            LookUpOutcome::Found(provider_payment(ProviderStatus::Captured, refunded))
        }
        CallResult::Open => LookUpOutcome::Found(provider_payment(ProviderStatus::Open, false)),
        CallResult::Voided => LookUpOutcome::Found(provider_payment(ProviderStatus::Failed, false)),
        CallResult::Unknown => LookUpOutcome::CallFailure(failure(result)),
        CallResult::Declined | CallResult::NotFound | CallResult::NotSent | CallResult::TooLate => {
            LookUpOutcome::NotFound
        }
    }
}

pub(crate) fn charged(result: CallResult) -> ChargeOutcome {
    match result {
        CallResult::Captured(refunded) => {
            ChargeOutcome::Captured(provider_payment(ProviderStatus::Captured, refunded))
        }
        CallResult::Declined => ChargeOutcome::Refused(refusal()),
        _ => ChargeOutcome::CallFailure(failure(result)),
    }
}

pub(crate) fn returned(result: CallResult) -> RefundOutcome {
    match result {
        CallResult::Captured(refunded) => {
            RefundOutcome::Refunded(provider_payment(ProviderStatus::Captured, refunded))
        }
        CallResult::Declined => RefundOutcome::Refused(refusal()),
        _ => RefundOutcome::CallFailure(failure(result)),
    }
}
