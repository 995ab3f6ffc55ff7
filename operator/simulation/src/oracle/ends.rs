//! What must hold once everything has come to rest.

use super::kind::Promises;
use super::{Kind, Oracle};
use crate::message_provider::Inbox;

/// Everything gets to an end.
pub const ENDS: &str = "without faults everything comes to the right end";
/// Nothing is left of what is gone.
pub const NOTHING_LEFT: &str = "nothing is left of an order that is gone";
/// Everybody hears of every step.
pub const ALL_TOLD: &str = "every step of every order is told";
/// In order, each once before the next.
pub const MESSAGES_IN_ORDER: &str = "messages are first told in order, and none is left out";
/// The money matches the ends.
pub const LEDGER: &str = "the ledger matches how the orders ended";

impl Oracle {
    /// What is not at its end, in words; empty when everything is.
    pub(crate) fn unfinished(&self) -> Vec<String> {
        let mut left = Vec::new();
        for (kind, _, seen) in self.all() {
            let name = &seen.name;
            match kind.promises() {
                Promises::Order if seen.dying => {
                    left.push(format!("order {name} is being deleted ({})", seen.phase));
                }
                Promises::Order if !seen.has_ended() => {
                    left.push(format!("order {name} is {} {}", seen.phase, seen.reason));
                }
                Promises::Order if !seen.settled => {
                    left.push(format!("order {name} is not settled ({})", seen.phase));
                }
                Promises::Order if self.removes => left.push(format!("order {name} is not removed")),
                Promises::Payment | Promises::Ticket | Promises::Delivery
                    if self.order(&seen.of).is_none() =>
                {
                    left.push(format!(
                        "{kind:?} {name} of an order that is gone is {}{}",
                        seen.stage, seen.phase
                    ));
                }
                Promises::Order
                | Promises::Payment
                | Promises::Ticket
                | Promises::Delivery
                | Promises::Store
                | Promises::Rider
                | Promises::Coupon
                | Promises::CouponUse
                | Promises::Nothing => {}
            }
        }
        left
    }

    /// Looks at the whole once everything has come to rest.
    pub(crate) fn rests(&mut self) {
        let left = self.unfinished();
        if let Some(first) = left.first() {
            let property = if first.contains("that is gone") { NOTHING_LEFT } else { ENDS };
            self.fail(property, left.join("; "));
        }
        let mut wrong = Vec::new();
        for (uid, money) in &self.money {
            let order = self.order(uid).or_else(|| self.gone.get(uid));
            let Some(order) = order else {
                wrong.push(format!("money of an order that never was: {uid}"));
                continue;
            };
            if (order.phase == "Completed") != (money.net() > 0) || money.net() < 0 {
                wrong.push(format!("{} ended as {} with {} KRW paid", order.name, order.phase, money.net()));
            }
        }
        if !wrong.is_empty() {
            self.fail(LEDGER, wrong.join("; "));
        }
        self.counts_rest();
    }

    /// What was not told in the end, given what was heard. Orders of a namespace that went are not waited for.
    pub(crate) fn all_told(&mut self, inbox: &Inbox, namespace_went: bool) {
        let there = self.all().filter(|(kind, ..)| *kind == Kind::Order);
        let there = there.map(|(_, uid, seen)| (uid.to_owned(), seen.name.clone(), seen.phase.clone()));
        let gone = self.gone.iter().filter(|_| !namespace_went);
        let gone = gone.map(|(uid, seen)| (uid.clone(), seen.name.clone(), seen.phase.clone()));
        let mut silent = Vec::new();
        for (uid, name, phase) in there.chain(gone) {
            let last = inbox.of(&uid).last().map(|(_, phase)| phase.clone()).unwrap_or_default();
            if last != phase {
                silent.push(format!("{name} ended as {phase}, and {last:?} was told last"));
            }
        }
        if !silent.is_empty() {
            self.fail(ALL_TOLD, silent.join("; "));
        }
    }

    /// How each order ended, or stands.
    pub(crate) fn outcomes(&self) -> Vec<String> {
        let there =
            self.all().filter(|(kind, ..)| *kind == Kind::Order).map(|(_, _, seen)| seen.phase.clone());
        let gone = self.gone.values().map(|seen| format!("{}, deleted", seen.phase));
        there.chain(gone).collect()
    }
}
