//! Store: a menu, and how the store takes orders.

use fooddelivery_saga::phases::Acceptance;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::OrderRef;

/// Menu, region and opening of a store.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "fooddelivery.dev",
    version = "v1alpha1",
    kind = "Store",
    namespaced,
    status = "StoreStatus",
    derive = "PartialEq",
    shortname = "sto",
    category = "food",
    doc = "A store: its menu with prices, whether it is open, and how it takes orders.",
    selectable = ".spec.region",
    printcolumn(name = "Region", type_ = "string", json_path = ".spec.region"),
    printcolumn(name = "Open", type_ = "boolean", json_path = ".spec.open"),
    printcolumn(name = "Acceptance", type_ = "string", json_path = ".spec.acceptance"),
    printcolumn(name = "Minimum", type_ = "integer", json_path = ".spec.minimumOrder"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Menu", type_ = "string", json_path = ".spec.menu", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct StoreSpec {
    /// Display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub title: Option<String>,
    /// Region of the store.
    #[schemars(length(min = 1, max = 63))]
    pub region: String,
    /// Dishes that can be ordered; names are unique.
    #[schemars(
        length(max = 200),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub menu: Vec<MenuEntry>,
    /// Whether a person accepts each ticket, or the operator does on behalf of the store.
    #[serde(default = "manual")]
    #[schemars(default = "manual")]
    pub acceptance: Acceptance,
    /// Minimum price of an order, in KRW.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10_000_000))]
    pub minimum_order: i64,
    /// Whether the store takes orders now. Orders to a closed store wait.
    #[serde(default = "yes")]
    #[schemars(default = "yes")]
    pub open: bool,
    /// Maximum duration of each step, in seconds; absent values come from the operator's configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadlines: Option<StoreDeadlines>,
}

/// Counts of a store's orders. Written by the operator alone; may lag by half a minute (`--count-lag-ms`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoreStatus {
    /// Number of orders and portions by dish. An order counts from when the store begins to cook it: from then on it
    /// can no longer be cancelled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 250),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["menuItem"])
    )]
    pub orders_by_menu_item: Vec<MenuItemCount>,
    /// Total over dishes that have left the menu and are no longer listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired: Option<RetiredCount>,
    /// Part of these counts that is kept of orders whose tickets are gone or may go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub departed: Option<DepartedCounts>,
    /// Orders that were last added to `departed`: their tickets may still be there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "atomic"))]
    pub departing: Vec<OrderRef>,
}

/// Counts of orders whose tickets are gone or may go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DepartedCounts {
    /// Number of orders and portions by dish.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 250),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["menuItem"])
    )]
    pub orders_by_menu_item: Vec<MenuItemCount>,
    /// Total over dishes that have left the menu and are no longer listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired: Option<RetiredCount>,
}

/// Counts of one dish.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MenuItemCount {
    /// Name of the dish.
    #[schemars(length(min = 1, max = 63))]
    pub menu_item: String,
    /// Number of orders that contained it.
    pub orders: i64,
    /// Number of portions in those orders.
    pub quantity: i64,
}

/// Counts of dishes that have left the menu.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetiredCount {
    /// Number of orders that contained each of them, added up.
    pub orders: i64,
    /// Number of portions.
    pub quantity: i64,
}

/// A dish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MenuEntry {
    /// Name in orders.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub title: Option<String>,
    /// Price of one portion, in KRW.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub price: i64,
    /// Whether it can be ordered now.
    #[serde(default = "yes")]
    #[schemars(default = "yes")]
    pub available: bool,
    /// Options that can be added; names are unique.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 20),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub options: Vec<MenuOption>,
}

/// An option that can be added to a dish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MenuOption {
    /// Name in orders.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Surcharge on the price of one portion, in KRW.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub price: i64,
}

/// Maximum duration of each step of this store's orders, in seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoreDeadlines {
    /// Maximum time until the store accepts or rejects, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub acceptance_seconds: Option<i64>,
    /// Maximum time from acceptance until cooked, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub cooking_seconds: Option<i64>,
    /// Maximum time until a rider claims the delivery, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub rider_seconds: Option<i64>,
    /// Maximum time from the claim until pick-up, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub pickup_seconds: Option<i64>,
    /// Maximum time from pick-up until delivery, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub delivery_seconds: Option<i64>,
    /// Time from delivery until the order completes by itself, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub confirmation_seconds: Option<i64>,
}

fn manual() -> Acceptance {
    Acceptance::Manual
}

fn yes() -> bool {
    true
}
