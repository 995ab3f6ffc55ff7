//! The policy around an adapter: what a real outage and a slow provider do to the circuit.
#![expect(clippy::unwrap_used, reason = "in a test, what cannot be set up is a failure")]

use std::sync::{Arc, Mutex};

use fooddelivery_providers::resilience::{
    Circuit, Request, ResiliencePolicy, ResilienceSettings, Response, Transition,
};
use fooddelivery_providers::{ChargeRequest, Dialect, Token};
use fooddelivery_saga::provider::{LookUpOutcome, ProviderStatus};
use fooddelivery_sandbox::Outage;
use fooddelivery_sandbox::faults::{Fault, Operation, Rule};
use futures::future::join_all;

use crate::common::{Shop, is_unknown, request, rule};

/// As many calls as can open the circuit, all at once.
const CALLS: usize = 4;

both!(
    a_provider_that_is_out_opens_the_circuit_by_its_failures,
    a_provider_that_answers_too_late_and_takes_the_money_opens_it_by_its_slow_calls,
);

fn policy() -> (ResiliencePolicy, Arc<Mutex<Vec<Transition>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&seen);
    let settings = ResilienceSettings { minimum_calls: CALLS, ..ResilienceSettings::default() };
    let policy =
        ResiliencePolicy::new("sandbox", &settings, move |change| notes.lock().unwrap().push(change));
    (policy.unwrap(), seen)
}

async fn charges(shop: &Shop) -> Vec<ChargeRequest> {
    let requests = (0..CALLS).map(|number| {
        shop.ready(ChargeRequest {
            idempotency_key: format!("charge-of-{number}"),
            token: Token::new(format!("token_{number}")),
            order_id: format!("order-of-{number}"),
            ..request()
        })
    });
    join_all(requests).await
}

async fn make(policy: &ResiliencePolicy, shop: &Shop, charges: &[ChargeRequest]) -> Vec<Response> {
    let calls = charges.iter().map(|charge| async {
        let permit = policy.acquire().await.unwrap();
        policy.call(&permit, &shop.port, Request::Charge(charge.clone())).await.unwrap()
    });
    join_all(calls).await
}

/// That the circuit opened once, by its failures or by its slow calls.
async fn opened(policy: &ResiliencePolicy, seen: &Mutex<Vec<Transition>>, shop: &Shop, by_failures: bool) {
    let [Transition { from: Circuit::Closed, to: Circuit::Open { .. }, rates }] = seen.lock().unwrap()[..]
    else {
        panic!("{:?}", seen.lock())
    };
    assert_eq!((rates.failed > 0.5, rates.failed < 0.1), (by_failures, !by_failures), "{rates:?}");
    assert!(by_failures || rates.slow > 0.5, "{rates:?}");
    let before = shop.sandbox.calls().len();
    let permit = policy.acquire().await.unwrap();
    policy.call(&permit, &shop.port, Request::Charge(shop.request())).await.unwrap_err();
    assert_eq!(shop.sandbox.calls().len(), before, "nothing is sent");
}

async fn a_provider_that_is_out_opens_the_circuit_by_its_failures(dialect: Dialect) {
    let shop = Shop::open(dialect).await.in_a_hurry();
    let charges = charges(&shop).await;
    let (policy, seen) = policy();
    shop.sandbox.set_outage(Outage::Error);
    make(&policy, &shop, &charges).await;
    opened(&policy, &seen, &shop, true).await;
    assert!(shop.captures().is_empty());
}

async fn a_provider_that_answers_too_late_and_takes_the_money_opens_it_by_its_slow_calls(dialect: Dialect) {
    let shop = Shop::open(dialect).await.in_a_hurry();
    let charges = charges(&shop).await;
    let (policy, seen) = policy();
    shop.faults(vec![Rule { times: None, ..rule(Operation::Confirm, Fault::DelayAfter { ms: 1_500 }) }]);
    for response in make(&policy, &shop, &charges).await {
        let Response::Charge { outcome, resolved: Some(LookUpOutcome::Found(payment)) } = response else {
            panic!("{response:?}")
        };
        assert!(is_unknown(&outcome) && payment.status == ProviderStatus::Captured, "{outcome:?}");
    }
    opened(&policy, &seen, &shop, false).await;
    assert_eq!(shop.captures().len(), CALLS);
}
