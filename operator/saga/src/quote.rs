//! What an order costs: from the store's menu, never from the customer. Amounts are whole units of the currency
//! (KRW has no smaller one), as `i64`; every sum is checked.

pub use crate::blocker::Blocker;
use crate::coupon::Terms;
pub use crate::money::CURRENCY;
use crate::reason::Reason;
use crate::time::Timestamp;

/// A dish as ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderedItem {
    /// Its name on the menu.
    pub menu_item: String,
    /// How many; positive.
    pub quantity: i64,
    /// Names of the options chosen.
    pub options: Vec<String>,
}

/// A dish on a menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MenuItem {
    /// Its name, unique in the menu.
    pub name: String,
    /// Price of one.
    pub price: i64,
    /// Whether it can be ordered now.
    pub available: bool,
    /// Its options: name and extra price.
    pub options: Vec<(String, i64)>,
}

/// What pricing needs of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Menu {
    /// The store's name.
    pub store_name: String,
    /// The store's uid, so that a namesake's prices are never taken for its own.
    pub store_uid: String,
    /// Whether it takes orders now.
    pub open: bool,
    /// The least that an order must come to.
    pub minimum_order: i64,
    /// What can be ordered.
    pub items: Vec<MenuItem>,
}

/// One priced line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuoteLine {
    /// Name on the menu.
    pub menu_item: String,
    /// How many.
    pub quantity: i64,
    /// Options chosen.
    pub options: Vec<String>,
    /// Price of one with its options.
    pub unit_price: i64,
    /// `unit_price` × `quantity`.
    pub amount: i64,
}

/// A coupon that is used, by name and uid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CouponUsed {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// A frozen price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// Whose menu it came from.
    pub store_name: String,
    /// That store's uid.
    pub store_uid: String,
    /// The lines, as ordered.
    pub lines: Vec<QuoteLine>,
    /// What a coupon takes off.
    pub discount: i64,
    /// The sum of the lines less the discount.
    pub total: i64,
    /// The coupon that takes off the discount.
    pub coupon: Option<CouponUsed>,
}

impl Quote {
    /// The quote of a payment that must never be charged.
    pub fn nothing() -> Self {
        Self {
            store_name: String::new(),
            store_uid: String::new(),
            lines: Vec::new(),
            discount: 0,
            total: 0,
            coupon: None,
        }
    }
}

/// Prices an order from a menu, as it was placed at `ordered_at`.
///
/// # Errors
/// An [`Blocker`] that names what is missing or wrong: `StoreClosed` and `UnknownMenuItem` may pass (the store
/// opens, its menu is applied later); `MenuItemUnavailable`, `UnknownOption`, `BelowMinimum`, `TotalMismatch`,
/// `BadQuantity`, `TotalTooLarge` and those of [`Terms::discount`] do not.
pub fn price(
    items: &[OrderedItem],
    menu: &Menu,
    coupon: Option<&Terms>,
    expected_total: Option<i64>,
    ordered_at: Timestamp,
) -> Result<Quote, Blocker> {
    if !menu.open {
        return Err(Blocker::retryable(
            Reason::StoreClosed,
            "the store is closed; the order waits for it to open".into(),
        ));
    }
    price_when_open(items, menu, coupon, expected_total, ordered_at)
}

/// The same, whether the store is open or not.
pub(crate) fn price_when_open(
    items: &[OrderedItem],
    menu: &Menu,
    coupon: Option<&Terms>,
    expected_total: Option<i64>,
    ordered_at: Timestamp,
) -> Result<Quote, Blocker> {
    let mut lines = Vec::with_capacity(items.len());
    let mut subtotal = 0_i64;
    for item in items {
        let line = price_line(item, menu)?;
        subtotal = subtotal.checked_add(line.amount).ok_or_else(too_large)?;
        lines.push(line);
    }
    if subtotal < menu.minimum_order {
        return Err(Blocker::terminal(
            Reason::BelowMinimum,
            format!(
                "the order comes to {subtotal} {CURRENCY}; the store delivers from {} {CURRENCY}",
                menu.minimum_order
            ),
        ));
    }
    let discount = coupon.map_or(Ok(0), |terms| terms.discount(subtotal, ordered_at))?;
    let total = subtotal - discount;
    if let Some(expected) = expected_total.filter(|expected| *expected != total) {
        return Err(Blocker::terminal(
            Reason::TotalMismatch,
            format!("the order comes to {total} {CURRENCY}, not to the expected {expected} {CURRENCY}"),
        ));
    }
    Ok(Quote {
        store_name: menu.store_name.clone(),
        store_uid: menu.store_uid.clone(),
        lines,
        discount,
        total,
        coupon: coupon.map(|terms| CouponUsed { name: terms.name.clone(), uid: terms.uid.clone() }),
    })
}

fn price_line(item: &OrderedItem, menu: &Menu) -> Result<QuoteLine, Blocker> {
    let name = &item.menu_item;
    let dish = menu.items.iter().find(|dish| dish.name == *name).ok_or_else(|| {
        Blocker::retryable(Reason::UnknownMenuItem, format!("the store has no {name:?} on its menu"))
    })?;
    if !dish.available {
        return Err(Blocker::terminal(
            Reason::MenuItemUnavailable,
            format!("{name:?} is not available at the moment"),
        ));
    }
    if item.quantity < 1 {
        return Err(Blocker::terminal(
            Reason::BadQuantity,
            format!("{} of {name:?} cannot be ordered", item.quantity),
        ));
    }
    let mut unit_price = dish.price;
    for option in &item.options {
        let (_, extra) = dish.options.iter().find(|(known, _)| known == option).ok_or_else(|| {
            Blocker::terminal(Reason::UnknownOption, format!("{name:?} has no option {option:?}"))
        })?;
        unit_price = unit_price.checked_add(*extra).ok_or_else(too_large)?;
    }
    let amount = unit_price.checked_mul(item.quantity).ok_or_else(too_large)?;
    Ok(QuoteLine {
        menu_item: name.clone(),
        quantity: item.quantity,
        options: item.options.clone(),
        unit_price,
        amount,
    })
}

fn too_large() -> Blocker {
    Blocker::terminal(Reason::TotalTooLarge, "the order comes to more than can be charged".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn menu() -> Menu {
        Menu {
            store_name: "hanok".into(),
            store_uid: "s1".into(),
            open: true,
            minimum_order: 12_000,
            items: vec![
                MenuItem {
                    name: "bibimbap".into(),
                    price: 9_000,
                    available: true,
                    options: vec![("egg".into(), 1_000)],
                },
                MenuItem { name: "naengmyeon".into(), price: 11_000, available: false, options: vec![] },
                MenuItem { name: "feast".into(), price: i64::MAX / 2, available: true, options: vec![] },
            ],
        }
    }

    fn item(name: &str, quantity: i64, options: &[&str]) -> OrderedItem {
        let options = options.iter().map(|o| (*o).to_owned()).collect();
        OrderedItem { menu_item: name.into(), quantity, options }
    }

    fn refusal(items: &[OrderedItem], menu: &Menu, expected: Option<i64>) -> &'static str {
        price(items, menu, None, expected, Timestamp(0)).expect_err("must be refused").reason.as_str()
    }

    #[test]
    fn a_coupon_is_taken_off_after_the_stores_minimum_and_before_the_expected_total() {
        let terms = Terms {
            name: "SPRING".into(),
            uid: "c1".into(),
            percent: Some(50),
            amount: None,
            minimum_order: 0,
            valid_from: None,
            valid_until: None,
        };
        let items = [item("bibimbap", 2, &[])];
        let quote = price(&items, &menu(), Some(&terms), Some(9_000), Timestamp(0)).expect("a price");
        assert_eq!((quote.discount, quote.total), (9_000, 9_000));
        assert_eq!(quote.coupon.map(|c| c.uid).as_deref(), Some("c1"));
    }

    #[test]
    fn options_are_added_to_the_price_of_each() {
        let quote = price(&[item("bibimbap", 2, &["egg"])], &menu(), None, Some(20_000), Timestamp(0))
            .expect("a price");
        assert_eq!((quote.total, quote.lines[0].unit_price), (20_000, 10_000));
    }

    #[test]
    fn an_order_of_exactly_the_minimum_is_taken_and_one_below_it_is_not() {
        let mut menu = menu();
        menu.minimum_order = 9_000;
        assert!(price(&[item("bibimbap", 1, &[])], &menu, None, None, Timestamp(0)).is_ok());
        menu.minimum_order = 9_001;
        assert_eq!(refusal(&[item("bibimbap", 1, &[])], &menu, None), "BelowMinimum");
    }

    #[test]
    fn whatever_cannot_be_priced_says_why() {
        assert_eq!(refusal(&[item("pizza", 1, &[])], &menu(), None), "UnknownMenuItem");
        assert_eq!(refusal(&[item("naengmyeon", 2, &[])], &menu(), None), "MenuItemUnavailable");
        assert_eq!(refusal(&[item("bibimbap", 2, &["gold"])], &menu(), None), "UnknownOption");
        assert_eq!(refusal(&[item("bibimbap", 0, &[])], &menu(), None), "BadQuantity");
        assert_eq!(refusal(&[item("bibimbap", -1, &[])], &menu(), None), "BadQuantity");
        assert_eq!(refusal(&[item("feast", 1_000_000_000, &[])], &menu(), None), "TotalTooLarge");
        assert_eq!(refusal(&[item("feast", 1, &[]), item("feast", 2, &[])], &menu(), None), "TotalTooLarge");
        assert_eq!(refusal(&[item("bibimbap", 2, &[])], &menu(), Some(1)), "TotalMismatch");
        let closed = Menu { open: false, ..menu() };
        assert_eq!(refusal(&[item("bibimbap", 2, &[])], &closed, None), "StoreClosed");
    }
}
