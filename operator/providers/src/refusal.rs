//! A provider's "no" as it may be shown: a code that is one, and a sentence that is bounded and names no secret.

use fooddelivery_saga::provider::Refusal;

/// How much of a provider's sentence is kept.
pub(crate) const MAX_MESSAGE_CHARS: usize = 300;
/// The longest thing that is taken for a code.
pub(crate) const MAX_CODE_CHARS: usize = 64;

/// A refusal in the provider's words, without what is secret in them.
pub(crate) fn refusal(code: &str, message: &str, secrets: &[&str]) -> Refusal {
    let scrub =
        |text: String, secret: &&str| if secret.is_empty() { text } else { text.replace(secret, "***") };
    let message = secrets.iter().fold(message.to_owned(), scrub);
    Refusal { code: code.to_owned(), message: message.chars().take(MAX_MESSAGE_CHARS).collect() }
}

/// A refusal that needs no provider.
pub(crate) fn local_refusal(message: &str) -> Refusal {
    refusal("INVALID_REQUEST", message, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_bounded_and_repeats_no_secret() {
        let long = format!("{} tok was declined", "x".repeat(MAX_MESSAGE_CHARS - 3));
        let message = refusal("CODE", &long, &["tok", ""]).message;
        assert_eq!(message.chars().count(), MAX_MESSAGE_CHARS);
        assert!(!message.contains("to"), "not even the half that the bound leaves");
        assert_eq!(refusal("CODE", "tok by cred", &["tok", "cred"]).message, "*** by ***");
    }
}
