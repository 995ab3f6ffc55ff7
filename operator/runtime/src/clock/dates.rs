//! Listens to the `Date` of every answer of the API server, as a layer of the client.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::header::DATE;
use http::{HeaderMap, Request, Response};
use jiff::fmt::rfc2822::DateTimeParser;
use tower::{Layer, Service};

use super::Clock;

/// Has a clock hear every answer.
#[derive(Clone)]
pub struct DateLayer {
    clock: Arc<Clock>,
}

impl DateLayer {
    /// For this clock.
    pub fn new(clock: Arc<Clock>) -> Self {
        Self { clock }
    }
}

impl<S> Layer<S> for DateLayer {
    type Service = Dates<S>;

    fn layer(&self, inner: S) -> Dates<S> {
        Dates { inner, clock: self.clock.clone() }
    }
}

/// The service that listens.
pub struct Dates<S> {
    inner: S,
    clock: Arc<Clock>,
}

impl<S, A, B> Service<Request<A>> for Dates<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<B>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let (clock, sent_at) = (self.clock.clone(), self.clock.reading());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            if let Some(date_ms) = date_ms(answer.headers()) {
                clock.heard(date_ms, sent_at);
            }
            Ok(answer)
        })
    }
}

/// The second that a `Date` header names (RFC 9110, 6.6.1), in milliseconds since the Unix epoch.
fn date_ms(headers: &HeaderMap) -> Option<i64> {
    let text = headers.get(DATE)?.to_str().ok()?;
    Some(DateTimeParser::new().parse_timestamp(text).ok()?.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_header_is_read_and_nonsense_is_not() {
        let mut headers = HeaderMap::new();
        assert_eq!(date_ms(&headers), None);
        headers.insert(DATE, "Tue, 14 Nov 2023 22:13:20 GMT".parse().unwrap());
        assert_eq!(date_ms(&headers), Some(1_700_000_000_000));
        headers.insert(DATE, "yesterday".parse().unwrap());
        assert_eq!(date_ms(&headers), None);
    }
}
