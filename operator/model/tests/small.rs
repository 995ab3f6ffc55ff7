//! The small models: within their bounds no state breaks a property, and mistakes are found.
//!
//! `cargo test` takes the first 150,000 states of each, which is all of most of them; `cargo test-all` takes every state.

mod support;

use fooddelivery_model::counter::{self, Mutant as Count};
use fooddelivery_model::coupon::{self, Mutant as Coupon};
use fooddelivery_model::notification::{self, Mutant as Tell};
use fooddelivery_model::runs::Extent;
use fooddelivery_model::small::{COUNT, COUPON, Of, SMALL, Small, TELL, check_small};

use support::extent;

#[test]
fn no_state_of_a_small_model_breaks_a_property() {
    let mut broken = Vec::new();
    for run in SMALL {
        let report = check_small(*run, extent());
        println!("{}", report.text());
        assert!(report.states > 1_000, "the bounds of {} leave nothing to check", run.name);
        broken.extend(report.broken.iter().map(|(property, _)| (run.name, *property)));
    }
    assert_eq!(broken, Vec::new());
}

fn found(of: Of) {
    let report = check_small(Small { name: "a planted mutant", of }, Extent::FirstBroken);
    println!("{}", report.text());
    assert!(!report.broken.is_empty(), "the mutant was not found in {} states", report.states);
}

fn coupon(mutant: Coupon) {
    found(Of::Coupon(coupon::Bounds { crashes: 0, mutant: Some(mutant), ..COUPON }));
}

#[test]
fn an_order_that_gives_its_coupon_back_believed_from_a_cache_is_found() {
    let long = coupon::Bounds { long: true, ..COUPON };
    found(Of::Coupon(coupon::Bounds { mutant: Some(Coupon::NoLiveRead), ..long }));
}

#[test]
fn a_coupons_counts_written_blindly_are_found() {
    coupon(Coupon::BlindCounts);
}

#[test]
fn a_payment_marked_before_its_coupon_has_left_the_count_is_found() {
    coupon(Coupon::MarkFirst);
}

#[test]
fn a_coupon_given_back_without_a_list_is_found() {
    coupon(Coupon::NoList);
}

#[test]
fn a_discount_before_the_coupon_is_kept_is_found() {
    coupon(Coupon::PaidUnkept);
}

#[test]
fn an_order_that_goes_before_its_coupon_knows_is_found() {
    coupon(Coupon::OwesNothing);
}

#[test]
fn a_payment_made_too_late_that_gives_a_coupon_back_is_found() {
    coupon(Coupon::CountsUnbegun);
}

#[test]
fn a_list_that_orders_that_are_gone_never_leave_is_found() {
    found(Of::Coupon(coupon::Bounds {
        long: true,
        crashes: 0,
        mutant: Some(Coupon::GoneStayListed),
        ..COUPON
    }));
}

fn count(mutant: Count) {
    found(Of::Counter(counter::Bounds { mutant: Some(mutant), ..COUNT }));
}

fn count_with_a_long_list(mutant: Count) {
    found(Of::Counter(counter::Bounds { long: true, mutant: Some(mutant), ..COUNT }));
}

#[test]
fn a_ticket_kept_as_a_cache_has_it_is_found() {
    count_with_a_long_list(Count::NoLiveRead);
}

#[test]
fn a_stores_counts_written_blindly_are_found() {
    count(Count::BlindCounts);
}

#[test]
fn an_old_copy_that_lets_a_ticket_go_unkept_is_found() {
    count(Count::OldCopyOwesNothing);
}

#[test]
fn a_ticket_that_leaves_the_list_because_a_cache_does_not_have_it_is_found() {
    count_with_a_long_list(Count::GoneFromCache);
}

#[test]
fn a_listed_ticket_that_is_counted_as_live_too_is_found() {
    count(Count::ListedIsLive);
}

#[test]
fn counts_without_a_list_are_found() {
    count(Count::NoList);
}

fn tell(mutant: Tell) {
    found(Of::Notification(notification::Bounds { second: false, mutant: Some(mutant), ..TELL }));
}

#[test]
fn a_step_taken_for_told_before_it_is_sent_is_found() {
    tell(Tell::CursorFirst);
}

#[test]
fn a_step_taken_for_told_without_an_answer_is_found() {
    tell(Tell::TroubleIsTold);
}

#[test]
fn an_order_that_goes_before_all_is_told_is_found() {
    tell(Tell::OwesNothing);
}

#[test]
fn a_step_that_one_provider_was_told_of_taken_for_told_to_all_is_found() {
    found(Of::Notification(notification::Bounds { mutant: Some(Tell::OneForAll), ..TELL }));
}
