//! The two reference services, 400 + random·220 ms and 520 + random·220 ms, against a limit of 610 ms: what the
//! breaker does about each. In real time, so that a busy machine adds little in proportion.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use fooddelivery_saga::provider::{
    ChargeOutcome, LookUpOutcome, ProviderPayment, ProviderStatus, RefundOutcome,
};
use futures::future::join_all;
use tokio::time::sleep;

use super::fake::{MS, captured, charge_request, observed_policy, payment, timed_out};
use super::*;
use crate::config::DEFAULT_TIMEOUT;
use crate::payment::port::{ChargeRequest, LookUpRequest, PaymentPort, RefundRequest, Traits};

const LIMIT: Duration = DEFAULT_TIMEOUT;
const AT_ONCE: usize = 32;

/// Spread evenly over 0 to 1, in whatever piece of the sequence (multiples of the golden ratio).
fn evenly(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap()).mul_add(0.618_033_988_749_895, 0.5).fract()
}

/// A service that takes `base` + even·220 ms: what is not answered within the limit has timed out, and is found
/// captured when it is looked up after the money has moved, and not before.
struct Service {
    base: Duration,
    charges: AtomicUsize,
    moves_at: Mutex<HashMap<String, Instant>>,
}

impl Service {
    fn taking(base: Duration) -> Arc<Self> {
        Arc::new(Self { base, charges: AtomicUsize::new(0), moves_at: Mutex::default() })
    }
}

#[async_trait]
impl PaymentPort for Service {
    fn traits(&self) -> Traits {
        Traits { prepares: false, key_retention: Duration::from_hours(1), token_lifetime: None }
    }

    async fn charge(&self, request: &ChargeRequest) -> ChargeOutcome {
        let takes = self.base + (220 * MS).mul_f64(evenly(self.charges.fetch_add(1, Ordering::SeqCst)));
        self.moves_at.lock().unwrap().insert(request.order_id.clone(), Instant::now() + takes);
        sleep(takes.min(LIMIT)).await;
        if takes > LIMIT { timed_out() } else { captured() }
    }

    async fn look_up(&self, request: &LookUpRequest) -> LookUpOutcome {
        let moved =
            self.moves_at.lock().unwrap().get(&request.order_id).is_some_and(|at| *at <= Instant::now());
        if !moved {
            return LookUpOutcome::NotFound;
        }
        let order_id = request.order_id.clone();
        LookUpOutcome::Found(ProviderPayment { order_id, ..payment(ProviderStatus::Captured) })
    }

    async fn refund(&self, _: &RefundRequest) -> RefundOutcome {
        RefundOutcome::AlreadyRefunded
    }
}

/// Calls in waves; how many were in time, timed out and refused.
async fn waves(policy: &ResiliencePolicy, service: &Arc<Service>, waves: usize) -> (usize, usize, usize) {
    let port: Arc<dyn PaymentPort> = service.clone();
    let mut counts = (0, 0, 0);
    for wave in 0..waves {
        let calls = (0..AT_ONCE).map(|number| {
            let port = &port;
            async move {
                let permit = policy.acquire().await.unwrap();
                let request = ChargeRequest { order_id: format!("{wave}-{number}"), ..charge_request() };
                policy.call(&permit, port, Request::Charge(request)).await
            }
        });
        for result in join_all(calls).await {
            match result {
                Ok(Response::Charge { resolved: None, .. }) => counts.0 += 1,
                Ok(_) => counts.1 += 1,
                Err(Rejected { .. }) => counts.2 += 1,
            }
        }
    }
    counts
}

#[tokio::test]
async fn the_faster_reference_service_is_nearly_always_in_time_and_leaves_the_circuit_closed() {
    let (policy, seen) = observed_policy(&ResilienceSettings::default());
    let (in_time, timed_out, refused) = waves(&policy, &Service::taking(400 * MS), 2).await;
    assert_eq!(refused, 0);
    // 10 of 220 ms are beyond the limit: 3 of 64.
    assert!((1..=5).contains(&timed_out), "{timed_out} timed out, {in_time} were in time");
    assert_eq!(policy.circuit(), Circuit::Closed);
    assert!(policy.rates().slow < 0.5 && policy.rates().failed < 0.01, "{:?}", policy.rates());
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_slower_reference_service_opens_the_circuit_by_its_slow_calls_and_not_by_failures() {
    let (policy, seen) = observed_policy(&ResilienceSettings::default());
    let fake = Service::taking(520 * MS);
    let (in_time, timed_out, refused) = waves(&policy, &fake, 2).await;
    // 130 of 220 ms are beyond the limit: about 19 of the 32 that are sent before it opens.
    assert!((16..=22).contains(&timed_out), "{timed_out} timed out, {in_time} were in time");
    assert_eq!((in_time + timed_out, refused), (AT_ONCE, AT_ONCE), "the second wave meets an open circuit");
    assert_eq!(fake.charges.load(Ordering::SeqCst), AT_ONCE);
    assert!(matches!(policy.circuit(), Circuit::Open { .. }));
    let seen = seen.lock().unwrap();
    let [Transition { from: Circuit::Closed, to: Circuit::Open { .. }, rates }] = seen[..] else {
        panic!("{seen:?}")
    };
    assert!(rates.slow >= 0.5 && rates.failed < 0.01, "{rates:?}");
}
