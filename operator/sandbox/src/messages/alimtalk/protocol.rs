//! What all calls of the AlimTalk API share: the secret key, and the header of a response.

use serde_json::{Value, json};

use crate::front::Arrival;
use crate::idempotency::Answer;

/// The header of a response.
pub(super) fn head(code: i64, message: &str) -> Value {
    json!({ "resultCode": code, "resultMessage": message, "isSuccessful": code == 0 })
}

/// A response that consists of a header only.
pub(super) fn refused(status: u16, code: i64, message: &str) -> Answer {
    Answer::new(status, json!({ "header": head(code, message) }).to_string())
}

/// The response when the API itself fails.
pub(super) fn server_error(status: u16) -> Answer {
    refused(status, -9999, "System error.")
}

/// Checks that the secret key is one of the accepted ones.
pub(super) fn authenticate(arrival: &Arrival) -> Result<(), Answer> {
    let key = arrival.header("x-secret-key").unwrap_or_default();
    let known = arrival.app.config.secret_keys.iter().any(|accepted| accepted.expose() == key);
    if known { Ok(()) } else { Err(refused(401, -1001, "Invalid secretKey.")) }
}
