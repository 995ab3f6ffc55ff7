//! Calls to the provider in some weather, what they tell, and the same in the words of `saga`.

use fooddelivery_saga::provider::{
    CallFailure, ChargeOutcome, LookUpOutcome, ProviderPayment, ProviderStatus, RefundOutcome, Refusal,
};

use crate::bank::{Charged, Request, Weather};
use crate::bounds::{Bounds, Mistake};
use crate::order::TOTAL;
use crate::world::World;

/// What a call told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Told {
    /// The payment is prepared and may be charged.
    Open,
    /// It can never be charged.
    Voided,
    /// It was charged, and cannot be voided.
    TooLate,
    /// The money was taken; whether it was given back too.
    Captured(bool),
    /// A final no.
    Declined,
    /// Nothing was found.
    NotFound,
    /// Nothing was sent.
    NotSent,
    /// Nothing is known.
    Unknown,
}

/// What a call tells that never arrives, or not now.
fn lost_on_the_way(world: &mut World, request: Request, weather: Weather) -> Option<Told> {
    match weather {
        Weather::Unreachable => Some(Told::NotSent),
        Weather::Lost => Some(Told::Unknown),
        Weather::Stalled => {
            world.bank.stall(request);
            Some(Told::Unknown)
        }
        Weather::Fair | Weather::Declines | Weather::Blind => None,
    }
}

pub(crate) fn look_up(world: &World, bounds: &Bounds, uid: u8, weather: Weather) -> Told {
    if bounds.prepares {
        // By its id a payment is found at once, or not at all.
        return match world.bank.charge(uid) {
            _ if weather == Weather::Blind => Told::Unknown,
            Some(Charged::Captured) => Told::Captured(world.bank.was_returned(uid)),
            _ if world.bank.was_voided(uid) => Told::Voided,
            _ => Told::Open,
        };
    }
    match world.bank.charge(uid) {
        Some(Charged::Captured) if weather != Weather::Blind => Told::Captured(world.bank.was_returned(uid)),
        _ => Told::NotFound,
    }
}

pub(crate) fn charge(world: &mut World, bounds: &Bounds, uid: u8, weather: Weather) -> Told {
    let request = Request::Charge(uid);
    if let Some(told) = lost_on_the_way(world, request, weather) {
        return told;
    }
    if bounds.carrying.mistake == Some(Mistake::FreshKeys)
        && world.bank.charge(uid) == Some(Charged::Captured)
    {
        world.bank.captures += 1;
    }
    world.bank.execute(request, weather == Weather::Declines);
    match world.bank.charge(uid) {
        // The first answer is replayed as it was.
        Some(Charged::Captured) => Told::Captured(false),
        Some(Charged::Declined) => Told::Declined,
        None => Told::Unknown,
    }
}

pub(crate) fn void(world: &mut World, uid: u8, weather: Weather) -> Told {
    let request = Request::Void(uid);
    if let Some(told) = lost_on_the_way(world, request, weather) {
        return told;
    }
    world.bank.execute(request, false);
    if world.bank.was_voided(uid) { Told::Voided } else { Told::TooLate }
}

pub(crate) fn refund(world: &mut World, uid: u8, weather: Weather) -> Told {
    let request = Request::Refund(uid);
    if let Some(told) = lost_on_the_way(world, request, weather) {
        return told;
    }
    world.bank.execute(request, false);
    if world.bank.was_returned(uid) { Told::Captured(true) } else { Told::Declined }
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

pub(crate) fn trouble(told: Told) -> CallFailure {
    match told {
        Told::NotSent => CallFailure::NotSent("connection refused".into()),
        _ => CallFailure::OutcomeUnknown("no answer".into()),
    }
}

pub(crate) fn found(told: Told) -> LookUpOutcome {
    match told {
        Told::Captured(refunded) => {
            LookUpOutcome::Found(provider_payment(ProviderStatus::Captured, refunded))
        }
        Told::Open => LookUpOutcome::Found(provider_payment(ProviderStatus::Open, false)),
        Told::Voided => LookUpOutcome::Found(provider_payment(ProviderStatus::Failed, false)),
        Told::Unknown => LookUpOutcome::CallFailure(trouble(told)),
        Told::Declined | Told::NotFound | Told::NotSent | Told::TooLate => LookUpOutcome::NotFound,
    }
}

pub(crate) fn charged(told: Told) -> ChargeOutcome {
    match told {
        Told::Captured(refunded) => {
            ChargeOutcome::Captured(provider_payment(ProviderStatus::Captured, refunded))
        }
        Told::Declined => ChargeOutcome::Refused(refusal()),
        _ => ChargeOutcome::CallFailure(trouble(told)),
    }
}

pub(crate) fn returned(told: Told) -> RefundOutcome {
    match told {
        Told::Captured(refunded) => {
            RefundOutcome::Refunded(provider_payment(ProviderStatus::Captured, refunded))
        }
        Told::Declined => RefundOutcome::Refused(refusal()),
        _ => RefundOutcome::CallFailure(trouble(told)),
    }
}
