//! The adapters against the sandbox, over real TCP: every outcome of the port, and what the ledger says of it.
//!
//! What holds for every provider is written once, in a function that takes the dialect, and run for each of them by
//! [`both`]; what only one promises is in [`toss`] and [`stripe`]. The ways of messages are in [`message`].

/// Makes of each function a test for Toss and one for Stripe. A function that is not listed is dead code, which is
/// an error in CI.
macro_rules! both {
    ($($name:ident),* $(,)?) => {
        mod toss {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name(fooddelivery_providers::Dialect::Toss).await;
                }
            )*
        }

        mod stripe {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$name(fooddelivery_providers::Dialect::Stripe).await;
                }
            )*
        }
    };
}

mod charge;
mod common;
mod fault;
mod message;
mod refund;
mod resilience;
mod stripe;
mod timing;
mod toss;
mod transport;
mod wire;
