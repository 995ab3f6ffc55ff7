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
    /// What it takes off.
    pub discount: Discount,
    /// The least that the dishes must come to, in KRW, before the discount.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10_000_000))]
    pub minimum_order: i64,
    /// Orders placed before this cannot use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Time>,
    /// Orders placed at this time or later cannot use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Time>,
    /// How many orders may hold it over all; absent: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub max_redemptions: Option<i64>,
    /// How many orders of one customer may hold it; absent: any number. It cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub per_customer: Option<i64>,
}

/// A part of the price or a sum, but not both. It never takes off more than the dishes come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Discount {
    /// So many percent of what the dishes come to; what is left over a whole KRW is not taken off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub percent: Option<i64>,
    /// So many KRW.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub amount: Option<i64>,
}

/// How often a coupon was redeemed. Written by the operator alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CouponStatus {
    /// How many orders hold it. One that is undone gives it back.
    #[serde(default)]
    #[schemars(default)]
    pub redeemed: i64,
    /// Orders that one is kept for, and that are not in `redeemed` yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 500), extend("x-kubernetes-list-type" = "atomic"))]
    pub reserved: Vec<OrderRef>,
    /// Orders that gave it back and are out of `redeemed`, and whose payments may not say so yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "atomic"))]
    pub releasing: Vec<OrderRef>,
}

/// Whose redemptions of which coupon are counted here. Written by the operator alone.
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
    doc = "How often one customer redeemed a coupon that is limited per customer. The operator's own.",
    selectable = ".spec.couponRef.name",
    selectable = ".spec.customerRef.name",
    printcolumn(name = "Coupon", type_ = "string", json_path = ".spec.couponRef.name"),
    printcolumn(name = "Customer", type_ = "string", json_path = ".spec.customerRef.name"),
    printcolumn(name = "Redeemed", type_ = "integer", json_path = ".status.redeemed"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct CouponUseSpec {
    /// The coupon.
    pub coupon_ref: CouponRef,
    /// The customer, as orders name them.
    pub customer_ref: NameRef,
}

/// A coupon, by name and uid.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CouponRef {
    /// The coupon's name.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The coupon's uid.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
}
