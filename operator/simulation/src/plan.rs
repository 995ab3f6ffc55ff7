//! What a schedule is made of: a case names it, and its plan follows from the case's first choices.

use std::fmt;
use std::str::FromStr;

use crate::choices::ChoiceSequence;
use crate::mutants::mutant::Mutant;

/// The kinds of schedules: Sieve's three, and what else goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pattern {
    /// One replica, every order of steps, people who do anything at any time.
    Plain,
    /// Stale state: a watch cache is frozen, or rewound after a restart.
    Stale,
    /// Intermediate state: a crash after the n-th write or provider call.
    Crash,
    /// Unobserved state: events are missed or coalesced, watches break.
    Missed,
    /// Two replicas that both believe that they own every order.
    Two,
    /// A provider and an API server that fail, refuse and lose.
    Faults,
    /// All at once.
    Storm,
}

impl Pattern {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Plain, Self::Stale, Self::Crash, Self::Missed, Self::Two, Self::Faults, Self::Storm];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Stale => "stale",
            Self::Crash => "crash",
            Self::Missed => "missed",
            Self::Two => "two",
            Self::Faults => "faults",
            Self::Storm => "storm",
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|pattern| pattern.as_str() == text);
        found.ok_or_else(|| format!("there is no pattern {text:?}"))
    }
}

/// A schedule, by name: the same case with the same choices is the same run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// Uids, jitter and, where no choices are given, the choices follow from it.
    pub seed: u64,
    /// The kind of schedule.
    pub pattern: Pattern,
    /// Of schedules that enumerate something: which one.
    pub nth: u64,
    /// A mistake that every replica makes, to see that it is found.
    pub mutant: Option<Mutant>,
}

/// Number of writes and calls of the operator after which a crash is tried at the latest.
const LAST_CRASH: u64 = 40;

impl Case {
    /// The schedule of a number in a campaign with a seed.
    pub fn of(campaign: u64, number: u64, only: Option<Pattern>) -> Self {
        let patterns = Pattern::ALL.len() as u64;
        let round = number / if only.is_some() { 1 } else { patterns };
        let turn = usize::try_from(number % patterns).unwrap_or(0);
        let seed = campaign.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93);
        Self {
            seed,
            pattern: only.unwrap_or(Pattern::ALL[turn]),
            nth: round % (2 * LAST_CRASH),
            mutant: None,
        }
    }

    /// The command that plays it.
    pub fn command(&self) -> String {
        let Self { seed, pattern, nth, mutant } = self;
        let mutant = mutant.map(|mutant| format!(" --mutant {mutant}")).unwrap_or_default();
        format!("cargo simulate --case {seed} --pattern {pattern} --nth {nth}{mutant}")
    }
}

/// An order that is placed in the course of a schedule.
#[derive(Debug, Clone, Default)]
pub struct OrderPlan {
    /// Its name; a second one can have the first one's.
    pub name: String,
    /// Paid with Stripe, not with Toss.
    pub stripe: bool,
    /// Fails when the provider is out of reach.
    pub fails: bool,
    /// Its card has no money.
    pub declined: bool,
    /// Its token is in a Secret.
    pub token_secret: bool,
    /// That comes later than the order.
    pub secret_is_late: bool,
    /// It names no store: it goes where its customer prefers.
    pub names_no_store: bool,
    /// It names the coupon.
    pub coupon: bool,
    /// Its customer is another one, who is only a name.
    pub of_another: bool,
}

/// The coupon that orders may name.
#[derive(Debug, Clone, Copy, Default)]
pub struct CouponPlan {
    /// Takes off a part, not a sum.
    pub is_part: bool,
    /// How many orders may hold it.
    pub most: Option<u32>,
    /// Each customer may hold it once.
    pub once_each: bool,
    /// It is not there at first.
    pub is_late: bool,
}

/// What there is of the customer at first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CustomerPlan {
    /// They prefer a store.
    #[default]
    Prefers,
    /// They do not say which store they prefer.
    Undecided,
    /// They are only a name.
    Missing,
}

/// How often what happens, against the ordinary.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weights {
    /// Something on its way overtakes what was sent before it.
    pub overtake: u32,
    /// A request or call fails.
    pub fault: u32,
    /// One event is delivered to one watch.
    pub event: u32,
    /// A replica's watches freeze, or are released.
    pub freeze: u32,
    /// A replica's watches break.
    pub broken: u32,
    /// Somebody does something.
    pub act: u32,
    /// Time passes.
    pub time: u32,
    /// A replica crashes and starts anew.
    pub crash: u32,
    /// What a crashed replica had sent arrives, or is lost.
    pub abandoned: u32,
}

/// What a schedule is made of.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many replicas run.
    pub replicas: usize,
    /// The orders, in the order in which they are placed.
    pub orders: Vec<OrderPlan>,
    /// Whether the store accepts by itself.
    pub automatic: bool,
    /// How many steps everybody takes in peace before it begins.
    pub head_start: usize,
    /// How many choices are made then.
    pub choices: usize,
    /// How likely what is.
    pub weights: Weights,
    /// Whether the namespace may be deleted in its course.
    pub namespace_goes: bool,
    /// Whether somebody is told of every step.
    pub messages: bool,
    /// Whether events that pile up are delivered coalesced.
    pub coalesces: bool,
    /// Whether people go on helping in the end; otherwise deadlines have to end everything.
    pub helped: bool,
    /// The operator's write or call after which it crashes.
    pub crash_after: Option<u64>,
    /// Whether it had heard of that write's success.
    pub crash_hears: bool,
    /// The coupon.
    pub coupon: CouponPlan,
    /// Whether all orders are placed at once, most of them with the coupon.
    pub race: bool,
    /// The customer.
    pub customer: CustomerPlan,
    /// How many deliveries each rider carries; `None` for one who is only a name.
    pub capacities: [Option<u32>; 2],
    /// Whether there is another store, with the same prices.
    pub two_stores: bool,
    /// Whether orders that are settled are removed after a while.
    pub removes: bool,
    /// Whether counts hardly lag.
    pub counts_at_once: bool,
    /// Whether the replicas share the work; otherwise each does everything.
    pub shares: bool,
}

impl Plan {
    /// The plan of a case, by its first choices.
    pub fn of(case: &Case, choices: &mut ChoiceSequence) -> Self {
        let two = match case.pattern {
            Pattern::Two => true,
            Pattern::Stale | Pattern::Storm => choices.chance(60),
            Pattern::Faults => choices.chance(25),
            Pattern::Plain | Pattern::Crash | Pattern::Missed => false,
        };
        let race = choices.chance(30);
        let count = if race { 2 + choices.pick(&[1, 2]) } else { 1 + choices.pick(&[70, 22, 8]) };
        let orders = (0..count).map(|number| order(number, race, choices)).collect();
        let crashes = case.pattern == Pattern::Crash;
        Self {
            replicas: if two { 2 } else { 1 },
            orders,
            automatic: choices.chance(30),
            head_start: choices.pick(&[30, 20, 8, 8, 8, 7, 6, 5, 4, 4]),
            choices: 30 + 20 * choices.pick(&[3, 3, 2, 1, 1]),
            weights: weights(case.pattern),
            namespace_goes: choices.chance(12),
            messages: choices.chance(35),
            coalesces: case.pattern == Pattern::Missed
                || (case.pattern == Pattern::Storm && choices.chance(50)),
            helped: choices.chance(60),
            crash_after: crashes.then_some(1 + case.nth / 2),
            crash_hears: crashes && case.nth % 2 == 1,
            coupon: coupon(race, choices),
            race,
            customer: [CustomerPlan::Prefers, CustomerPlan::Undecided, CustomerPlan::Missing]
                [choices.pick(&[60, 20, 20])],
            capacities: [(); 2].map(|()| [None, Some(1), Some(2)][choices.pick(&[40, 40, 20])]),
            two_stores: choices.chance(15),
            removes: choices.chance(15),
            counts_at_once: choices.chance(40),
            shares: two && choices.chance(25),
        }
    }
}

fn coupon(race: bool, choices: &mut ChoiceSequence) -> CouponPlan {
    let most = [None, Some(1), Some(2)];
    let is_part = choices.chance(40);
    let most = most[if race { choices.pick(&[15, 55, 30]) } else { choices.pick(&[50, 30, 20]) }];
    CouponPlan { is_part, most, once_each: choices.chance(30), is_late: choices.chance(8) }
}

fn order(number: usize, race: bool, choices: &mut ChoiceSequence) -> OrderPlan {
    let same = !race && number > 0 && choices.chance(50);
    let name = match number {
        _ if same => "lunch",
        0 => "lunch",
        1 => "dinner",
        _ => "supper",
    };
    let stripe = choices.chance(40);
    let fails = choices.chance(25);
    let declined = choices.chance(10);
    let token_secret = !declined && choices.chance(12);
    let secret_is_late = token_secret && choices.chance(40);
    OrderPlan {
        name: name.into(),
        stripe,
        fails,
        declined,
        token_secret,
        secret_is_late,
        names_no_store: choices.chance(25),
        coupon: if race { !choices.chance(15) } else { choices.chance(30) },
        of_another: choices.chance(20),
    }
}

fn weights(pattern: Pattern) -> Weights {
    let calm = Weights { overtake: 10, event: 10, act: 8, time: 3, abandoned: 4, ..Weights::default() };
    match pattern {
        Pattern::Plain => Weights { fault: 1, ..calm },
        Pattern::Stale => Weights { freeze: 5, crash: 2, time: 5, ..calm },
        Pattern::Crash => Weights { fault: 1, act: 6, ..calm },
        Pattern::Missed => Weights { freeze: 6, broken: 6, event: 3, time: 4, ..calm },
        Pattern::Two => Weights { overtake: 25, event: 15, ..calm },
        Pattern::Faults => Weights { fault: 14, time: 6, crash: 1, ..calm },
        Pattern::Storm => Weights { overtake: 12, fault: 5, freeze: 3, broken: 3, crash: 2, time: 5, ..calm },
    }
}
