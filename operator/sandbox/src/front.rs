//! The front of the payment API, the same for all dialects: outage, authentication, idempotency key, answer.
//!
//! It knows HTTP and no payment; what a call does is decided by its execution. Calls about messages arrive and are
//! answered here too, and have a front of their own.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, FromRequest, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;

use crate::calls::CallRecord;
use crate::connection::Cut;
use crate::execution::{Call, Wire, execute};
use crate::faults::Operation;
use crate::idempotency::{Answer, Presented};
use crate::outage::{self, Met};
use crate::protocol::{Protocol, ProtocolError};
use crate::state::App;

/// A request that has been read, and not yet understood.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) app: Arc<App>,
    cut: Cut,
    uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl FromRequest<Arc<App>> for Arrival {
    type Rejection = Response;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Response> {
        let cut = request.extensions().get::<ConnectInfo<Cut>>().map(|ConnectInfo(cut)| cut.clone());
        // The server puts it there for every connection.
        let cut = cut.ok_or_else(|| StatusCode::INTERNAL_SERVER_ERROR.into_response())?;
        let (uri, headers) = (request.uri().clone(), request.headers().clone());
        let body = Bytes::from_request(request, app).await.map_err(IntoResponse::into_response)?;
        Ok(Self { app: Arc::clone(app), cut, uri, headers, body })
    }
}

impl Arrival {
    /// The query string, without its question mark.
    pub(crate) fn query(&self) -> &str {
        self.uri.query().unwrap_or_default()
    }

    /// Has the request executed, unless something speaks against it, and answers. `parameters` are what a repeat
    /// with the same idempotency key is compared by, where the dialect compares.
    pub(crate) async fn respond<P: Protocol>(
        self,
        operation: Operation,
        request: P,
        parameters: String,
    ) -> Response {
        let method = if operation == Operation::LookUp { "GET" } else { "POST" };
        let noted = |met| self.note_outage::<P>(operation, method, met);
        match self.app.outage.meet(noted).await {
            Some(Met::Cut) => return self.show::<P>(&Wire::Cut),
            Some(Met::Status(status)) => {
                return response::<P>(&P::error_response(ProtocolError::ServerError(status)));
            }
            None => {}
        }
        let presented = P::authenticate(&self.headers, &self.app.config.secret_keys)
            .and_then(|api_key| self.presented::<P>(api_key, method, parameters));
        let presented = match presented {
            Ok(presented) => presented,
            Err(refusal) => return response::<P>(&refusal),
        };
        let path = self.uri.path().to_owned();
        let correlation_id = self.header("x-correlation-id");
        let call = Call { operation, request, method, path, presented, correlation_id };
        let wire = execute(&self.app, call).await;
        self.show::<P>(&wire)
    }

    /// The idempotency key, if there is one; reads have none.
    fn presented<P: Protocol>(
        &self,
        api_key: &str,
        method: &'static str,
        parameters: String,
    ) -> Result<Option<Presented>, Answer> {
        let Some(value) = self.headers.get("idempotency-key").filter(|_| method != "GET") else {
            return Ok(None);
        };
        let invalid = || P::error_response(ProtocolError::KeyInvalid);
        let key = value.to_str().map_err(|_| invalid())?;
        if key.is_empty() || key.chars().count() > P::KEY_CHARS_MAX {
            return Err(invalid());
        }
        let (key, api_key, path) = (key.to_owned(), api_key.to_owned(), self.uri.path().to_owned());
        Ok(Some(Presented { key, api_key, method, path, parameters }))
    }

    fn show<P: Protocol>(&self, wire: &Wire) -> Response {
        self.show_with(wire, response::<P>)
    }

    /// Has the client see it, written by `response` where there is something to write.
    pub(crate) fn show_with(&self, wire: &Wire, response: fn(&Answer) -> Response) -> Response {
        match wire {
            Wire::Answer(answer) => response(answer),
            Wire::Cut => {
                self.cut.throw();
                // Never seen: the connection is cut before a byte of it is written.
                Response::new(Body::empty())
            }
        }
    }

    fn note_outage<P: Protocol>(&self, operation: Operation, method: &'static str, met: Met) {
        let status = match met {
            Met::Cut => None,
            Met::Status(status) => Some(status),
        };
        tracing::info!(?operation, ?status, "call during an outage");
        self.app.lock().calls.push(CallRecord {
            seq: 0,
            at: Timestamp::now(),
            elapsed_ms: 0,
            dialect: P::DIALECT,
            operation,
            method,
            path: self.uri.path().to_owned(),
            idempotency_key: self.header("idempotency-key"),
            correlation_id: self.header("x-correlation-id"),
            status,
            replayed: false,
            fault: Some(outage::NAME),
        });
    }

    /// A header, where it is text.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    }
}

fn response<P: Protocol>(answer: &Answer) -> Response {
    let mut response = plain_response(answer, P::CONTENT_TYPE);
    if answer.replayed && P::MARKS_REPLAYS {
        response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    response
}

/// An answer with its content type.
pub(crate) fn plain_response(answer: &Answer, content_type: &'static str) -> Response {
    let mut response = Response::new(Body::from(answer.body.clone()));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Some(seconds) = answer.retry_after_seconds {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
