//! What an error says to a person: itself, and what is at the bottom of it.

use std::error::Error;

/// The error and its innermost cause, which is the one that helps: "client error (Connect): Connection refused".
pub(crate) fn with_root_cause(error: &(dyn Error + 'static)) -> String {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    let (text, root) = (error.to_string(), root.to_string());
    if text.contains(&root) { text } else { format!("{text}: {root}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("client error")]
    struct Client(#[source] std::io::Error);

    #[test]
    fn an_error_says_what_is_at_the_bottom_of_it_once() {
        let refused = || std::io::Error::other("connection refused");
        assert_eq!(with_root_cause(&Client(refused())), "client error: connection refused");
        assert_eq!(with_root_cause(&refused()), "connection refused");
    }
}
