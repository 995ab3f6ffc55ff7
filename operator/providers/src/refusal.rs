//! A provider's refusal, fit to be shown: a code, and a sentence that is bounded and names no secret.

use fooddelivery_saga::provider::Refusal;

/// Maximum length of a provider's message; the rest is cut off.
pub(crate) const MESSAGE_CHARS_MAX: usize = 300;
/// Maximum length of a code.
pub(crate) const CODE_CHARS_MAX: usize = 64;

/// A refusal in the provider's words, with secrets masked.
pub(crate) fn refusal(code: &str, message: &str, secrets: &[&str]) -> Refusal {
    let scrub =
        |text: String, secret: &&str| if secret.is_empty() { text } else { text.replace(secret, "***") };
    let message = secrets.iter().fold(message.to_owned(), scrub);
    Refusal { code: code.to_owned(), message: message.chars().take(MESSAGE_CHARS_MAX).collect() }
}

/// A refusal by the adapter itself: nothing was sent.
pub(crate) fn local_refusal(message: &str) -> Refusal {
    refusal("INVALID_REQUEST", message, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_bounded_and_repeats_no_secret() {
        let long = format!("{} tok was declined", "x".repeat(MESSAGE_CHARS_MAX - 3));
        let message = refusal("CODE", &long, &["tok", ""]).message;
        assert_eq!(message.chars().count(), MESSAGE_CHARS_MAX);
        assert!(!message.contains("to"), "not even the half that the bound leaves");
        assert_eq!(refusal("CODE", "tok by cred", &["tok", "cred"]).message, "*** by ***");
    }
}
