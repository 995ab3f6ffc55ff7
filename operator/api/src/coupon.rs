//! Coupon: what a code takes off; and CouponUse: what one customer has made of a coupon that is limited per customer.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{NameRef, OrderRef, Time};

/// What the marketplace grants. Its name is the code.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "fooddelivery.dev",
    version = "v1alpha1",
    kind = "Coupon",
    namespaced,
    status = "CouponStatus",
    derive = "Default",
    derive = "PartialEq",
    shortname = "cpn",
    category = "food",
    doc = "A coupon. Its name is its code: an order names it in spec.couponCode.",
    printcolumn(name = "Percent", type_ = "integer", json_path = ".spec.discount.percent"),
    printcolumn(name = "Amount", type_ = "integer", json_path = ".spec.discount.amount"),
    printcolumn(name = "Minimum", type_ = "integer", json_path = ".spec.minimumOrder"),
    printcolumn(name = "Redeemed", type_ = "integer", json_path = ".status.redeemed"),
    printcolumn(name = "Limit", type_ = "integer", json_path = ".spec.maxRedemptions"),
    printcolumn(name = "Per-Customer", type_ = "integer", json_path = ".spec.perCustomer"),
    printcolumn(name = "Until", type_ = "string", json_path = ".spec.validUntil"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct CouponSpec {
    /// Discount on the price of the dishes.
    pub discount: Discount,
    /// Minimum price of the dishes before the discount, in KRW.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10_000_000))]
    pub minimum_order: i64,
    /// Time from which orders can use it, by when they were placed; absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Time>,
    /// Time from which orders can no longer use it; absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Time>,
    /// Maximum number of orders that hold it at once; absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub max_redemptions: Option<i64>,
    /// Maximum number of orders of one customer that hold it at once; absent: no limit. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub per_customer: Option<i64>,
}

/// Percentage or fixed amount, not both. A discount never exceeds the price of the dishes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Discount {
    /// Percentage of the price of the dishes, rounded down to a whole KRW.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub percent: Option<i64>,
    /// Fixed amount, in KRW.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub amount: Option<i64>,
}

/// Redemptions of a coupon. Written by the operator alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CouponStatus {
    /// Number of orders that hold it. An order that is undone gives it back.
    #[serde(default)]
    #[schemars(default)]
    pub redeemed: i64,
    /// Orders that a redemption is reserved for, not yet counted in `redeemed`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 500), extend("x-kubernetes-list-type" = "atomic"))]
    pub reserved: Vec<OrderRef>,
    /// Orders that gave it back and are no longer counted in `redeemed`; their payments may not say so yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "atomic"))]
    pub releasing: Vec<OrderRef>,
}

/// Customer and coupon whose redemptions are counted here. Written by the operator alone.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "fooddelivery.dev",
    version = "v1alpha1",
    kind = "CouponUse",
    namespaced,
    status = "CouponStatus",
    derive = "Default",
    derive = "PartialEq",
    shortname = "cpnu",
    category = "food",
    doc = "Redemptions by one customer of a coupon that is limited per customer. Managed by the operator.",
    selectable = ".spec.couponRef.name",
    selectable = ".spec.customerRef.name",
    printcolumn(name = "Coupon", type_ = "string", json_path = ".spec.couponRef.name"),
    printcolumn(name = "Customer", type_ = "string", json_path = ".spec.customerRef.name"),
    printcolumn(name = "Redeemed", type_ = "integer", json_path = ".status.redeemed"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct CouponUseSpec {
    /// Coupon that is counted.
    pub coupon_ref: CouponRef,
    /// Customer whose redemptions are counted, as orders name them.
    pub customer_ref: NameRef,
}

/// Reference to a coupon by name and uid.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CouponRef {
    /// Name of the coupon.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Uid of the coupon.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
}
