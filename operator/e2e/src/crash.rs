//! Orders by the hundred while the operator is killed at random moments, the API server goes away now and then, and
//! the payment provider does its worst; then the ledger is held against what became of them.
//!
//! One seed decides each order's fate, its faults and the kills' pauses. The interleaving itself is the machine's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use fooddelivery_api::{Delivery, Order, Ticket, TokenText};
use fooddelivery_saga::phases::{CancellationVerdict, DeliveryStage, OrderPhase, TicketStage};
use kube::api::PropagationPolicy;
use local_cluster::Shutdown;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::audit::{balances, holds};
use crate::{NamespaceOptions, TestCluster, TestNamespace};

/// So many orders are under way at once.
const AT_ONCE: usize = 24;
/// How often each order's people look.
const LOOK: Duration = Duration::from_millis(200);
/// An order that has not come to its end after this is lost.
const PATIENCE: Duration = Duration::from_mins(4);
/// The API server is killed once in so many kills of the operator.
const API_SERVER_EVERY: usize = 12;
/// What an order comes to, in KRW.
const TOTAL: i64 = 28_500;

/// What is to be done.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many orders.
    pub orders: usize,
    /// Decides fates, faults and pauses.
    pub seed: u64,
}

/// What was done and found.
#[derive(Debug, Default)]
pub struct Report {
    /// Kills of the operator.
    pub kills: usize,
    /// Kills of the API server.
    pub api_server_kills: usize,
    /// Orders by how they ended; `gone` are those that were deleted.
    pub ends: BTreeMap<String, usize>,
    /// What is wrong, a sentence each.
    pub findings: Vec<String>,
}

/// What the people around one order are going to do.
#[derive(Debug, Clone, Copy)]
struct Fate {
    rejects: bool,
    declines: bool,
    fails: bool,
    /// Paid at the provider whose payments are prepared.
    prepares: bool,
    /// When the customer cancels, from the order on.
    cancels: Option<Duration>,
    /// When somebody deletes the order, and how.
    deletes: Option<(Duration, u8)>,
}

fn fate(rng: &mut StdRng) -> Fate {
    let moment = |rng: &mut StdRng| Duration::from_millis(rng.random_range(0..4_000));
    let cancels = rng.random_bool(0.3).then(|| moment(rng));
    let deletes = rng.random_bool(0.3).then(|| (moment(rng), rng.random_range(0..3)));
    Fate {
        rejects: rng.random_bool(0.08),
        declines: rng.random_bool(0.06),
        fails: rng.random_bool(0.08),
        prepares: rng.random_bool(0.5),
        cancels,
        deletes,
    }
}

/// Up to two faults for an order, of a charge or of a refund.
fn faults(rng: &mut StdRng, token: &str) -> Vec<Value> {
    let count = rng.random_range(0..3_usize);
    let one = |rng: &mut StdRng| {
        let operation = ["confirm", "cancel", "lookup", "prepare", "void"][rng.random_range(0..5_usize)];
        let fault = match rng.random_range(0..7) {
            0 => json!({ "type": "ErrorBefore", "status": 503 }),
            1 => json!({ "type": "ErrorAfter", "status": 500 }),
            2 => json!({ "type": "DropBefore" }),
            3 => json!({ "type": "DropAfter" }),
            4 => json!({ "type": "DelayBefore", "ms": rng.random_range(300..1_500) }),
            5 => json!({ "type": "DelayAfter", "ms": rng.random_range(300..1_500) }),
            _ => json!({ "type": "TooManyRequests", "retryAfterSeconds": 1 }),
        };
        json!({ "match": { "operation": operation, "paymentKey": token }, "fault": fault, "times": 1 })
    };
    (0..count).map(|_| one(rng)).collect()
}

/// Runs a plan on a cluster that nobody else uses.
///
/// # Errors
/// When the namespace cannot be set up. What is found wrong is in the report.
pub async fn run(cluster: &Arc<TestCluster>, plan: Plan, say: impl Fn(&str)) -> Result<Report> {
    let options = NamespaceOptions::default().with_provider(json!({ "breaker": { "minimumCalls": 10_000 } }));
    let ns = Arc::new(cluster.namespace_with("crash", options).await?);
    let mut rng = StdRng::seed_from_u64(plan.seed);
    let fates: Vec<Fate> = (0..plan.orders).map(|_| fate(&mut rng)).collect();
    let tokens: Vec<String> = fates
        .iter()
        .enumerate()
        .map(|(n, fate)| format!("{}-{n}", if fate.declines { "decline_" } else { "tok" }))
        .collect();
    let rules: Vec<Value> = tokens.iter().flat_map(|token| faults(&mut rng, token)).collect();
    ns.sandbox.set_faults(rules).await?;
    ns.sandbox.set_latency("0-120").await?;
    // The breaker would hold back what is to be broken here; it has tests of its own.
    let provider = json!({ "dialect": "Stripe", "breaker": { "minimumCalls": 10_000 } });
    let stripe: Arc<str> = ns.another_provider("stripe", provider).await?.into();

    let (done, over) = (Arc::new(AtomicUsize::new(0)), AtomicBool::new(false));
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut people = JoinSet::new();
    for (n, (fate, token)) in fates.into_iter().zip(tokens).enumerate() {
        let (ns, places, done) = (ns.clone(), places.clone(), done.clone());
        let provider = fate.prepares.then(|| stripe.clone());
        people.spawn(async move {
            let _place = places.acquire().await;
            let end = live(&ns, &format!("order-{n}"), fate, token, provider).await;
            done.fetch_add(1, Ordering::Relaxed);
            end
        });
    }
    let all = async {
        let ends = gather(&mut people, &done, plan.orders, &say).await;
        over.store(true, Ordering::Relaxed);
        ends
    };
    let (ends, killed) = tokio::join!(all, kill_again_and_again(&ns, rng, &over));
    let (kills, api_server_kills) = killed?;
    let mut report = Report { kills, api_server_kills, ..Report::default() };
    settle_accounts(&ns, ends, &mut report).await?;
    Ok(report)
}

/// Waits for all orders, and says every few seconds how far they are.
async fn gather(
    people: &mut JoinSet<Result<End>>,
    done: &AtomicUsize,
    orders: usize,
    say: &impl Fn(&str),
) -> Vec<Result<End>> {
    let mut ends = Vec::new();
    let mut ticker = tokio::time::interval(Duration::from_secs(5));
    loop {
        tokio::select! {
            ended = people.join_next() => match ended {
                Some(end) => ends.push(end.unwrap_or_else(|e| Err(e.into()))),
                None => return ends,
            },
            _ = ticker.tick() => say(&format!("{} of {orders} orders have ended", done.load(Ordering::Relaxed))),
        }
    }
}

/// Kills the operator (and now and then the API server) until told to stop, and leaves it running.
async fn kill_again_and_again(
    ns: &Arc<TestNamespace>,
    mut rng: StdRng,
    over: &AtomicBool,
) -> Result<(usize, usize)> {
    let (mut kills, mut api_server_kills) = (0, 0);
    while !over.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(rng.random_range(200..2_500))).await;
        ns.operator.kill_hard()?;
        kills += 1;
        if kills % API_SERVER_EVERY == 0 {
            let ns = ns.clone();
            let restart = move || match ns.cluster.access().local_cluster() {
                Some(cluster) => cluster.restart_apiserver_blocking(Shutdown::Kill),
                None => Ok(()),
            };
            tokio::task::spawn_blocking(restart).await??;
            api_server_kills += 1;
        }
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..400))).await;
        ns.operator.restart().await?;
    }
    Ok((kills, api_server_kills))
}

/// How an order ended.
struct End {
    uid: String,
    /// `None`: it was deleted and is gone.
    phase: Option<OrderPhase>,
    verdict: Option<CancellationVerdict>,
    /// The rider saw to it that the food arrived.
    arrived: bool,
    /// The food was on the stove when anybody last looked, so that a cancel had to be refused.
    cooked: bool,
}

/// Plays everybody around one order until it has ended and settled, or is gone.
async fn live(
    ns: &TestNamespace,
    name: &str,
    fate: Fate,
    token: String,
    provider: Option<Arc<str>>,
) -> Result<End> {
    let started = Instant::now();
    let uid = loop {
        let change = |o: &mut fooddelivery_api::OrderSpec| {
            o.payment.token = Some(TokenText(token.clone()));
            if let Some(provider) = &provider {
                provider.as_ref().clone_into(&mut o.payment.provider_ref.name);
            }
        };
        // The API server may be away; a second create of the same name is no second order.
        let _ = ns.order(name, change).await;
        if let Ok(Some(order)) = ns.find::<Order>(name).await {
            break order.metadata.uid.unwrap_or_default();
        }
        tokio::time::sleep(LOOK).await;
    };
    let mut end = End { uid, phase: None, verdict: None, arrived: false, cooked: false };
    let (mut cancelled, mut deleted) = (false, false);
    while started.elapsed() < PATIENCE {
        tokio::time::sleep(LOOK).await;
        let order = match ns.find::<Order>(name).await {
            Ok(Some(order)) => order,
            Ok(None) if deleted => {
                end.phase = None;
                return Ok(end);
            }
            Ok(None) => bail!("order {name} is gone, and nobody deleted it"),
            Err(_) => continue,
        };
        let state = order.state();
        end.phase = Some(state.phase);
        end.verdict = state.cancellation;
        let settled = state.phase.is_terminal() && holds(&order, "Settled");
        if fate.cancels.is_some_and(|at| started.elapsed() >= at) && !cancelled {
            cancelled = ns.cancel(name, "changed my mind").await.is_ok();
        } else if let Some((_, how)) = fate.deletes.filter(|(at, _)| !deleted && started.elapsed() >= *at) {
            deleted = ns.delete(name, policy(how)).await.is_ok();
        } else if settled && !deleted && fate.deletes.is_none() {
            return Ok(end);
        }
        act(ns, name, &state.phase, fate, &mut end).await;
    }
    bail!("order {name} has not come to its end: {}", ns.describe(name).await)
}

fn policy(how: u8) -> PropagationPolicy {
    match how {
        0 => PropagationPolicy::Background,
        1 => PropagationPolicy::Foreground,
        _ => PropagationPolicy::Orphan,
    }
}

/// What store, rider and customer do next. A refusal is theirs to live with: the next look tells.
async fn act(ns: &TestNamespace, name: &str, phase: &OrderPhase, fate: Fate, end: &mut End) {
    if phase.is_terminal() {
        return;
    }
    if let Ok(Some(ticket)) = ns.find::<Ticket>(name).await {
        let next = match ticket.spec.stage {
            TicketStage::Pending if fate.rejects => {
                Some(json!({ "stage": "Rejected", "reason": "closed early" }))
            }
            TicketStage::Pending => Some(json!({ "stage": "Accepted" })),
            TicketStage::Accepted => Some(json!({ "stage": "Cooking" })),
            TicketStage::Cooking => Some(json!({ "stage": "Cooked" })),
            _ => None,
        };
        end.cooked |= ticket.seen().has_begun();
        if let Some(spec) = next {
            let _ = ns.patch::<Ticket>(name, json!({ "spec": spec })).await;
            return;
        }
    }
    if let Ok(Some(delivery)) = ns.find::<Delivery>(name).await {
        let next = match (delivery.spec.stage, &delivery.spec.rider_ref) {
            (DeliveryStage::Waiting, None) => Some(json!({ "riderRef": { "name": "minjun" } })),
            (DeliveryStage::Waiting, Some(_)) => Some(json!({ "stage": "PickedUp" })),
            (DeliveryStage::PickedUp, _) if fate.fails => Some(json!({ "stage": "Failed" })),
            (DeliveryStage::PickedUp, _) => Some(json!({ "stage": "Delivered" })),
            _ => None,
        };
        if let Some(spec) = next {
            let arrives = spec["stage"] == "Delivered";
            let moved = ns.patch::<Delivery>(name, json!({ "spec": spec })).await;
            end.arrived |= arrives && moved.is_ok();
            return;
        }
        end.arrived |= delivery.spec.stage == DeliveryStage::Delivered;
    }
    if *phase == OrderPhase::Delivered {
        let _ = ns.confirm(name).await;
    }
}

/// Holds every order's end against the ledger.
async fn settle_accounts(ns: &TestNamespace, ends: Vec<Result<End>>, report: &mut Report) -> Result<()> {
    let ledger = balances(&ns.ledger().await?);
    for end in ends {
        let end = match end {
            Ok(end) => end,
            Err(lost) => {
                report.findings.push(format!("{lost:#}"));
                continue;
            }
        };
        let word = end.phase.map_or("gone", OrderPhase::as_str);
        *report.ends.entry(word.to_owned()).or_default() += 1;
        let balance = ledger.get(&end.uid).copied().unwrap_or_default();
        let kept = balance.captured - balance.refunded;
        let due = if end.arrived { TOTAL } else { 0 };
        if balance.captures > 1 || kept != due {
            let what = format!("{word}, arrived: {}, cooked: {}", end.arrived, end.cooked);
            report.findings.push(format!("order {} ({what}): {balance:?}, but {due} KRW are due", end.uid));
        }
        let undone = end.phase == Some(OrderPhase::Cancelled);
        if undone && end.verdict == Some(CancellationVerdict::Refused) && end.arrived {
            report.findings.push(format!("order {}: its cancel was refused, and yet it was undone", end.uid));
        }
    }
    if let Err(wrong) = ns.audit().await {
        report.findings.push(format!("{wrong:#}"));
    }
    Ok(())
}
