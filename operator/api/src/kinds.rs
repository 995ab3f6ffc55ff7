//! The kinds, a row each: what a kind is called, who makes its objects, and who may do what with them.
//!
//! Whatever lists kinds reads [`ALL`], or expands [`for_each_kind!`](crate::for_each_kind) over it: the CRDs and their
//! kustomization, the roles of the operator and of the actors, the admission policies, the operator's caches and
//! watches, the lists of the simulation. A kind that is not a row here is nowhere; one that is, is everywhere.
//!
//! Nothing here does I/O.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceSubresources,
};
use kube::CustomResourceExt;

use crate::rules::{self, Rule};

/// Calls a macro with the rows of all kinds: `Type: cache, "plural", Scope, { facts };` each.
///
/// `cache` is a name for what holds the objects of a kind (a field, a variable), `Scope` is `Namespaced` or `Cluster`.
/// The facts are for the table of [`kinds`](crate::kinds); others take them as `{ $($facts:tt)* }` and leave them out.
///
/// ```
/// macro_rules! names {
///     ($($kind:ident: $cache:ident, $plural:literal, $scope:ident, { $($facts:tt)* };)+) => {
///         [$(stringify!($kind)),+]
///     };
/// }
/// assert_eq!(fooddelivery_api::for_each_kind!(names)[0], "Order");
/// ```
#[macro_export]
macro_rules! for_each_kind {
    ($callback:ident) => {
        $callback! {
            Order: orders, "orders", Namespaced, {
                noun: "orders",
                origin: Origin::Placed,
                is_stamped: true,
                is_acted_for: false,
                operator: &["get", "list", "watch", "patch", "delete"],
                actors: &[
                    (Actor::Customer, &["create", "get", "patch", "update"]),
                    (Actor::Support, &["patch", "update", ACT_FOR_OTHERS]),
                    (Actor::Tenant, READ),
                ],
                rules: rules::order,
            };
            Payment: payments, "payments", Namespaced, {
                noun: "payments",
                origin: Origin::Operator,
                is_stamped: true,
                is_acted_for: false,
                operator: &["get", "list", "watch", "create", "patch", "delete"],
                actors: &[(Actor::Support, &["patch", "update"])],
                rules: rules::payment,
            };
            Ticket: tickets, "tickets", Namespaced, {
                noun: "tickets",
                origin: Origin::Operator,
                is_stamped: false,
                is_acted_for: false,
                operator: &["get", "list", "watch", "create", "patch", "delete"],
                actors: &[(Actor::Store, CHANGE), (Actor::Tenant, READ)],
                rules: rules::ticket,
            };
            Delivery: deliveries, "deliveries", Namespaced, {
                noun: "deliveries",
                origin: Origin::Operator,
                is_stamped: false,
                is_acted_for: false,
                operator: &["get", "list", "watch", "create", "patch", "delete"],
                actors: &[(Actor::Rider, CHANGE), (Actor::Tenant, READ)],
                rules: rules::delivery,
            };
            Store: stores, "stores", Namespaced, {
                noun: "stores",
                origin: Origin::Registered,
                is_stamped: false,
                is_acted_for: true,
                operator: READ,
                actors: &[
                    (Actor::Customer, READ),
                    (Actor::Store, CHANGE),
                    (Actor::Rider, READ),
                    (Actor::Tenant, READ),
                ],
                rules: Vec::new,
            };
            Rider: riders, "riders", Namespaced, {
                noun: "riders",
                origin: Origin::Registered,
                is_stamped: false,
                is_acted_for: true,
                operator: READ,
                actors: &[(Actor::Rider, CHANGE_ONE), (Actor::Tenant, READ)],
                rules: Vec::new,
            };
            Customer: customers, "customers", Namespaced, {
                noun: "customers",
                origin: Origin::Registered,
                is_stamped: false,
                is_acted_for: true,
                operator: READ,
                actors: &[(Actor::Customer, CHANGE_ONE), (Actor::Tenant, READ)],
                rules: Vec::new,
            };
            Coupon: coupons, "coupons", Namespaced, {
                noun: "coupons",
                origin: Origin::Registered,
                is_stamped: false,
                is_acted_for: false,
                operator: READ,
                actors: &[],
                rules: rules::coupon,
            };
            CouponUse: coupon_uses, "couponuses", Namespaced, {
                noun: "coupon uses",
                origin: Origin::Operator,
                is_stamped: false,
                is_acted_for: false,
                operator: &["get", "list", "watch", "create"],
                actors: &[],
                rules: rules::coupon_use,
            };
            PaymentProvider: providers, "paymentproviders", Cluster, {
                noun: "payment providers",
                origin: Origin::Registered,
                is_stamped: false,
                is_acted_for: false,
                operator: READ,
                actors: &[],
                rules: rules::provider,
            };
            MessageProvider: message_providers, "messageproviders", Cluster, {
                noun: "message providers",
                origin: Origin::Registered,
                is_stamped: false,
                is_acted_for: false,
                operator: &["list", "watch"],
                actors: &[],
                rules: rules::message_provider,
            };
        }
    };
}

/// The verb, on orders, of those who may do what belongs to others. No request has it: the policies for actors ask for it.
pub const ACT_FOR_OTHERS: &str = "actforothers";
/// What reads objects one by one, all at once, and from then on.
const READ: &[&str] = &["get", "list", "watch"];
/// The same, and changes what may be changed.
const CHANGE: &[&str] = &["get", "list", "watch", "patch", "update"];
/// Changes objects whose names are known: RBAC cannot filter a list, so there is none.
const CHANGE_ONE: &[&str] = &["get", "patch", "update"];

/// A kind.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Its name, such as `Order`.
    pub name: &'static str,
    /// The name of the resource in URLs and roles, such as `orders`.
    pub plural: &'static str,
    /// Whether its objects are in namespaces.
    pub scope: Scope,
    /// The plural in a sentence, such as "coupon uses".
    pub noun: &'static str,
    /// Who makes its objects.
    pub origin: Origin,
    /// Whether its objects get the operator's finalizer at birth.
    pub is_stamped: bool,
    /// Whether users act for its objects: each by a group that is called after the object
    /// ([`actors`](crate::policies::actors)).
    pub is_acted_for: bool,
    /// The verbs that the operator has on its objects; on their status, where they have one, it has `patch`.
    pub operator: &'static [&'static str],
    /// The verbs of the actors. Support reads every kind, whatever stands here.
    pub actors: &'static [(Actor, &'static [&'static str])],
    /// What its schema cannot say.
    pub rules: fn() -> Vec<Rule>,
    /// The CRD without the rules.
    pub(crate) crd: fn() -> CustomResourceDefinition,
}

/// Whether the objects of a kind are in namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// They are.
    Namespaced,
    /// They are not, and are for administrators only.
    Cluster,
}

/// Who makes the objects of a kind, and with that, who may undo what the operator has made of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A customer; the operator carries it from there, and finalizers and owners are the operator's alone.
    Placed,
    /// The operator, which alone creates and deletes it.
    Operator,
    /// People. The operator reads the spec, and writes the status.
    Registered,
}

/// A role for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// Places orders.
    Customer,
    /// Cooks.
    Store,
    /// Delivers.
    Rider,
    /// Acts for all of them.
    Support,
    /// Has a namespace to themselves, and sees what happens there.
    Tenant,
}

macro_rules! table {
    ($($kind:ident: $cache:ident, $plural:literal, $scope:ident, { $($facts:tt)* };)+) => {
        /// All kinds, in the order in which they are read.
        pub const ALL: &[Kind] = &[$(Kind {
            name: stringify!($kind),
            plural: $plural,
            scope: Scope::$scope,
            crd: <crate::$kind as CustomResourceExt>::crd,
            $($facts)*
        }),+];
    };
}

for_each_kind!(table);

/// How many kinds have a scope.
#[must_use]
pub const fn count(scope: Scope) -> usize {
    let (mut number, mut found) = (0, 0);
    while number < ALL.len() {
        let same = matches!(
            (ALL[number].scope, scope),
            (Scope::Namespaced, Scope::Namespaced) | (Scope::Cluster, Scope::Cluster)
        );
        if same {
            found += 1;
        }
        number += 1;
    }
    found
}

/// The plurals of the kinds that `is_meant` says.
pub fn plurals(is_meant: impl Fn(&Kind) -> bool) -> Vec<&'static str> {
    ALL.iter().filter(|kind| is_meant(kind)).map(|kind| kind.plural).collect()
}

impl Kind {
    /// Whether its finalizers and owners are the operator's alone.
    pub fn is_guarded(&self) -> bool {
        match self.origin {
            Origin::Placed | Origin::Operator => true,
            Origin::Registered => false,
        }
    }

    /// Whether the operator alone creates and deletes its objects.
    pub fn is_made_by_operator(&self) -> bool {
        self.origin == Origin::Operator
    }

    /// Whether its objects have a status, written at a path of its own.
    pub fn has_status(&self) -> bool {
        let has_status = |resources: &CustomResourceSubresources| resources.status.is_some();
        (self.crd)().spec.versions.iter().any(|version| version.subresources.as_ref().is_some_and(has_status))
    }

    /// The verbs that an actor has on its objects.
    pub fn verbs_of(&self, actor: Actor) -> Vec<&'static str> {
        let reads = if actor == Actor::Support { READ } else { &[] };
        let own = self.actors.iter().filter(|(who, _)| *who == actor).flat_map(|(_, verbs)| *verbs);
        reads.iter().chain(own).copied().collect()
    }
}
