//! The door between a replica's `kube::Client` and the API server: reads and writes wait at it until the scheduler lets
//! them through; lists and watches begin at once, and what watches bring is up to the scheduler.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use fooddelivery_api::policies::operator_user;
use http::header::CONTENT_TYPE;
use http_body::Frame;
use kube::Client;
use kube::client::Body;
use tokio::sync::mpsc;
use tower::BoxError;

use crate::apiserver::{Request, Response, Verb};
use crate::mutants::Mutation;
use crate::world::{Shared, Stream};

/// A client for a replica, by its number. It belongs to the tokio runtime that calls this.
pub(crate) fn client(shared: &Shared, replica: usize) -> Client {
    let mutation = Mutation::of(shared, replica).map(Arc::new);
    Client::new(InterceptedTransport { shared: shared.clone(), replica, mutation }, "default")
}

#[derive(Clone)]
struct InterceptedTransport {
    shared: Shared,
    replica: usize,
    mutation: Option<Arc<Mutation>>,
}

impl tower::Service<http::Request<Body>> for InterceptedTransport {
    type Response = http::Response<Answer>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let transport = self.clone();
        Box::pin(async move { transport.pass(request).await })
    }
}

impl InterceptedTransport {
    async fn pass(self, request: http::Request<Body>) -> Result<http::Response<Answer>, BoxError> {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await?;
        let type_ = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let request = match Request::of_http(&parts.method, &parts.uri, type_, body) {
            Ok(request) => request,
            Err(response) => return answered(response),
        };
        match request.verb {
            Verb::List => {
                let response = self.list(&request);
                answered(match &self.mutation {
                    Some(mutation) => mutation.listed(&request, response),
                    None => response,
                })
            }
            Verb::Watch => self.watch(&request),
            // Signs of life are no part of what is played.
            _ if request.plural == "leases" => {
                let mut world = self.shared.lock();
                let now = world.now();
                answered(world.server.handle(&request, &operator_user(), now))
            }
            _ => {
                let reply = match &self.mutation {
                    Some(mutation) => mutation.exchange(request).await,
                    None => self.shared.send(self.replica, request).await,
                };
                match reply {
                    Some(response) => answered(response),
                    None => Err(Box::new(io::Error::from(io::ErrorKind::ConnectionReset))),
                }
            }
        }
    }

    fn list(&self, request: &Request) -> Response {
        let world = self.shared.lock();
        let version = world.rewound.get(&self.replica).copied().unwrap_or_else(|| world.server.version());
        world.server.handle_stale_list(request, version)
    }

    fn watch(&self, request: &Request) -> Result<http::Response<Answer>, BoxError> {
        let mut world = self.shared.lock();
        let cursor = match world.server.watch(request) {
            Ok(cursor) => cursor,
            Err(response) => return answered(response),
        };
        let (lines, received) = mpsc::unbounded_channel();
        let number = world.number();
        let (replica, plural) = (self.replica, request.plural.clone());
        world.streams.insert(number, Stream { replica, plural, cursor, delivered: None, lines });
        drop(world);
        self.shared.arrived.notify_one();
        let mutation = self.mutation.clone().map(|mutation| (mutation, request.plural.clone()));
        Ok(http::Response::new(Answer::Lines(received, mutation)))
    }
}

fn answered(response: Response) -> Result<http::Response<Answer>, BoxError> {
    let answer = http::Response::builder().status(response.code).header(CONTENT_TYPE, "application/json");
    Ok(answer.body(Answer::Whole(Some(response.body)))?)
}

/// The body of an answer.
enum Answer {
    Whole(Option<Bytes>),
    Lines(mpsc::UnboundedReceiver<Bytes>, Option<(Arc<Mutation>, String)>),
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Lines(lines, mutation) => lines.poll_recv(context).map(|lines| {
                let shown = lines.map(|lines| match mutation {
                    Some((mutation, plural)) => mutation.watched(plural, &lines),
                    None => lines,
                });
                shown.map(|lines| Ok(Frame::data(lines)))
            }),
        }
    }
}
