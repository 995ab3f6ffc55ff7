//! What all replicas of one schedule share: the API server, the providers, and everything that is on its way between
//! them. Nothing here happens by itself: requests, calls and events wait until the scheduler lets them through.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use fooddelivery_providers::DEFAULT_TIMEOUT;
use fooddelivery_providers::notification::{Message, SendOutcome};
use fooddelivery_saga::provider::CallFailure;
use jiff::Timestamp;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, timeout};

use crate::apiserver::{Cursor, Request, Response, Server, Verb};
use crate::message_provider::Inbox;
use crate::mutants::mutant::Mutant;
use crate::oracle::{Moment, Oracle};
use crate::provider::{Call, CallOutcome, Providers};
use crate::trace::Trace;

/// When every schedule begins: milliseconds since the Unix epoch.
pub const BEGINNING_MS: i64 = 1_800_000_000_000;

/// What a replica gets for a request: an answer, or a connection that broke.
pub type Reply = Option<Response>;

/// Something that is on its way.
pub struct Pending {
    /// Whose it is.
    pub replica: usize,
    /// When it was sent.
    pub sent: Moment,
    /// What it is.
    pub what: What,
}

/// What can be on its way.
pub enum What {
    /// A request to the API server.
    Api {
        /// As it was sent.
        request: Box<Request>,
        /// Where the answer goes.
        reply: oneshot::Sender<Reply>,
    },
    /// The answer to a request that was carried out, slower than the event of what it did.
    Answer {
        /// What it says.
        answer: Reply,
        /// Where it goes.
        reply: oneshot::Sender<Reply>,
    },
    /// A message to the message provider.
    Message {
        /// As it was sent.
        message: Box<Message>,
        /// Where the answer goes.
        reply: oneshot::Sender<SendOutcome>,
    },
    /// A call to a payment provider.
    Call {
        /// As it was sent.
        call: Box<Call>,
        /// Where the answer goes.
        reply: oneshot::Sender<CallOutcome>,
    },
}

impl Pending {
    /// Whether nobody waits for the answer any more: it may still arrive, at any later time or never.
    pub fn is_abandoned(&self) -> bool {
        match &self.what {
            What::Api { reply, .. } | What::Answer { reply, .. } => reply.is_closed(),
            What::Message { reply, .. } => reply.is_closed(),
            What::Call { reply, .. } => reply.is_closed(),
        }
    }

    /// Whether carrying it out may change something.
    pub fn is_effect(&self) -> bool {
        match &self.what {
            What::Api { request, .. } => request.verb != Verb::Get,
            What::Answer { .. } => false,
            What::Message { .. } => true,
            What::Call { call, .. } => call.moves_something(),
        }
    }
}

/// A running watch of a replica.
pub struct Stream {
    /// Whose it is.
    pub replica: usize,
    /// What it is about.
    pub plural: String,
    /// How far it has come.
    pub cursor: Cursor,
    /// Everything up to this version of the server was delivered; `None` before the first look.
    pub delivered: Option<u64>,
    /// Where the lines go.
    pub lines: mpsc::UnboundedSender<Bytes>,
}

/// All of it.
pub struct World {
    /// The API server.
    pub server: Server,
    /// The payment providers.
    pub providers: Providers,
    /// What the message provider has heard.
    pub inbox: Inbox,
    /// What is on its way, oldest first.
    pub pending: BTreeMap<u64, Pending>,
    /// Running watches, oldest first.
    pub streams: BTreeMap<u64, Stream>,
    /// Lists that allow any version are served to a replica as they were at this one.
    pub rewound: BTreeMap<usize, u64>,
    /// What must hold.
    pub oracle: Oracle,
    /// What happened, for people.
    pub trace: Trace,
    begun: u64,
    start: Instant,
}

/// The world, as everything in it has it.
#[derive(Clone)]
pub struct Shared {
    world: Arc<Mutex<World>>,
    /// Something new is on its way.
    pub arrived: Arc<Notify>,
    /// The mistake that every replica makes, if one is to be found.
    pub mutant: Option<Mutant>,
}

impl Shared {
    /// A world that begins now.
    pub fn new(server: Server, trace: Trace, mutant: Option<Mutant>) -> Self {
        let world = World {
            server,
            providers: Providers::default(),
            inbox: Inbox::default(),
            pending: BTreeMap::new(),
            streams: BTreeMap::new(),
            rewound: BTreeMap::new(),
            oracle: Oracle::default(),
            trace,
            begun: 0,
            start: Instant::now(),
        };
        Self { world: Arc::new(Mutex::new(world)), arrived: Arc::default(), mutant }
    }

    /// The world, for a moment. Never held across an await.
    pub fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a request of a replica's on its way, and waits for the answer.
    pub(crate) async fn send(&self, replica: usize, request: Request) -> Reply {
        let (reply, answer) = oneshot::channel();
        self.lock().send(replica, What::Api { request: Box::new(request), reply });
        self.arrived.notify_one();
        answer.await.ok().flatten()
    }

    /// Puts a call of a replica's on its way, and waits for its outcome.
    pub(crate) async fn ask(&self, replica: usize, call: Call) -> CallOutcome {
        let (reply, answer) = oneshot::channel();
        let timed_out = call.failed(CallFailure::OutcomeUnknown("timed out".into()));
        self.lock().send(replica, What::Call { call: Box::new(call), reply });
        self.arrived.notify_one();
        match timeout(DEFAULT_TIMEOUT, answer).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => timed_out,
        }
    }
}

impl World {
    /// Milliseconds since the beginning.
    pub fn elapsed_ms(&self) -> i64 {
        i64::try_from(self.start.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// When it began.
    pub fn start(&self) -> Instant {
        self.start
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(BEGINNING_MS + self.elapsed_ms()).unwrap_or_default()
    }

    /// A number for something that begins.
    pub fn number(&mut self) -> u64 {
        self.begun += 1;
        self.begun
    }

    /// Puts something on its way.
    pub fn send(&mut self, replica: usize, what: What) {
        let number = self.number();
        if let What::Call { call, .. } = &what {
            self.oracle.called(call, &self.server);
        }
        let sent = Moment { step: self.oracle.step, ms: self.elapsed_ms() };
        self.pending.insert(number, Pending { replica, sent, what });
    }

    /// Has the server carry out a request of anybody, and the oracle look at what came of it.
    pub fn request(&mut self, who: &str, user: &str, request: &Request) -> Response {
        let now = self.now();
        let before = self.server.version();
        let response = self.server.handle(request, user, now);
        if self.trace.is_recorded() {
            let elapsed = self.elapsed_ms();
            self.trace.request(elapsed, who, request, &response);
        }
        if self.server.version() != before {
            self.look();
        }
        response
    }

    /// Has the oracle look at what is.
    pub fn look(&mut self) {
        self.oracle.now_ms = self.elapsed_ms();
        self.oracle.look(&self.server, &self.providers);
    }

    /// Says what happens, when a trace is kept.
    pub fn say(&mut self, who: &str, what: impl FnOnce() -> String) {
        if self.trace.is_recorded() {
            let elapsed = self.elapsed_ms();
            self.trace.line(elapsed, who, &what());
        }
    }
}
