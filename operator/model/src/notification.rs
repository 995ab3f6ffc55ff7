//! A model of its own: an order whose history grows, providers that are notified of it, and two replicas that both
//! believe that the order is theirs. The machines of `saga::notification` and `saga::order_notification` decide here as they
//! do in the operator, with their postconditions: which step is sent, what an answer is worth, and when the progress is
//! written. Transcribed is what the model varies: copies of the order of any age, a progress that is in memory until a status
//! is written, and that a message is answered, lost or late. Clients and breakers are left out: a provider that cannot be
//! called is one that is called later.
//!
//! A provider is known to every replica as soon as it is there: one that came a moment before an order went may not be
//! notified of it.

use fooddelivery_saga::notification::next;
use stateright::{Model, Property};

pub use crate::notification_decisions::Fate;
use crate::notification_decisions::{Decided, Decisions, PROVIDERS_MAX, at};
use crate::snapshot::Snapshot;

/// The bounds of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Number of moves after which the order has ended.
    pub moves: u8,
    /// Whether a provider was there before the order.
    pub first: bool,
    /// Whether a provider comes at any time.
    pub second: bool,
    /// Crashes of replicas.
    pub crashes: u8,
    /// The mutant under test, if any.
    pub mutant: Option<Mutant>,
}

/// A mutant of how decisions are carried out; each must be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// A step is taken for told before it is sent.
    CursorFirst,
    /// A step is taken for told though nobody knows whether it was.
    TroubleIsTold,
    /// A deleted order goes whatever is still to be told.
    OwesNothing,
    /// A step that one provider was told of is taken for told to all.
    OneForAll,
}

/// The order, as far as messages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Order {
    /// How often it has moved.
    pub moves: u8,
    /// Number of leading steps that each provider was notified of, as its status says.
    pub told: [u8; PROVIDERS_MAX],
    /// Whether it is being deleted.
    pub deleting: bool,
}

/// A replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Replica {
    /// Its copy of the order.
    pub order: Snapshot<Order>,
    /// Number of leading steps that it has notified each provider of.
    pub told: [u8; PROVIDERS_MAX],
    /// The message that it is sending: the provider, and the step.
    pub sending: Option<(u8, u8)>,
}

/// What a provider has received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Provider {
    /// After how many moves it came; `None` before.
    pub came: Option<u8>,
    /// The number of the step that it is to hear next.
    pub hears: u8,
    /// Whether it heard a step before the one that came first.
    pub gap: bool,
    /// Steps that are on their way to it and of which nobody will hear.
    pub wire: u16,
}

/// Everything that is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    /// The order; `None` when it is gone.
    pub order: Option<Order>,
    /// The replicas.
    pub replicas: [Replica; 2],
    /// The providers.
    pub providers: [Provider; PROVIDERS_MAX],
    /// Number of crashes so far.
    pub crashes: u8,
    /// A decision broke a rule of its machine, and was not carried out.
    pub halted: bool,
}

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A replica moves the order on.
    Move(usize),
    /// A watch brings the order as it is.
    Watch(usize),
    /// A replica begins to send its next message to a provider.
    Send(usize, usize),
    /// That comes to its end.
    Sent(usize, Fate),
    /// A message of which nobody will hear arrives.
    Arrive(usize, u8),
    /// A replica writes how far it told everybody.
    LastWord(usize),
    /// The second provider comes.
    Come,
    /// The order is deleted.
    Delete,
    /// A replica lets it go.
    LetGo(usize),
    /// A replica crashes.
    Crash(usize),
}

/// In order.
pub const IN_ORDER: &str = "whoever is told, is first told of each step after the one before it";
/// Never ahead.
pub const NOT_AHEAD: &str = "no status says that more was told than was";
/// Complete.
pub const COMPLETE: &str = "no order goes before everybody was told of its last step";
/// Postconditions hold.
pub const CHECKED: &str = "no decision about a message breaks a rule of its machine";
/// In the end.
pub const ENDS: &str =
    "in fair weather everybody is told everything, the status says so, and a deleted order goes";

/// Maximum rounds of fair weather; more means that something goes round in circles.
const ROUNDS_MAX: usize = 40;

/// The model within its bounds.
#[derive(Debug, Clone)]
pub struct NotificationModel {
    bounds: Bounds,
    decisions: Decisions,
}

impl NotificationModel {
    /// Within these bounds.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, decisions: Decisions::new(bounds.moves) }
    }

    fn has(&self, mutant: Mutant) -> bool {
        self.bounds.mutant == Some(mutant)
    }

    /// What a replica is to do for a provider.
    fn next(&self, world: &World, replica: &Replica, of: usize) -> Decided {
        let came = world.providers.get(of).and_then(|provider| provider.came);
        let (written, own) = (replica.order.value.told.get(of), replica.told.get(of));
        match (came, written.max(own)) {
            (Some(came), Some(told)) => self.decisions.decided(replica.order.value.moves, *told, came, None),
            _ => Decided::Rest,
        }
    }

    /// Whether a replica writes how far it told everybody.
    fn last_word(&self, world: &World, replica: &Replica) -> Decided {
        let order = replica.order.value;
        let mut providers = [(0, None); PROVIDERS_MAX];
        for (n, slot) in providers.iter_mut().enumerate() {
            let told = replica.told.get(n).max(order.told.get(n)).copied().unwrap_or(0);
            *slot = (told, world.providers.get(n).and_then(|provider| provider.came));
        }
        self.decisions.decided_of_all(order.moves, providers)
    }

    /// The last step that there is, if a provider is to be told of it.
    fn last(&self, provider: Provider, moves: u8) -> Option<u8> {
        let since = at(provider.came?);
        let last = self.decisions.steps(moves).iter().rev().find(|step| step.at >= since)?;
        u8::try_from(last.number).ok()
    }

    /// The first step that a provider is to be told of, if there is one yet.
    fn first(&self, provider: Provider) -> Option<u8> {
        let step = next(self.decisions.steps(self.bounds.moves), 0, at(provider.came?))?;
        u8::try_from(step.number).ok()
    }

    fn hear(&self, provider: &mut Provider, step: u8) {
        let due = provider.hears.max(self.first(*provider).unwrap_or(0));
        provider.gap |= step > due;
        if step == due {
            provider.hears = step + 1;
        }
    }

    /// A replica writes the order's status, and takes along how far everybody was told.
    fn write(world: &mut World, replica: usize, moves: u8) -> Option<()> {
        let this = world.replicas.get_mut(replica)?;
        let order = world.order.as_mut().filter(|_| this.order.current)?;
        order.moves = moves;
        for (written, own) in order.told.iter_mut().zip(this.told) {
            *written = own.max(*written);
        }
        let written = *order;
        changed(world);
        world.replicas.get_mut(replica)?.order = Snapshot::of(written);
        Some(())
    }

    fn owes(&self, world: &World, replica: &Replica) -> bool {
        let owed = |of| self.next(world, replica, of) != Decided::Rest;
        !self.has(Mutant::OwesNothing) && (0..PROVIDERS_MAX).any(owed)
    }

    /// Sending comes to its end; what that is worth is decided.
    fn sent(&self, world: &mut World, replica: usize, fate: Fate) -> Option<()> {
        let this = world.replicas.get_mut(replica)?;
        let (of, step) = this.sending.take()?;
        let provider = world.providers.get_mut(usize::from(of))?;
        // The copy that the message was decided on has this step, whichever is held by now.
        let told = match self.decisions.decided(self.bounds.moves, step, provider.came?, Some(fate)) {
            Decided::Halt => {
                world.halted = true;
                return Some(());
            }
            Decided::Told(told) => Some(told),
            Decided::Rest | Decided::Send(_) | Decided::Write => None,
        };
        if let Some(told) = told.or(self.has(Mutant::TroubleIsTold).then_some(step + 1)) {
            *this.told.get_mut(usize::from(of))? = told;
        }
        if let Some(told) = told.filter(|_| self.has(Mutant::OneForAll)) {
            this.told = [told; PROVIDERS_MAX];
        }
        match fate {
            Fate::Answered => self.hear(provider, step),
            Fate::Lost => provider.wire |= 1 << step,
        }
        Some(())
    }

    fn happen(&self, world: &mut World, event: Event) -> Option<()> {
        match event {
            Event::Move(replica) => {
                let moves = world.replicas.get(replica)?.order.value.moves + 1;
                Self::write(world, replica, moves)?;
            }
            Event::Watch(replica) => {
                let order = world.order?;
                world.replicas.get_mut(replica)?.order = Snapshot::of(order);
            }
            Event::Send(replica, of) => {
                let step = match self.next(world, world.replicas.get(replica)?, of) {
                    Decided::Send(step) => step,
                    Decided::Halt => {
                        world.halted = true;
                        return Some(());
                    }
                    Decided::Rest | Decided::Told(_) | Decided::Write => return None,
                };
                let this = world.replicas.get_mut(replica)?;
                this.sending = Some((u8::try_from(of).ok()?, step));
                if self.has(Mutant::CursorFirst) {
                    *this.told.get_mut(of)? = step + 1;
                }
            }
            Event::Sent(replica, fate) => self.sent(world, replica, fate)?,
            Event::Arrive(of, step) => {
                let provider = world.providers.get_mut(of)?;
                provider.wire &= !(1 << step);
                self.hear(provider, step);
            }
            Event::LastWord(replica) => {
                if self.last_word(world, world.replicas.get(replica)?) == Decided::Halt {
                    world.halted = true;
                    return Some(());
                }
                let moves = world.replicas.get(replica)?.order.value.moves;
                Self::write(world, replica, moves)?;
            }
            Event::Come => world.providers.get_mut(1)?.came = Some(world.order?.moves + 1),
            Event::Delete => {
                world.order.as_mut()?.deleting = true;
                changed(world);
            }
            Event::LetGo(replica) => {
                world.replicas.get(replica).filter(|r| r.order.current)?;
                world.order = None;
                changed(world);
            }
            Event::Crash(replica) => {
                world.crashes += 1;
                let this = world.replicas.get_mut(replica)?;
                if let Some((of, step)) = this.sending {
                    world.providers.get_mut(usize::from(of))?.wire |= 1 << step;
                }
                let order = world.order.map_or(this.order, Snapshot::of);
                *this = Replica { order, told: [0; PROVIDERS_MAX], sending: None };
            }
        }
        Some(())
    }

    /// Forgets what makes no difference: messages that were heard before, and progress that the copy of the order shows.
    fn forget(world: &mut World) {
        for provider in &mut world.providers {
            provider.wire = provider.wire >> provider.hears << provider.hears;
        }
        for replica in &mut world.replicas {
            for (own, written) in replica.told.iter_mut().zip(replica.order.value.told) {
                *own = written.max(*own);
            }
        }
    }

    /// Plays fair weather: what is lost stays lost, and the replicas do their work. Nobody moves the order.
    fn settles(&self, world: &World) -> bool {
        let mut world = world.clone();
        for _ in 0..ROUNDS_MAX {
            let before = world.clone();
            for replica in 0..world.replicas.len() {
                self.happen(&mut world, Event::Watch(replica));
                for of in 0..PROVIDERS_MAX {
                    self.happen(&mut world, Event::Send(replica, of));
                    self.happen(&mut world, Event::Sent(replica, Fate::Answered));
                }
                for event in [Event::LastWord(replica), Event::LetGo(replica)] {
                    if self.may(&world, event) {
                        self.happen(&mut world, event);
                    }
                }
            }
            if world == before {
                return self.is_right(&world);
            }
        }
        false
    }

    fn is_right(&self, world: &World) -> bool {
        if world.halted {
            return false;
        }
        let moves = world.order.map_or(self.bounds.moves, |order| order.moves);
        let all_told = world
            .providers
            .into_iter()
            .all(|provider| self.last(provider, moves).is_none_or(|last| provider.hears == last + 1));
        let Some(order) = world.order else { return all_told };
        let ended = order.moves == self.bounds.moves;
        let written = order
            .told
            .iter()
            .zip(&world.providers)
            .all(|(told, provider)| self.last(*provider, moves).is_none_or(|last| *told == last + 1));
        all_told && (!ended || (written && !order.deleting))
    }

    fn may(&self, world: &World, event: Event) -> bool {
        let ended = |replica: &Replica| replica.order.value.moves == self.bounds.moves;
        match event {
            Event::LastWord(replica) => world.replicas.get(replica).is_some_and(|replica| {
                let more = replica.told.iter().zip(replica.order.value.told).any(|(own, told)| *own > told);
                // What waits for long is written sooner, too; it is left out, as an order that moves writes the same.
                let due = ended(replica) && self.last_word(world, replica) != Decided::Rest;
                replica.order.current && due && more
            }),
            Event::LetGo(replica) => world.replicas.get(replica).is_some_and(|replica| {
                let leaves = replica.order.value.deleting && ended(replica);
                replica.order.current && leaves && !self.owes(world, replica)
            }),
            _ => true,
        }
    }
}

/// All copies of the order are old now.
fn changed(world: &mut World) {
    for replica in &mut world.replicas {
        replica.order.current = false;
    }
}

impl Model for NotificationModel {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        let order = Order::default();
        let replica = Replica { order: Snapshot::of(order), told: [0; PROVIDERS_MAX], sending: None };
        let first = Provider { came: self.bounds.first.then_some(0), ..Provider::default() };
        let providers = [first, Provider::default()];
        vec![World { order: Some(order), replicas: [replica; 2], providers, crashes: 0, halted: false }]
    }

    fn actions(&self, world: &World, events: &mut Vec<Event>) {
        for (r, replica) in world.replicas.iter().enumerate() {
            if replica.order.current && replica.order.value.moves < self.bounds.moves {
                events.push(Event::Move(r));
            }
            if world.order.is_some() && !replica.order.current {
                events.push(Event::Watch(r));
            }
            if replica.sending.is_some() {
                events.extend([Event::Sent(r, Fate::Answered), Event::Sent(r, Fate::Lost)]);
            } else {
                let due = (0..PROVIDERS_MAX).filter(|of| self.next(world, replica, *of) != Decided::Rest);
                events.extend(due.map(|of| Event::Send(r, of)));
            }
            let own = [Event::LastWord(r), Event::LetGo(r)];
            events.extend(own.into_iter().filter(|event| self.may(world, *event)));
            if world.crashes < self.bounds.crashes {
                events.push(Event::Crash(r));
            }
        }
        for (of, provider) in world.providers.iter().enumerate() {
            let under_way = (0..16).filter(|step| provider.wire & (1 << step) != 0);
            events.extend(under_way.map(|step| Event::Arrive(of, step)));
        }
        let Some(order) = world.order else { return };
        if self.bounds.second && world.providers.get(1).is_some_and(|provider| provider.came.is_none()) {
            events.push(Event::Come);
        }
        if !order.deleting {
            events.push(Event::Delete);
        }
    }

    fn next_state(&self, world: &World, event: Event) -> Option<World> {
        let mut next = world.clone();
        self.happen(&mut next, event)?;
        Self::forget(&mut next);
        next.replicas.sort_unstable();
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(IN_ORDER, |_, w: &World| w.providers.iter().all(|provider| !provider.gap)),
            Property::always(NOT_AHEAD, |_, w: &World| {
                w.order.is_none_or(|order| {
                    order.told.iter().zip(&w.providers).all(|(told, provider)| *told <= provider.hears)
                })
            }),
            Property::always(CHECKED, |_, w: &World| !w.halted),
            Property::always(COMPLETE, |model: &Self, w: &World| w.order.is_some() || model.is_right(w)),
            Property::always(ENDS, |model: &Self, w: &World| {
                let calm = w.replicas.iter().all(|replica| replica.sending.is_none());
                !calm || model.settles(w)
            }),
        ]
    }
}
