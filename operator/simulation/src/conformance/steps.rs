//! Every pair of words of every transition table, by rule.

use std::fmt::Display;

use fooddelivery_saga::phases::{DeliveryStage, OrderPhase, PaymentDesired, PaymentPhase, TicketStage};
use fooddelivery_saga::table;
use serde_json::json;

use super::call::User::{Customer, Operator};
use super::objects::{delivery, payment, plain_order, ticket};
use super::{Scenario, Step};

pub(super) fn all() -> Vec<Scenario> {
    vec![
        Scenario::new("a ticket takes the steps of its table and no others", tickets()),
        Scenario::new("a delivery takes the steps of its table and no others", deliveries()),
        Scenario::new("a payment takes the steps of its table and no others", payments()),
        Scenario::new("what is wanted of a payment goes one way", desired()),
        Scenario::new("an order reaches what its table reaches and nothing else", orders()),
    ]
}

fn pairs<T: Copy>(all: &[T]) -> impl Iterator<Item = (T, T)> {
    all.iter().flat_map(move |from| all.iter().map(move |to| (*from, *to)))
}

fn named(from: impl Display, to: impl Display) -> String {
    format!("{from}-to-{to}").to_lowercase()
}

fn tickets() -> Vec<Step> {
    let pair = |(from, to): (TicketStage, TicketStage)| {
        let name = named(from, to);
        let step = Operator.merge("tickets", &name, json!({ "spec": { "stage": to } }));
        let begin = Operator.create("tickets", ticket(&name, from.as_str()));
        [begin.quietly(), step.show(&["/spec/stage"]).into()]
    };
    pairs(TicketStage::ALL).flat_map(pair).collect()
}

fn deliveries() -> Vec<Step> {
    let pair = |(from, to): (DeliveryStage, DeliveryStage)| {
        let name = named(from, to);
        let ends_unclaimed = from == DeliveryStage::Cancelled
            || (from == DeliveryStage::Waiting && to == DeliveryStage::Cancelled);
        let rider = (!ends_unclaimed).then_some("minjun");
        let step = Operator.merge("deliveries", &name, json!({ "spec": { "stage": to } }));
        let begin = Operator.create("deliveries", delivery(&name, from.as_str(), rider));
        [begin.quietly(), step.show(&["/spec/stage"]).into()]
    };
    pairs(DeliveryStage::ALL).flat_map(pair).collect()
}

fn payments() -> Vec<Step> {
    let pair = |(from, to): (PaymentPhase, PaymentPhase)| {
        let name = named(from, to);
        let mut steps = vec![Operator.create("payments", payment(&name)).quietly()];
        for phase in table::path(table::PAYMENT, PaymentPhase::Pending, from).unwrap_or_default() {
            steps.push(Operator.status("payments", &name, json!({ "phase": phase })).quietly());
        }
        let step = Operator.status("payments", &name, json!({ "phase": to })).show(&["/status/phase"]);
        steps.push(step.into());
        steps
    };
    pairs(PaymentPhase::ALL).flat_map(pair).collect()
}

fn desired() -> Vec<Step> {
    let pair = |(from, to): (PaymentDesired, PaymentDesired)| {
        let name = named(from, to);
        let mut begin = payment(&name);
        begin["spec"]["desired"] = json!(from);
        let step = Operator.merge("payments", &name, json!({ "spec": { "desired": to } }));
        [Operator.create("payments", begin).quietly(), step.show(&["/spec/desired"]).into()]
    };
    pairs(PaymentDesired::ALL).flat_map(pair).collect()
}

fn orders() -> Vec<Step> {
    let pair = |(from, to): (OrderPhase, OrderPhase)| {
        let name = named(from, to);
        let to_phase = |phase: OrderPhase| Operator.status("orders", &name, json!({ "phase": phase }));
        let mut steps = vec![Customer.create("orders", plain_order(&name)).quietly()];
        if from != OrderPhase::AwaitingPayment {
            steps.push(to_phase(from).quietly());
        }
        steps.push(to_phase(to).show(&["/status/phase"]).into());
        steps
    };
    pairs(OrderPhase::ALL).flat_map(pair).collect()
}
