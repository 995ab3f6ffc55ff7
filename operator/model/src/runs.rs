//! The configurations that are checked, and what a check reports.

use std::fmt::{Debug, Write as _};
use std::hash::Hash;
use std::time::{Duration, Instant};

use fooddelivery_saga::phases::WhenUnavailable;
use stateright::{Checker, HasDiscoveries, Model, Path};

use crate::bounds::{Bounds, Carrying, Start, Store};
use crate::model::Event;
use crate::saga::Saga;
use crate::world::World;

/// A named configuration.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// What it is about.
    pub name: &'static str,
    /// Its bounds.
    pub bounds: Bounds,
}

/// What a check came to.
pub struct Report {
    /// Which configuration.
    pub name: &'static str,
    /// Its bounds, for people.
    pub bounds: String,
    /// How many states there are within the bounds.
    pub states: usize,
    /// The longest of the shortest ways to a state.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// The properties that do not hold: the name and a shortest way to where it does not, told step by step.
    pub broken: Vec<(&'static str, String)>,
}

const PLAIN: Bounds = Bounds {
    replicas: 1,
    in_flight: 2,
    every_version: false,
    stale: true,
    faults: 0,
    crashes: 0,
    freezes: false,
    epochs: 0,
    claims: 1,
    cancel: false,
    delete: false,
    declines: false,
    prepares: false,
    intends: true,
    store: Store::Idle,
    riders: false,
    when_unavailable: WhenUnavailable::Defer,
    start: Start::Applied,
    carrying: Carrying::RIGHT,
};

/// What the configurations take for granted about time, but for those whose bounds say `freezes`.
pub const ASSUMPTION: &str =
    "an order's live read and the create of its ticket or delivery right after it are one step";

/// The configurations.
pub const RUNS: &[Run] = &[
    Run {
        name: "one replica, the whole saga, every provider fault, a crash, deadlines",
        bounds: Bounds {
            stale: false,
            faults: 1,
            crashes: 1,
            epochs: 2,
            cancel: true,
            delete: true,
            declines: true,
            store: Store::Free,
            riders: true,
            ..PLAIN
        },
    },
    Run {
        name: "two replicas with stale caches, paying, a provider fault",
        bounds: Bounds { replicas: 2, faults: 1, cancel: true, declines: true, ..PLAIN },
    },
    Run {
        name: "one replica, prepared payments, every provider fault, a crash, cancel and delete",
        bounds: Bounds {
            prepares: true,
            stale: false,
            faults: 2,
            crashes: 1,
            cancel: true,
            delete: true,
            declines: true,
            ..PLAIN
        },
    },
    Run {
        name: "two replicas with stale caches, prepared payments, a provider fault",
        bounds: Bounds { prepares: true, replicas: 2, faults: 1, cancel: true, declines: true, ..PLAIN },
    },
    Run {
        name: "two replicas with stale caches, paying, the intent recorded after the creation, a provider fault",
        bounds: Bounds { intends: false, replicas: 2, faults: 1, cancel: true, ..PLAIN },
    },
    Run {
        name: "two replicas with stale caches, paying, a crash",
        bounds: Bounds { replicas: 2, crashes: 1, cancel: true, ..PLAIN },
    },
    Run {
        name: "two replicas with stale caches, paying, three steps in flight",
        bounds: Bounds { replicas: 2, in_flight: 3, cancel: true, ..PLAIN },
    },
    Run {
        name: "two replicas with stale caches, paying, the order is deleted",
        bounds: Bounds { replicas: 2, delete: true, ..PLAIN },
    },
    Run {
        name: "two replicas with stale caches, cancelling against cooking, a crash",
        bounds: Bounds {
            replicas: 2,
            cancel: true,
            crashes: 1,
            store: Store::Free,
            start: Start::InQueue,
            ..PLAIN
        },
    },
    Run {
        name: "two replicas with stale caches, the end of a delivery, the order is deleted",
        bounds: Bounds { replicas: 2, delete: true, riders: true, start: Start::PickedUp, ..PLAIN },
    },
    Run {
        name: "two replicas with stale caches, one frozen before it makes a ticket, the order is deleted",
        bounds: Bounds { replicas: 2, delete: true, freezes: true, ..PLAIN },
    },
    Run {
        name: "two replicas with stale caches, riders and deadlines",
        bounds: Bounds { replicas: 2, epochs: 1, claims: 2, riders: true, start: Start::Cooked, ..PLAIN },
    },
];

/// How far a check goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Every state within the bounds.
    Exhaustive,
    /// About this many states, those closest to the start.
    First(usize),
    /// Until the first property breaks.
    FirstBroken,
}

/// Checks the states within the bounds, breadth first.
pub fn check(run: Run, extent: Extent) -> Report {
    explore(run.name, &run.bounds, Saga::new(run.bounds), extent, story)
}

/// The same for any model.
pub fn explore<M>(
    name: &'static str,
    bounds: &impl Debug,
    model: M,
    extent: Extent,
    tell: impl Fn(Path<M::State, M::Action>) -> String,
) -> Report
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq,
{
    let begun = Instant::now();
    let checker = model.checker().threads(2);
    let checker = match extent {
        Extent::Exhaustive => checker.finish_when(HasDiscoveries::All),
        Extent::First(states) => checker.finish_when(HasDiscoveries::All).target_state_count(states),
        Extent::FirstBroken => checker.finish_when(HasDiscoveries::AnyFailures),
    };
    let checker = checker.spawn_bfs().join();
    let broken = checker.discoveries().into_iter().map(|(property, path)| (property, tell(path))).collect();
    Report {
        name,
        bounds: format!("{bounds:?}"),
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        took: begun.elapsed(),
        broken,
    }
}

impl Report {
    /// In a few lines, for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(text, "{}", self.name);
        let _ = writeln!(text, "  bounds      {}", self.bounds);
        let _ = writeln!(
            text,
            "  states      {} (depth {}, {:.1} s)",
            self.states,
            self.depth,
            self.took.as_secs_f64()
        );
        for (name, story) in &self.broken {
            let _ = writeln!(text, "  BROKEN      {name}");
            text.push_str(story);
        }
        text
    }
}

/// The way to a state, one event a line, with what became of the objects.
pub fn story(path: Path<World, Event>) -> String {
    let mut text = String::new();
    let steps = path.into_vec();
    let mut before: Option<String> = None;
    for (n, (world, event)) in steps.iter().enumerate() {
        let now = summary(world);
        if before.as_ref() != Some(&now) {
            let _ = writeln!(text, "        {now}");
        }
        before = Some(now);
        if let Some(event) = event {
            let next = steps.get(n + 1).map(|(world, _)| world);
            let _ = writeln!(text, "    {:>3} {event:?}{}", n + 1, decided(*event, next));
        }
    }
    text
}

fn decided(event: Event, next: Option<&World>) -> String {
    use crate::model::Controller;
    let Event::Decide(r, controller) = event else { return String::new() };
    let Some(replica) = next.and_then(|w| w.replicas.get(r)) else { return String::new() };
    match controller {
        Controller::Orders => replica.order.map(|f| format!(" -> {:?}", f.step)),
        Controller::Payments => replica.payment.map(|v| format!(" -> {:?}", v.step)),
        Controller::Tickets => replica.ticket.map(|f| format!(" -> {f:?}")),
        Controller::Deliveries => replica.delivery.map(|f| format!(" -> {f:?}")),
    }
    .unwrap_or_default()
}

fn summary(w: &World) -> String {
    use crate::objects::{Delivery, Order, Payment, Ticket};
    let order = w.live::<Order>().map_or("gone".into(), |o| {
        let verdict = o.verdict.map(|v| format!(" {v}")).unwrap_or_default();
        let flags = [(o.cancel, " cancel"), (o.deleting, " deleting"), (o.confirmed, " confirmed")];
        let flags: String = flags.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
        format!("{}({}){verdict}{flags}", o.phase, o.reason)
    });
    let payment = w.live::<Payment>().map_or("-".into(), |p| {
        format!("{}/{}{}", p.phase, p.desired, if p.deleting { " deleting" } else { "" })
    });
    let ticket = w.live::<Ticket>().map_or("-".into(), |t| t.stage.to_string());
    let delivery = w
        .live::<Delivery>()
        .map_or("-".into(), |d| format!("{}{}", d.stage, if d.claimed { " claimed" } else { "" }));
    format!(
        "order {order}; payment {payment}; ticket {ticket}; delivery {delivery}; +{} -{}",
        w.bank.captures, w.bank.refunds
    )
}
