//! What must hold from one write to the next.

use fooddelivery_sandbox::ledger::EntryKind;

use super::kind::Promises;
use super::{Kind, Moment, Money, Oracle, Seen};

/// At most one capture an order.
pub const ONE_CAPTURE: &str = "money is captured at most once";
/// Refunds never above captures.
pub const REFUNDS: &str = "refunds are never above captures";
/// Cancelled means that the money is back.
pub const CANCELLED: &str = "a cancelled order's money is back, and stays back";
/// Settled means that the money is where it belongs.
pub const SETTLED: &str = "a settled order's money is where it belongs";
/// Completed means paid.
pub const COMPLETED: &str = "a completed order is paid, and stays so";
/// No ticket without money.
pub const NO_UNPAID_TICKET: &str = "no ticket comes into the store's queue without money";
/// No ticket for an order that is undone.
pub const NO_LATE_TICKET: &str = "no ticket is made for an order that was known to be undone";
/// No intent for an order that is undone.
pub const NO_LATE_INTENT: &str = "no charge is begun for an order that was known to be undone";
/// The ticket's fence stands before the money is asked back.
pub const FENCE: &str = "no money is asked back while the store may work on the ticket";
/// Deadlines are for those who did not act.
pub const IN_TIME: &str = "nothing undoes what was done in time";
/// A verdict holds.
pub const VERDICT: &str = "a verdict on a cancellation never changes";
/// A refused cancel is refused.
pub const REFUSED: &str = "a refused cancel never comes back to life";
/// Terminal means terminal.
pub const TERMINAL: &str = "a terminal phase never changes";
/// Nothing is left behind.
pub const LEFT_BEHIND: &str = "no order goes before a payment that may have been charged";
/// No payment goes with money on its way.
pub const PAYMENT_LOST: &str = "no payment goes with money on its way";
/// One rider.
pub const ONE_RIDER: &str = "a delivery has one rider";
/// Nothing needs a person.
pub const NO_REVIEW: &str = "no payment needs a person";

/// A reconcile takes at most a minute, and reads the order at its beginning.
const PATIENCE_MS: i64 = 60_000;
/// A ticket is made on the strength of a copy of the order that is at most this old: read, or written by compare-and-set.
const COPY_AGE_MAX_MS: i64 = 2_000;

impl Oracle {
    pub(super) fn changed(&mut self, kind: Kind, uid: &str, was: Option<&Seen>, now: &Seen) {
        match kind.promises() {
            Promises::Order => self.order_changed(uid, was, now),
            Promises::Payment => self.payment_changed(was, now),
            Promises::Ticket => {
                if was.is_none() {
                    self.ticket_made(now);
                }
            }
            Promises::Delivery => self.delivery_changed(was, now),
            Promises::Store
            | Promises::Rider
            | Promises::Coupon
            | Promises::CouponUse
            | Promises::Nothing => {}
        }
        self.tally_changed(kind, uid, was, now);
    }

    fn order_changed(&mut self, uid: &str, was: Option<&Seen>, now: &Seen) {
        let net = self.money_of(uid).net();
        let name = &now.name;
        if let Some(was) = was {
            if was.has_ended() && was.phase != now.phase {
                self.fail(TERMINAL, format!("{name} went from {} to {}", was.phase, now.phase));
            }
            if !was.verdict.is_empty() && was.verdict != now.verdict {
                self.fail(VERDICT, format!("{name}: from {} to {:?}", was.verdict, now.verdict));
            }
        }
        let undone_by_wish = matches!(now.reason.as_str(), "CancelledByCustomer" | "OrderDeleted");
        if now.verdict == "Refused"
            && undone_by_wish
            && matches!(now.phase.as_str(), "Cancelling" | "Cancelled")
        {
            self.fail(REFUSED, format!("{name} is {} ({})", now.phase, now.reason));
        }
        if now.phase == "Cancelled" && net != 0 {
            self.fail(
                CANCELLED,
                format!("{name} is Cancelled, and {net} KRW are still with the marketplace"),
            );
        }
        if now.phase == "Completed" && net <= 0 {
            self.fail(COMPLETED, format!("{name} is Completed, and nothing is paid"));
        }
        let belongs = now.has_ended() && (now.phase == "Completed") == (net > 0);
        if now.settled && !belongs {
            self.fail(SETTLED, format!("{name} is {} and Settled, with {net} KRW paid", now.phase));
        }
        if now.is_undone() {
            let since = Moment { step: self.step, ms: self.now_ms };
            self.undone_since.entry(uid.to_owned()).or_insert(since);
        } else {
            self.undone_since.remove(uid);
        }
    }

    fn payment_changed(&mut self, was: Option<&Seen>, now: &Seen) {
        let order = now.of.clone();
        if now.phase == "NeedsReview" {
            self.fail(NO_REVIEW, format!("{} waits for a person ({})", now.name, now.reason));
        }
        // Under the intent of its creation a charge may have been made; what voids it begins none.
        let is_voided = now.intent_from_birth && now.phase == "Voiding";
        if now.attempt > 0 && was.is_none_or(|was| was.attempt == 0) && !is_voided {
            // What was sent in time may arrive at any later one.
            self.charge_begins(&order, &now.name, self.sent.ms);
        }
        let asked_back = now.desired == "Refunded" && was.is_some_and(|was| was.desired != "Refunded");
        if asked_back {
            self.money_asked_back(&order, now);
        }
    }

    /// An intent to charge is recorded, or a charge sent under one that is not, by what could be known at a time.
    pub(super) fn charge_begins(&mut self, order: &str, name: &str, at_ms: i64) {
        if let Some(since) = self.undone_since.get(order)
            && since.ms + PATIENCE_MS < at_ms
        {
            let long = (at_ms - since.ms) / 1_000;
            self.fail(NO_LATE_INTENT, format!("{name} was undone {long} s before"));
        }
    }

    fn money_asked_back(&mut self, order: &str, payment: &Seen) {
        let standing = self.order(order).map(|o| o.phase.clone());
        // Of an order that has ended only what a stalled replica made late is left.
        let is_late = self.order(order).is_none_or(Seen::has_ended);
        let ticket = self.child(Kind::Ticket, order).map(|t| t.stage.clone()).unwrap_or_default();
        let delivery = self.child(Kind::Delivery, order).map(|d| d.stage.clone()).unwrap_or_default();
        if !is_late && matches!(ticket.as_str(), "Pending" | "Accepted" | "Cooking") {
            self.fail(FENCE, format!("the ticket of {} is {ticket}", payment.name));
        }
        if standing.as_deref() == Some("Completed") {
            self.fail(COMPLETED, format!("the money of {} is asked back", payment.name));
        }
        let in_time = match payment.reversal.as_str() {
            "StoreDidNotAnswer" => matches!(ticket.as_str(), "Cooking" | "Cooked" | "Abandoned"),
            "CookingTimedOut" => ticket == "Cooked",
            "NoRider" => matches!(delivery.as_str(), "PickedUp" | "Delivered" | "Failed"),
            "DeliveryTimedOut" => delivery == "Delivered",
            "CancelledByCustomer" | "OrderDeleted" => matches!(ticket.as_str(), "Cooking" | "Cooked"),
            _ => false,
        };
        if in_time || delivery == "Delivered" {
            let (name, why) = (&payment.name, &payment.reversal);
            self.fail(IN_TIME, format!("{name}: {why}, with ticket {ticket:?} and delivery {delivery:?}"));
        }
    }

    fn ticket_made(&mut self, ticket: &Seen) {
        if ticket.stage != "Pending" {
            return;
        }
        // What has become of the order since then nobody can know.
        let sent = self.sent.ms;
        let undone = self.undone_since.get(&ticket.of).map(|since| since.ms);
        let (money, was_sent_in_time) =
            (self.money_of(&ticket.of), undone.is_some_and(|ms| ms + COPY_AGE_MAX_MS >= sent));
        if money.captured <= 0 || (money.net() <= 0 && !was_sent_in_time) {
            self.fail(NO_UNPAID_TICKET, format!("{} has a ticket and is not paid", ticket.name));
        }
        if let Some(ms) = undone.filter(|_| !was_sent_in_time) {
            let before = sent - ms;
            self.fail(NO_LATE_TICKET, format!("{} was undone {before} ms before", ticket.name));
        }
    }

    fn delivery_changed(&mut self, was: Option<&Seen>, now: &Seen) {
        let Some(was) = was else { return };
        if was.rider == now.rider {
            return;
        }
        let waits = was.stage == "Waiting" && now.stage == "Waiting";
        if !waits || (!was.rider.is_empty() && !now.rider.is_empty()) {
            self.fail(ONE_RIDER, format!("{}: from {:?} to {:?}", now.name, was.rider, now.rider));
        }
    }

    pub(super) fn vanished(&mut self, kind: Kind, uid: &str, last: &Seen) {
        match kind.promises() {
            Promises::Order => {
                // One without an attempt was made by a request that had been under way too long: nothing was charged, and
                // nothing will be for an order that is gone.
                if self.child(Kind::Payment, uid).is_some_and(|payment| payment.attempt > 0) {
                    self.fail(LEFT_BEHIND, format!("{} is gone, and its payment is there", last.name));
                }
                let net = self.money_of(uid).net();
                if (last.phase == "Completed") != (net > 0) {
                    let (name, phase) = (&last.name, &last.phase);
                    self.fail(PAYMENT_LOST, format!("{name} went as {phase} with {net} KRW paid"));
                }
                self.gone.insert(uid.to_owned(), last.clone());
            }
            Promises::Payment => {
                let order = self.order(&last.of).or_else(|| self.gone.get(&last.of));
                let kept = order.is_some_and(|order| order.phase == "Completed");
                if !kept && self.money_of(&last.of).net() != 0 {
                    self.fail(PAYMENT_LOST, format!("the payment of {} is gone with money", last.name));
                }
            }
            Promises::Ticket => self.ticket_vanished(last),
            Promises::Delivery => self.delivery_vanished(last),
            Promises::Store
            | Promises::Rider
            | Promises::Coupon
            | Promises::CouponUse
            | Promises::Nothing => {}
        }
    }

    pub(super) fn moved(&mut self, order: &str, kind: EntryKind, money: Money) {
        if money.captures > 1 {
            self.fail(
                ONE_CAPTURE,
                format!("the order with uid {order} was charged {} times", money.captures),
            );
        }
        if money.refunded > money.captured {
            self.fail(REFUNDS, format!("{} KRW went back of {}", money.refunded, money.captured));
        }
        let standing = self.order(order).or_else(|| self.gone.get(order));
        // An order whose payment failed has ended, but is not settled before its charge is undone, which may take
        // the repeat of that charge.
        if kind == EntryKind::Capture
            && let Some(undone) = standing.filter(|o| o.phase == "Cancelled" || (o.has_ended() && o.settled))
        {
            let (name, phase) = (undone.name.clone(), undone.phase.clone());
            self.fail(CANCELLED, format!("{name} is {phase}, and then money was taken"));
        }
    }
}
