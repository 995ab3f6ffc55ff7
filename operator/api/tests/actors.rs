//! The policies about customers, stores and riders: what they cost does not depend on how many there are, and their
//! groups begin with one word that can be changed.
#![allow(clippy::expect_used)]

use std::collections::BTreeSet;

use fooddelivery_api::kinds;
use fooddelivery_api::policies::actors::{PREFIX, documents, is_prefix};
use fooddelivery_api::policies::operator_user;
use serde_json::{Value, json};

fn policies(prefix: &str) -> Vec<Value> {
    let all = documents(&[operator_user()], prefix);
    all.into_iter().filter(|document| document["kind"] == "ValidatingAdmissionPolicy").collect()
}

#[test]
fn no_policy_for_actors_has_a_parameter() {
    let all = documents(&[operator_user()], PREFIX);
    for document in &all {
        for of_parameters in ["paramKind", "paramRef"] {
            assert!(document["spec"].get(of_parameters).is_none(), "{}", document["metadata"]["name"]);
        }
        assert!(!document.to_string().contains("params."), "{}", document["metadata"]["name"]);
    }
    assert!(all.iter().all(|document| document["spec"]["failurePolicy"] != "Ignore"));
}

#[test]
fn a_write_concerns_one_policy_at_most_and_each_asks_once_before_it_looks_through_the_roles() {
    let mut seen = BTreeSet::new();
    for policy in policies(PREFIX) {
        let spec = &policy["spec"];
        for resource in spec["matchConstraints"]["resourceRules"][0]["resources"].as_array().expect("a list")
        {
            assert!(seen.insert(resource.as_str().expect("a plural").to_owned()), "{resource} is in two");
        }
        let [condition] = spec["matchConditions"].as_array().expect("a list").as_slice() else {
            panic!("each of several conditions would be evaluated");
        };
        let condition = condition["expression"].as_str().expect("CEL");
        let parts = ["request.userInfo.groups", "request.userInfo.username", "authorizer."];
        let places = parts.map(|part| condition.find(part).expect(part));
        assert!(places.is_sorted(), "{condition}");
    }
    let of_actors = kinds::plurals(|kind| kind.is_acted_for);
    assert_eq!(of_actors, ["stores", "riders", "customers"], "the kinds that groups are called after");
    let orders_and_children = ["orders", "tickets", "deliveries"];
    assert_eq!(seen, of_actors.into_iter().chain(orders_and_children).map(str::to_owned).collect());
}

/// `manifests/overlays/prefix` replaces these two of each policy, and nothing else has the prefix in it.
#[test]
fn the_prefix_is_the_first_literal_of_the_condition_and_of_the_first_variable() {
    let mut changed = policies(PREFIX);
    for policy in &mut changed {
        for place in ["/spec/matchConditions/0/expression", "/spec/variables/0/expression"] {
            let expression = policy.pointer_mut(place).expect(place);
            let text = expression.as_str().expect("CEL").to_owned();
            let mut parts: Vec<&str> = text.split('\'').collect();
            assert_eq!(parts[1], PREFIX, "{text}");
            parts[1] = "acme:";
            *expression = json!(parts.join("'"));
        }
    }
    assert_eq!(changed, policies("acme:"));
}

#[test]
fn a_prefix_cannot_leave_its_literal() {
    for good in ["food:", "oidc:food/", "https://issuer.example#"] {
        assert!(is_prefix(good), "{good}");
    }
    for bad in ["", "a'b", "a\\", "two words", "음식:", &"x".repeat(101)] {
        assert!(!is_prefix(bad), "{bad}");
    }
}
