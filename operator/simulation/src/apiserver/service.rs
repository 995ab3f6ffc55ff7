//! The server behind HTTP: a tower service for `kube::Client`, and the handles by which a harness spoils it.
//!
//! One [`Cluster`] is shared by any number of clients, each with a name (a replica) and a user. Everything runs on the
//! caller's tasks; the lock is never held across an await; watches wake in the order in which they began, so that on a
//! current-thread runtime, with paused time, the same run is the same every time. A tokio runtime with time is needed:
//! watches end after their `timeoutSeconds`, and bring bookmarks every minute.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use fooddelivery_simulation::apiserver::service::Cluster;
//! use fooddelivery_simulation::apiserver::faults::NoFaults;
//! use fooddelivery_simulation::apiserver::{Catalog, Server};
//!
//! let now = || jiff::Timestamp::UNIX_EPOCH; // A harness takes it from tokio's paused clock.
//! let cluster = Cluster::new(Server::new(Catalog::shared()?, 7, now()), now, NoFaults);
//! cluster.with(|server| server.add_namespace("food", now()));
//! let replica = cluster.client("operator-0", &fooddelivery_api::policies::operator_user());
//! cluster.watches("operator-0").of("orders").freeze();
//! // … run controllers on `replica` …
//! cluster.watches("operator-0").release();
//! cluster.with(|server| server.collect_garbage(now()));
//! # Ok(())
//! # }
//! ```

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use serde_json::json;
use tokio::time::{Instant, Sleep};
use tower::BoxError;

use super::failure::Failure;
use super::faults::{Fault, FaultPlan, RequestInfo, WatchState};
use super::request::{Request, Verb};
use super::response::Response;
use super::server::Server;
use super::watch::{Cursor, Pulled, expired_line};

/// How often a quiet watch says how far the server has come.
const BOOKMARK_EVERY: Duration = Duration::from_mins(1);
/// How long before its end a watch brings its last bookmark, in seconds.
const BEFORE_THE_END: u64 = 2;
/// How long a watch lasts whose client does not say.
const WATCH_SECONDS: u64 = 1_800;
/// Maximum events that go out at once.
const LINES_AT_ONCE: usize = 64;

type Answer = http::Response<UnsyncBoxBody<Bytes, BoxError>>;

struct State {
    server: Server,
    watches: BTreeMap<(String, String), WatchState>,
    requests: BTreeMap<String, u64>,
    wakers: BTreeMap<u64, Waker>,
    begun: u64,
}

struct Shared {
    state: Mutex<State>,
    clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
    faults: Box<dyn FaultPlan>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to the state, and then wakes the watches, in the order in which they began.
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let (done, wakers) = {
            let mut state = self.lock();
            let done = act(&mut state);
            (done, std::mem::take(&mut state.wakers))
        };
        wakers.into_values().for_each(Waker::wake);
        done
    }
}

/// A simulated cluster: one server and its clients.
#[derive(Clone)]
pub struct Cluster(Arc<Shared>);

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cluster")
    }
}

impl Cluster {
    /// A cluster around a server. `clock` says what time it is when a request is carried out.
    pub fn new(
        server: Server,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
        faults: impl FaultPlan + 'static,
    ) -> Self {
        let state = State {
            server,
            watches: BTreeMap::new(),
            requests: BTreeMap::new(),
            wakers: BTreeMap::new(),
            begun: 0,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), clock: Box::new(clock), faults: Box::new(faults) }))
    }

    /// A client that acts as `user` and goes by the user's name.
    pub fn client_for(&self, user: &str) -> Client {
        self.client(user, user)
    }

    /// A client by a name of its own, such as a replica's, that acts as `user`. It belongs to the tokio runtime that
    /// calls this. Clients of the same name share their watches' fate.
    pub fn client(&self, name: &str, user: &str) -> Client {
        let service = Wire { shared: self.0.clone(), client: name.into(), user: user.into() };
        Client::new(service, "default")
    }

    /// Uses the server itself, between requests; watches are woken afterwards.
    pub fn with<T>(&self, act: impl FnOnce(&mut Server) -> T) -> T {
        self.0.with(|state| act(&mut state.server))
    }

    /// Wakes all watches, to look again whether they may deliver.
    pub fn nudge(&self) {
        self.0.with(|_| ());
    }

    /// The watches of a client, of all kinds.
    pub fn watches(&self, client: &str) -> Watches {
        Watches { shared: self.0.clone(), client: client.into(), plural: None }
    }
}

/// The watches of one client: of all kinds, or [`Watches::of`] one. What is set holds for those that run and those
/// that begin later.
pub struct Watches {
    shared: Arc<Shared>,
    client: String,
    plural: Option<String>,
}

impl Watches {
    /// Only those of one kind, by plural.
    #[must_use]
    pub fn of(&self, plural: &str) -> Self {
        Self { shared: self.shared.clone(), client: self.client.clone(), plural: Some(plural.into()) }
    }

    /// Holds events back.
    pub fn freeze(&self) {
        self.allow(0);
    }

    /// Lets `events` events of each kind through, and holds the rest back.
    pub fn allow(&self, events: usize) {
        self.set(|watch| watch.allowance = Some(events));
    }

    /// Lets events through, also those that were held back.
    pub fn release(&self) {
        self.set(|watch| watch.allowance = None);
    }

    /// Ends the running watches; the client begins new ones where they were.
    pub fn break_off(&self) {
        self.set(|watch| watch.epoch += 1);
    }

    /// The next watch that begins, of each kind, finds its resourceVersion gone (410), so that the client lists
    /// again. Together with [`Self::break_off`] this happens at once.
    pub fn gone(&self) {
        self.set(|watch| watch.is_gone = true);
    }

    /// Whether of several changes of an object that are due only the last is delivered.
    pub fn coalesce(&self, yes: bool) {
        self.set(|watch| watch.coalesce = yes);
    }

    /// Lists are served as they were at `version`, as by a watch cache that lags after a restart; watches that begin
    /// there bring the rest. `None`: as things are.
    ///
    /// A real server does so only where the request allows any version (`resourceVersion=0`). kube's watcher leaves
    /// that out of paged lists, also with `any_semantic`, so with its defaults this is harsher than reality: it shows
    /// whether an operator needs the guarantee that it has.
    pub fn rewind(&self, version: Option<u64>) {
        self.set(|watch| watch.rewound = version);
    }

    /// Each running watch that has nothing else to bring brings a bookmark.
    pub fn bookmark(&self) {
        self.set(|watch| watch.bookmarks += 1);
    }

    fn set(&self, change: impl Fn(&mut WatchState)) {
        self.shared.with(|state| {
            let all = || state.server.catalog.kinds.iter().map(|kind| kind.plural.clone()).collect();
            let plurals: Vec<String> = self.plural.clone().map_or_else(all, |plural| vec![plural]);
            for plural in plurals {
                change(state.watches.entry((self.client.clone(), plural)).or_default());
            }
        });
    }
}

/// The service that a client sends its requests to.
#[derive(Clone)]
struct Wire {
    shared: Arc<Shared>,
    client: String,
    user: String,
}

impl tower::Service<http::Request<Body>> for Wire {
    type Response = Answer;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let wire = self.clone();
        Box::pin(async move { wire.answer(request).await })
    }
}

impl Wire {
    async fn answer(self, request: http::Request<Body>) -> Result<Answer, BoxError> {
        let (parts, body) = request.into_parts();
        if let "/readyz" | "/livez" | "/healthz" = parts.uri.path() {
            return Ok(self.respond(200, Bytes::from_static(b"ok"), None));
        }
        if parts.uri.path() == "/version" {
            let version = json!({
                "major": "1", "minor": "36", "gitVersion": "v1.36.3", "gitCommit": "", "gitTreeState": "",
                "buildDate": "", "goVersion": "", "compiler": "", "platform": "",
            });
            return Ok(self.respond(200, Bytes::from(version.to_string()), None));
        }
        let body = body.collect().await?.to_bytes();
        let type_ = parts.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let request = match Request::parse(&parts.method, &parts.uri, type_, body) {
            Ok(request) => request,
            Err(failure) => return Ok(self.plain(failure.into())),
        };
        match self.fault(&request) {
            Fault::None => {}
            Fault::Status(code, after) => return Ok(self.refusal(code, after)),
            Fault::DropBefore => return Err(dropped()),
            Fault::Delay(time) => tokio::time::sleep(time).await,
            Fault::DropAfter => {
                // Nobody is told what came of it.
                let _ = self.carry_out(request);
                return Err(dropped());
            }
        }
        Ok(self.carry_out(request))
    }

    fn fault(&self, request: &Request) -> Fault {
        let number = {
            let mut state = self.shared.lock();
            let number = state.requests.entry(self.client.clone()).or_default();
            *number += 1;
            *number - 1
        };
        self.shared.faults.before(&RequestInfo {
            client: &self.client,
            user: &self.user,
            verb: request.verb,
            plural: &request.plural,
            namespace: request.namespace.as_deref().unwrap_or_default(),
            name: request.name.as_deref().unwrap_or_default(),
            subresource: request.subresource.as_deref().unwrap_or_default(),
            number,
        })
    }

    fn carry_out(&self, request: Request) -> Answer {
        let now = (self.shared.clock)();
        match request.verb {
            Verb::Watch => self.begin_watch(request),
            Verb::List => {
                let state = self.shared.lock();
                let key = (self.client.clone(), request.plural.clone());
                let rewound = state.watches.get(&key).and_then(|watch| watch.rewound);
                let version = rewound.unwrap_or_else(|| state.server.version());
                let response = state.server.handle_stale_list(&request, version);
                drop(state);
                self.plain(response)
            }
            Verb::Get => {
                let response = self.shared.lock().server.handle(&request, &self.user, now);
                self.plain(response)
            }
            _ => self.plain(self.shared.with(|state| state.server.handle(&request, &self.user, now))),
        }
    }

    fn begin_watch(&self, request: Request) -> Answer {
        let mut state = self.shared.lock();
        let cursor = match state.server.watch(&request) {
            Ok(cursor) => cursor,
            Err(response) => {
                drop(state);
                return self.plain(response);
            }
        };
        let begun = state.begun;
        state.begun += 1;
        let plural = request.plural;
        let watch = state.watches.entry((self.client.clone(), plural.clone())).or_default();
        let is_gone = std::mem::take(&mut watch.is_gone);
        let (epoch, bookmarks) = (watch.epoch, watch.bookmarks);
        drop(state);
        let seconds = request.options.timeout_seconds.unwrap_or(WATCH_SECONDS);
        let now = Instant::now();
        // A watch that is about to end says how far it has come, so that the next one need not go back.
        let last_word = seconds.saturating_sub(BEFORE_THE_END);
        let first_bookmark =
            if last_word == 0 { BOOKMARK_EVERY } else { Duration::from_secs(last_word).min(BOOKMARK_EVERY) };
        let body = WatchBody {
            shared: self.shared.clone(),
            key: (self.client.clone(), plural),
            number: begun,
            cursor,
            epoch,
            bookmarks,
            is_gone,
            ends: Box::pin(tokio::time::sleep_until(now + Duration::from_secs(seconds))),
            bookmark: Box::pin(tokio::time::sleep_until(now + first_bookmark)),
            is_over: false,
        };
        self.response(200, body.boxed_unsync(), None)
    }

    fn refusal(&self, code: u16, after: Option<u32>) -> Answer {
        let (reason, message) = match code {
            429 => (
                "TooManyRequests",
                "the server has received too many requests and has asked us to try again later",
            ),
            503 => ("ServiceUnavailable", "the server is currently unable to handle the request"),
            504 => ("Timeout", "the server was unable to return a response in the time allotted"),
            _ => ("InternalError", "an error on the server has prevented the request from succeeding"),
        };
        let details = after.map(|seconds| json!({ "retryAfterSeconds": seconds }));
        let failure = Failure { code, reason, message: message.into(), details };
        self.respond(code, Bytes::from(failure.body().to_string()), after)
    }

    fn plain(&self, response: Response) -> Answer {
        self.respond(response.code, response.body, None)
    }

    fn respond(&self, code: u16, body: Bytes, after: Option<u32>) -> Answer {
        self.response(code, Full::new(body).map_err(|never| match never {}).boxed_unsync(), after)
    }

    fn response(&self, code: u16, body: UnsyncBoxBody<Bytes, BoxError>, after: Option<u32>) -> Answer {
        let mut response = http::Response::new(body);
        *response.status_mut() =
            http::StatusCode::from_u16(code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
        let date = (self.shared.clock)().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let headers = response.headers_mut();
        headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        if let Ok(date) = http::HeaderValue::from_str(&date) {
            headers.insert(http::header::DATE, date);
        }
        if let Some(after) = after {
            headers.insert(http::header::RETRY_AFTER, after.into());
        }
        response
    }
}

fn dropped() -> BoxError {
    let why = "the connection was reset by the simulation";
    Box::new(std::io::Error::new(std::io::ErrorKind::ConnectionReset, why))
}

/// The body of a watch.
struct WatchBody {
    shared: Arc<Shared>,
    key: (String, String),
    number: u64,
    cursor: Cursor,
    epoch: u64,
    bookmarks: u64,
    is_gone: bool,
    ends: Pin<Box<Sleep>>,
    bookmark: Pin<Box<Sleep>>,
    is_over: bool,
}

impl WatchBody {
    /// What goes out now; `None`: nothing yet.
    fn next(&mut self, context: &mut Context<'_>) -> Option<Bytes> {
        let shared = self.shared.clone();
        let mut state = shared.lock();
        state.wakers.insert(self.number, context.waker().clone());
        let watch = state.watches.get(&self.key).copied().unwrap_or_default();
        if watch.epoch != self.epoch {
            self.is_over = true;
            return None;
        }
        let granted = shared.faults.watch_may_deliver(&self.key.0, &self.key.1);
        let most = watch.allowance.unwrap_or(usize::MAX).min(granted).min(LINES_AT_ONCE);
        if self.is_gone {
            self.is_over = true;
            return Some(expired_line("too old resource version: the simulation has forgotten it"));
        }
        if most == 0 {
            return None;
        }
        match state.server.pull(&mut self.cursor, most, watch.coalesce) {
            Pulled::Lines(lines) => {
                if let Some(watch) = state.watches.get_mut(&self.key) {
                    watch.allowance = watch.allowance.map(|left| left.saturating_sub(lines.len()));
                }
                Some(Bytes::from(lines.concat()))
            }
            Pulled::Expired(line) => {
                self.is_over = true;
                Some(line)
            }
            Pulled::Nothing => {
                let mut is_due = self.bookmarks < watch.bookmarks;
                self.bookmarks = watch.bookmarks;
                while self.bookmark.as_mut().poll(context).is_ready() {
                    is_due = true;
                    let last_word = self.ends.deadline() - Duration::from_secs(BEFORE_THE_END);
                    let next = Instant::now() + BOOKMARK_EVERY;
                    self.bookmark.as_mut().reset(if Instant::now() < last_word {
                        next.min(last_word)
                    } else {
                        next
                    });
                }
                if is_due { state.server.bookmark(&mut self.cursor) } else { None }
            }
        }
    }
}

impl http_body::Body for WatchBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if let Some(line) = self.next(context) {
            return Poll::Ready(Some(Ok(Frame::data(line))));
        }
        if self.is_over || self.ends.as_mut().poll(context).is_ready() {
            self.is_over = true;
            return Poll::Ready(None);
        }
        Poll::Pending
    }
}

impl Drop for WatchBody {
    fn drop(&mut self) {
        self.shared.lock().wakers.remove(&self.number);
    }
}
