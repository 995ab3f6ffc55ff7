//! How far the model goes, and how decisions are carried out: as the controllers do, or by a mutant, which the model has
//! to find.

use fooddelivery_saga::phases::WhenUnavailable;

/// The total of an order, in the currency's smallest unit.
pub const TOTAL: i64 = 10_000;

/// Maximum number of payments, of tickets and of deliveries that are created under the order's name, tombstones among
/// them.
pub const CREATED_MAX: u8 = 2;

/// The bounds of one run. Within them every order of events is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Replicas of the operator.
    pub replicas: usize,
    /// Steps that are decided and not carried out yet, over all replicas and controllers.
    pub in_flight: usize,
    /// Whether a watch brings every version one by one; else it may skip to the newest.
    pub every_version: bool,
    /// Whether caches lag at all.
    pub stale: bool,
    /// Calls to the provider that go wrong.
    pub faults: u8,
    /// Crashes of replicas.
    pub crashes: u8,
    /// Whether a replica may stop between its live read of the order and its create of a ticket or delivery. Else the
    /// two are one step.
    pub freezes: bool,
    /// Times that all deadlines pass.
    pub epochs: u8,
    /// Claims by riders.
    pub claims: u8,
    /// Whether the customer may cancel, at any time.
    pub cancel: bool,
    /// Whether the order may be deleted, at any time.
    pub delete: bool,
    /// Whether the provider may decline.
    pub declines: bool,
    /// Whether payments are prepared at the provider, and voided there, rather than charged again to find out.
    pub prepares: bool,
    /// Whether payments are created with the intent to charge, as they are where the provider is known and within reach.
    pub intends: bool,
    /// Whether the store acts, and how far.
    pub store: Store,
    /// Whether riders act and the customer confirms.
    pub riders: bool,
    /// What the order wants when the provider is out of reach.
    pub when_unavailable: WhenUnavailable,
    /// Where the run begins.
    pub start: Start,
    /// How decisions are carried out.
    pub carrying: Carrying,
}

/// What the store does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Store {
    /// Nothing.
    Idle,
    /// It moves tickets, but never to `Rejected`.
    Cooks,
    /// All that it may.
    Free,
}

/// Where a run begins. What lies before it is played in fair weather.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The order was just applied.
    Applied,
    /// It is paid and its ticket waits in the store's queue.
    InQueue,
    /// The food is cooked and waits for a rider.
    Cooked,
    /// A rider has the food.
    PickedUp,
}

/// How the model carries out what `saga` decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carrying {
    /// A child is patched or deleted as the version that was decided on; else as the one that the cache has by then.
    pub decided_version: bool,
    /// Before each step on a child the order is read live, and the step is taken only if it is as it was decided on.
    pub order_is_live: bool,
    /// The mutant under test, if any.
    pub mutant: Option<Mutant>,
}

impl Carrying {
    /// As the controllers do.
    pub const RIGHT: Self = Self { decided_version: true, order_is_live: true, mutant: None };
}

/// A mutant of how decisions are carried out; each must be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// An order's status is written without compare-and-set.
    BlindOrderStatus,
    /// A payment's status is written without compare-and-set.
    BlindPaymentStatus,
    /// The provider is called before the intent to charge is recorded.
    ChargeBeforeIntent,
    /// A payment is charged under the intent of its creation by another replica than the one that made it, without recording it.
    ChargeOthersIntent,
    /// The money is asked back before the ticket is fenced.
    MoneyBeforeTicket,
    /// A payment goes when its order has ended, wherever its money is.
    DropBeforeRefund,
    /// Each call has an idempotency key of its own.
    FreshKeys,
    /// A prepared payment is charged before its id is stored.
    ChargeBeforeId,
    /// No tombstone stands where a ticket could still be made.
    NoTombstone,
}
