//! What happens on the wire: not sent, not let in, not shown.

#![expect(clippy::unwrap_used, reason = "in a test, what cannot be set up is a failure")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fooddelivery_providers::{ChargeRequest, LookUpRequest, MAX_ANSWER_BYTES, RefundRequest, Token};
use fooddelivery_saga::provider::{ChargeOutcome, LookUpOutcome, RefundOutcome};
use fooddelivery_sandbox::faults::{Fault, Operation};
use fooddelivery_sandbox::ledger::EntryKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::common::{AMOUNT, SECRET, Shop, TOKEN, port_to, question, refund_request, request, rule};

#[tokio::test]
async fn a_provider_that_is_not_there_got_nothing() {
    let refused = port_to("http://127.0.0.1:1", SECRET);
    assert!(matches!(refused.charge(&request()).await, ChargeOutcome::NotSent(_)));
    assert!(matches!(refused.refund(&refund_request(1)).await, RefundOutcome::NotSent(_)));
    assert!(matches!(refused.look_up(&question()).await, LookUpOutcome::Failed(_)));
    let no_name = port_to("http://provider.invalid", SECRET);
    let outcome = no_name.charge(&request()).await;
    assert!(matches!(outcome, ChargeOutcome::NotSent(_)), "{outcome:?}");
}

#[tokio::test]
async fn a_tls_handshake_that_fails_sent_no_request() {
    let shop = Shop::open().await;
    let tls = port_to(&shop.sandbox.url().replace("http:", "https:"), SECRET);
    let outcome = tls.charge(&request()).await;
    assert!(matches!(outcome, ChargeOutcome::NotSent(_)), "{outcome:?}");
    assert!(shop.sandbox.calls().is_empty());
}

#[tokio::test]
async fn a_wrong_secret_key_is_unauthorized_and_uses_up_neither_key_nor_fault() {
    let shop = Shop::with_fault(Operation::Confirm, Fault::DuplicateDelivery).await;
    let wrong = port_to(&shop.sandbox.url(), "test_sk_wrong");
    assert!(matches!(wrong.charge(&request()).await, ChargeOutcome::Unauthorized(_)));
    assert!(matches!(wrong.refund(&refund_request(1)).await, RefundOutcome::Unauthorized(_)));
    assert!(matches!(wrong.look_up(&question()).await, LookUpOutcome::Failed(_)));
    assert!(matches!(shop.charge().await, ChargeOutcome::Captured(_)));
}

#[tokio::test]
async fn a_token_and_an_order_id_with_awkward_characters_arrive_whole() {
    let shop = Shop::open().await;
    let awkward = ChargeRequest {
        token: Token::new("pk/한?#% ;.."),
        order_id: "or/der?#% 1".into(),
        correlation_id: "line\nbreak".into(),
        ..request()
    };
    assert!(matches!(shop.port.charge(&awkward).await, ChargeOutcome::Captured(_)));
    let question = LookUpRequest {
        token: awkward.token.clone(),
        order_id: awkward.order_id.clone(),
        correlation_id: "c".into(),
    };
    let LookUpOutcome::Found(payment) = shop.port.look_up(&question).await else { panic!("not found") };
    assert_eq!(payment.payment_id, awkward.token.expose());
    let refund = RefundRequest { payment_id: payment.payment_id, ..refund_request(AMOUNT) };
    assert!(matches!(shop.port.refund(&refund).await, RefundOutcome::Refunded(_)));
    let kinds: Vec<_> = shop.sandbox.ledger().iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [EntryKind::Capture, EntryKind::Refund]);
}

#[tokio::test]
async fn an_idempotency_key_that_cannot_be_sent_or_is_too_long_moves_no_money() {
    let shop = Shop::open().await;
    let unsendable = ChargeRequest { idempotency_key: "line\nbreak".into(), ..request() };
    assert!(matches!(shop.port.charge(&unsendable).await, ChargeOutcome::NotSent(_)));
    let long = ChargeRequest { idempotency_key: "k".repeat(301), ..request() };
    let outcome = shop.port.charge(&long).await;
    assert!(matches!(&outcome, ChargeOutcome::Refused(no) if no.code == "INVALID_IDEMPOTENCY_KEY"));
    let longest = ChargeRequest { idempotency_key: "k".repeat(300), ..request() };
    assert!(matches!(shop.port.charge(&longest).await, ChargeOutcome::Captured(_)));
}

#[tokio::test]
async fn neither_token_nor_credential_is_in_any_debug_output_or_reason() {
    let shop = Shop::open().await.in_a_hurry();
    shop.faults(vec![
        rule(Operation::Confirm, Fault::DropBefore),
        rule(Operation::Confirm, Fault::ErrorBefore { status: 500 }),
        rule(Operation::Confirm, Fault::DelayBefore { ms: 800 }),
        rule(Operation::Cancel, Fault::DropBefore),
        rule(Operation::LookUp, Fault::DropBefore),
    ]);
    let mut seen =
        vec![format!("{:?}", request()), format!("{:?}", question()), format!("{:?}", refund_request(1))];
    for _ in 0..3 {
        seen.push(format!("{:?}", shop.charge().await));
    }
    seen.push(format!("{:?}", shop.port.refund(&refund_request(1)).await));
    seen.push(format!("{:?}", shop.look_up().await));
    for endpoint in ["http://127.0.0.1:1", "https://127.0.0.1:1", "http://provider.invalid"] {
        let port = port_to(endpoint, SECRET);
        seen.push(format!("{:?}", port.charge(&request()).await));
        seen.push(format!("{:?}", port.refund(&refund_request(1)).await));
        seen.push(format!("{:?}", port.look_up(&question()).await));
    }
    let wrong = port_to(&shop.sandbox.url(), "test_sk_wrong");
    seen.push(format!("{:?}", wrong.charge(&request()).await));
    for text in seen {
        for secret in [TOKEN, SECRET, "test_sk_wrong", "/v1/"] {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
    }
}

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

#[tokio::test]
async fn an_answer_that_is_too_long_is_unknown_and_not_read_to_its_end() {
    let (url, _) = canned(http("200 OK", "", &"x".repeat(MAX_ANSWER_BYTES + 1))).await;
    let outcome = port_to(&url, SECRET).charge(&request()).await;
    assert!(matches!(&outcome, ChargeOutcome::Unknown(why) if why.contains("longer than")), "{outcome:?}");
}

#[tokio::test]
async fn an_answer_that_stops_midway_is_unknown() {
    let (url, _) = canned(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"paymentKey\"".to_vec()).await;
    let outcome = port_to(&url, SECRET).charge(&request()).await;
    assert_eq!(outcome, ChargeOutcome::Unknown("timed out".into()));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let shop = Shop::open().await;
    let elsewhere = format!("location: {}/v1/payments/confirm\r\n", shop.sandbox.url());
    let (url, _) = canned(http("307 Temporary Redirect", &elsewhere, "")).await;
    let outcome = port_to(&url, SECRET).charge(&request()).await;
    assert!(matches!(outcome, ChargeOutcome::Unknown(_)), "{outcome:?}");
    assert!(shop.sandbox.calls().is_empty());
}

#[tokio::test]
async fn calls_one_after_the_other_share_a_connection() {
    let (url, connections) = canned(http("500 Internal Server Error", "", "")).await;
    let port = port_to(&url, SECRET);
    for _ in 0..5 {
        assert!(matches!(port.charge(&request()).await, ChargeOutcome::Unknown(_)));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_server_that_never_finishes_the_tls_handshake_got_no_request() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", silent.local_addr().unwrap());
    let outcome = port_to(&url, SECRET).charge(&request()).await;
    let not_sent = matches!(&outcome, ChargeOutcome::NotSent(why) if why.contains("timed out"));
    assert!(not_sent, "{outcome:?}");
}
