//! Answers that no sandbox gives: too long, cut, redirected; and how connections are used.
#![expect(clippy::unwrap_used, reason = "in a test, what cannot be set up is a failure")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fooddelivery_providers::{Dialect, RESPONSE_BYTES_MAX};
use fooddelivery_saga::provider::{CallFailure, ChargeOutcome};
use fooddelivery_sandbox::faults::Operation;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::common::{SECRET, Shop, is_unknown, port_to, port_within, request};

both!(
    an_answer_that_is_too_long_is_unknown_and_not_read_to_its_end,
    an_answer_that_stops_midway_is_unknown,
    a_redirect_is_not_followed,
    calls_one_after_the_other_share_a_connection,
    a_server_that_never_finishes_the_tls_handshake_got_no_request,
);

/// A server that gives the same answer to whatever comes, and counts its connections.
async fn canned(answer: Vec<u8>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                // These small requests arrive in one read.
                while matches!(stream.read(&mut request).await, Ok(1..)) {
                    if stream.write_all(&answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (url, connections)
}

fn http(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len()).into_bytes()
}

async fn an_answer_that_is_too_long_is_unknown_and_not_read_to_its_end(dialect: Dialect) {
    let (url, _) = canned(http("200 OK", "", &"x".repeat(RESPONSE_BYTES_MAX + 1))).await;
    let outcome = port_to(dialect, &url, SECRET).charge(&request()).await;
    let ChargeOutcome::CallFailure(CallFailure::OutcomeUnknown(why)) = outcome else { panic!("{outcome:?}") };
    assert!(why.contains("longer than"), "{why}");
}

async fn an_answer_that_stops_midway_is_unknown(dialect: Dialect) {
    let (url, _) = canned(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"id\"".to_vec()).await;
    // The beginning of the answer has long come then, also on a busy machine; the end never does.
    let outcome = port_within(dialect, &url, SECRET, Duration::from_secs(2)).charge(&request()).await;
    assert_eq!(outcome, ChargeOutcome::CallFailure(CallFailure::OutcomeUnknown("timed out".into())));
}

async fn a_redirect_is_not_followed(dialect: Dialect) {
    let shop = Shop::open(dialect).await;
    let path = match dialect {
        Dialect::Toss => "payments/confirm".to_owned(),
        Dialect::Stripe => format!("payment_intents/{}/confirm", shop.payment_id()),
    };
    let elsewhere = format!("location: {}/v1/{path}\r\n", shop.sandbox.url());
    let (url, _) = canned(http("307 Temporary Redirect", &elsewhere, "")).await;
    let outcome = port_to(dialect, &url, SECRET).charge(&shop.request()).await;
    assert!(is_unknown(&outcome), "{outcome:?}");
    assert!(shop.calls(Operation::Confirm).is_empty());
}

async fn calls_one_after_the_other_share_a_connection(dialect: Dialect) {
    let (url, connections) = canned(http("500 Internal Server Error", "", "")).await;
    let port = port_to(dialect, &url, SECRET);
    for _ in 0..5 {
        let outcome = port.charge(&request()).await;
        assert!(matches!(outcome, ChargeOutcome::CallFailure(CallFailure::Errored(_))), "{outcome:?}");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

async fn a_server_that_never_finishes_the_tls_handshake_got_no_request(dialect: Dialect) {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", silent.local_addr().unwrap());
    let outcome = port_to(dialect, &url, SECRET).charge(&request()).await;
    let ChargeOutcome::CallFailure(CallFailure::NotSent(why)) = outcome else { panic!("{outcome:?}") };
    assert!(why.contains("timed out"), "{why}");
}
