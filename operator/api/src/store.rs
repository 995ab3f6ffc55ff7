//! Store: a menu, and how the store takes orders.

use fooddelivery_saga::phases::Acceptance;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::OrderRef;

/// What the owner says of the store.
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
    /// The name that people know it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub title: Option<String>,
    /// Where it is.
    #[schemars(length(min = 1, max = 63))]
    pub region: String,
    /// What can be ordered; names are unique.
    #[schemars(
        length(max = 200),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub menu: Vec<MenuEntry>,
    /// Whether a person accepts each ticket, or the operator does so on the store's behalf.
    #[serde(default = "manual")]
    #[schemars(default = "manual")]
    pub acceptance: Acceptance,
    /// The least that an order must come to, in KRW.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10_000_000))]
    pub minimum_order: i64,
    /// Whether it takes orders now. Orders to a closed store wait.
    #[serde(default = "yes")]
    #[schemars(default = "yes")]
    pub open: bool,
    /// How long it may take; the operator's configuration fills what is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadlines: Option<StoreDeadlines>,
    /// The users who act for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub subjects: Vec<String>,
}

/// What the store's orders came to. Written by the operator alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoreStatus {
    /// How many orders had each dish. An order counts when the store begins to cook it: from then on it can no longer
    /// be cancelled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 250),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["menuItem"])
    )]
    pub orders_by_menu_item: Vec<MenuItemCount>,
    /// The sum over dishes that are no longer on the menu and no longer listed one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired: Option<RetiredCount>,
    /// Orders that are in the counts, and whose tickets may not say so yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "atomic"))]
    pub recently_counted: Vec<OrderRef>,
}

/// How often a dish was ordered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MenuItemCount {
    /// The dish's name.
    #[schemars(length(min = 1, max = 63))]
    pub menu_item: String,
    /// In how many orders it was.
    pub orders: i64,
    /// How many portions those orders had of it.
    pub quantity: i64,
}

/// How often dishes that are no longer on the menu were ordered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetiredCount {
    /// In how many orders each of them was, added up.
    pub orders: i64,
    /// How many portions.
    pub quantity: i64,
}

/// A dish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MenuEntry {
    /// Its name in orders.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The name that people read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub title: Option<String>,
    /// Price of one, in KRW.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub price: i64,
    /// Whether it can be ordered now.
    #[serde(default = "yes")]
    #[schemars(default = "yes")]
    pub available: bool,
    /// What can be added; names are unique.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 20),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub options: Vec<MenuOption>,
}

/// What can be added to a dish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MenuOption {
    /// Its name in orders.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// What it adds to the price of one, in KRW.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub price: i64,
}

/// How long each wait on this store's orders may last, in seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoreDeadlines {
    /// Until the store accepts or rejects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub acceptance_seconds: Option<i64>,
    /// From acceptance until cooked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub cooking_seconds: Option<i64>,
    /// Until a rider takes the delivery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub rider_seconds: Option<i64>,
    /// From a rider's claim until pick-up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub pickup_seconds: Option<i64>,
    /// From pick-up until delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub delivery_seconds: Option<i64>,
    /// From delivered until the order completes by itself.
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
