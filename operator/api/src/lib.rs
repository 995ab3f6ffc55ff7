//! The custom resources of `fooddelivery.dev/v1alpha1`, the rules that the API server enforces on them, and the
//! manifests that are generated from both.
//!
//! The types carry shapes and bounds; [`rules`] adds what a schema cannot say (CEL, from the transition tables in
//! `saga`); [`kinds`] has a row for each kind, and from it [`crds`] puts schemas and rules together, and [`roles`] and
//! [`policies`] say who may do what; [`convert`] translates to and from the domain's words. Nothing here does I/O.

pub mod common;
pub mod convert;
pub mod coupon;
pub mod crds;
pub mod customer;
pub mod delivery;
pub mod kinds;
pub mod message_provider;
pub mod order;
pub mod payment;
pub mod policies;
pub mod provider;
pub mod rider;
pub mod roles;
pub mod rules;
pub mod store;
pub mod ticket;

pub use common::{Condition, NameRef, OrderRef, StoreRef, Time, TokenText};
pub use coupon::{Coupon, CouponSpec, CouponStatus, CouponUse, CouponUseSpec};
pub use customer::{Customer, CustomerSpec, CustomerStatus};
pub use delivery::{Delivery, DeliverySpec};
pub use message_provider::{MessageProvider, MessageProviderSpec, MessageProviderStatus, MessageTransport};
pub use order::{Order, OrderSpec, OrderStatus};
pub use payment::{Payment, PaymentSpec, PaymentStatus};
pub use provider::{Dialect, PaymentProvider, PaymentProviderSpec, PaymentProviderStatus};
pub use rider::{Rider, RiderSpec, RiderStatus};
pub use store::{Store, StoreSpec, StoreStatus};
pub use ticket::{Ticket, TicketSpec};

/// The API group.
pub const GROUP: &str = "fooddelivery.dev";
/// The version.
pub const VERSION: &str = "v1alpha1";
/// The operator's finalizer, on orders and payments from birth.
pub const FINALIZER: &str = "fooddelivery.dev/saga";
/// Set to `"true"` on an order, it stops the order where it is.
pub const PAUSED_ANNOTATION: &str = "fooddelivery.dev/paused";
/// The operator's namespace in the shipped manifests; providers' secrets live there.
pub const OPERATOR_NAMESPACE: &str = "fooddelivery-system";
/// The operator's service account in the shipped manifests.
pub const OPERATOR_SERVICE_ACCOUNT: &str = "fooddelivery-operator";
/// The ClusterRole that lets the operator read Secrets with payment tokens, where it is bound.
pub const TOKEN_SECRETS_ROLE: &str = "fooddelivery-operator-token-secrets";
