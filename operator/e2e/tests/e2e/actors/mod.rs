//! Who may do what: an API server that takes the tokens of an OpenID provider, and each actor with a token of theirs.
//!
//! The cluster is these tests' own, as its API server is started with their authentication configuration. Groups get the
//! roles of the samples, and other groups say for whom a user acts.

mod issuer;
mod people;

use anyhow::Result;
use fooddelivery_api::policies::{actors, operator_user};
use fooddelivery_e2e::binaries::workspace;
use fooddelivery_e2e::{
    Customer, Delivery, LONG, Order, OrderPhase, OrderSpec, Payment, Rider, Store, TestNamespace, Ticket,
};
use kube::Api;
use kube::api::ListParams;
use kube::config::AuthInfo;
use serde_json::{Value, json};

use people::{Market, Person, allowed, refused};

/// The status and the message of an answer; 200 and none where the request was carried out.
async fn answer(person: &Person) -> (u16, String) {
    match person.api::<Order>().list(&ListParams::default()).await {
        Ok(_) => (200, String::new()),
        Err(kube::Error::Api(status)) => (status.code, status.message.clone()),
        Err(error) => panic!("no answer: {error}"),
    }
}

/// What is said to a user who lacks the group to act for somebody.
fn lacks(ns: &TestNamespace, user: &str, kind: &str, name: &str) -> String {
    let group = format!("food:{}:{kind}:{name}", ns.name);
    format!("food:{user} does not act for {kind} {name}: that takes the group {group}")
}

#[tokio::test(flavor = "multi_thread")]
async fn only_tokens_of_the_issuer_that_are_valid_now_get_in_and_only_with_a_role_any_further() -> Result<()>
{
    let market = Market::open("door").await?;
    let issuer = &market.world.issuer;
    let foreign = issuer::Issuer::start()?;
    for (token, what) in [
        (None, "no token"),
        (Some("nonsense".to_owned()), "nonsense"),
        (Some(issuer.token("jiwoo", &[], -60)?), "an expired token"),
        (Some(issuer.token_for("another-service", "jiwoo", &[], 600)?), "a token for another service"),
        (Some(foreign.token("jiwoo", &[], 600)?), "a token of a foreign issuer"),
        (Some(issuer.impostor()?.token("jiwoo", &["support"], 600)?), "a forged token"),
    ] {
        let (code, said) = answer(&market.holder_of(token).await?).await;
        assert_eq!(code, 401, "{what}: {said}");
    }
    let (code, said) = answer(&market.person("nobody", &[]).await?).await;
    assert_eq!(code, 403, "{said}");
    assert!(said.contains("User \"food:nobody\" cannot list resource \"orders\""), "{said}");
    let support = market.person("kim", &["support"]).await?;
    allowed("support lists orders", async || support.api::<Order>().list(&ListParams::default()).await)
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_goes_from_its_customer_by_its_store_and_its_rider_back_to_its_customer() -> Result<()> {
    let market = Market::open("whole").await?;
    let (jiwoo, hanok, minjun) = (
        market.actor("jiwoo", "customers", &["customer:jiwoo"]).await?,
        market.actor("hanok-kitchen", "stores", &["store:hanok"]).await?,
        market.actor("minjun", "riders", &["rider:minjun"]).await?,
    );
    let ns = &market.ns;
    allowed("jiwoo orders", async || jiwoo.order(ns, "lunch", |_| {}).await).await?;
    ns.wait_until::<Ticket>("lunch", "a ticket", LONG, |_| true).await?;
    for stage in ["Accepted", "Cooking", "Cooked"] {
        allowed(stage, async || hanok.patch::<Ticket>("lunch", json!({ "spec": { "stage": stage } })).await)
            .await?;
    }
    ns.wait_until::<Delivery>("lunch", "a delivery", LONG, |_| true).await?;
    let queue = ListParams::default().fields("spec.stage=Waiting");
    assert_eq!(minjun.api::<Delivery>().list(&queue).await?.items.len(), 1);
    for change in [
        json!({ "riderRef": { "name": "minjun" } }),
        json!({ "riderRef": null }),
        json!({ "riderRef": { "name": "minjun" } }),
        json!({ "stage": "PickedUp" }),
        json!({ "stage": "Delivered" }),
    ] {
        let what = change.to_string();
        allowed(&what, async || minjun.patch::<Delivery>("lunch", json!({ "spec": change.clone() })).await)
            .await?;
    }
    ns.wait_phase("lunch", OrderPhase::Delivered, LONG).await?;
    assert_eq!(jiwoo.api::<Order>().get("lunch").await?.state().phase, OrderPhase::Delivered);
    jiwoo.patch::<Order>("lunch", json!({ "spec": { "receiptConfirmed": true } })).await.expect("their own");
    ns.wait_phase("lunch", OrderPhase::Completed, LONG).await?;
    allowed("jiwoo orders", async || jiwoo.order(ns, "dinner", |_| {}).await).await?;
    jiwoo
        .patch::<Order>("dinner", json!({ "spec": { "cancellation": { "reason": "pizza" } } }))
        .await
        .expect("their own");
    ns.wait_phase("dinner", OrderPhase::Cancelled, LONG).await?;
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_has_their_own_orders_and_nothing_else() -> Result<()> {
    let market = Market::open("customers").await?;
    let (jiwoo, minsu, ns) = (
        market.actor("jiwoo", "customers", &["customer:jiwoo"]).await?,
        market.actor("minsu", "customers", &["customer:minsu"]).await?,
        &market.ns,
    );
    allowed("jiwoo orders", async || jiwoo.order(ns, "lunch", |_| {}).await).await?;
    ns.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
    allowed("minsu orders", async || {
        minsu.order(ns, "supper", |o| o.customer_ref.name = "minsu".into()).await
    })
    .await?;
    for (person, user, whom) in
        [(&minsu, "minsu", "jiwoo"), (&jiwoo, "jiwoo", "minsu"), (&jiwoo, "jiwoo", "nobody")]
    {
        let said = person.order(ns, "mine", |o| o.customer_ref.name = whom.into()).await;
        refused(said, &lacks(ns, user, "customer", whom));
    }
    let cancel = json!({ "spec": { "cancellation": { "reason": "not mine" } } });
    refused(minsu.patch::<Order>("lunch", cancel).await, &lacks(ns, "minsu", "customer", "jiwoo"));
    let pause = json!({ "metadata": { "annotations": { "fooddelivery.dev/paused": "true" } } });
    refused(
        jiwoo.patch::<Order>("lunch", pause).await,
        "an order is stopped, and let go on, by support alone",
    );
    let status = json!({ "status": { "phase": "Completed" } });
    refused(jiwoo.patch_status::<Order>("lunch", status).await, "cannot patch resource \"orders/status\"");
    let stage = json!({ "spec": { "stage": "Accepted" } });
    refused(jiwoo.patch::<Ticket>("lunch", stage).await, "cannot patch resource \"tickets\"");
    let refund = json!({ "spec": { "desired": "Refunded" } });
    refused(jiwoo.patch::<Payment>("lunch", refund).await, "cannot patch resource \"payments\"");
    let listed = jiwoo.api::<Order>().list(&ListParams::default()).await;
    refused(listed.map(drop).map_err(|e| e.to_string()), "cannot list resource \"orders\"");

    let prefers = json!({ "spec": { "preferredStoreRef": { "name": "sushi" } } });
    jiwoo.patch::<Customer>("jiwoo", prefers.clone()).await.expect("their own");
    refused(jiwoo.patch::<Customer>("minsu", prefers).await, &lacks(ns, "jiwoo", "customer", "minsu"));
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_moves_its_own_tickets_and_runs_its_own_shop() -> Result<()> {
    let market = Market::open("stores").await?;
    let (hanok, sushi, ns) = (
        market.actor("hanok-kitchen", "stores", &["store:hanok"]).await?,
        market.actor("sushi-bar", "stores", &["store:sushi"]).await?,
        &market.ns,
    );
    ns.order("lunch", |_| {}).await?;
    ns.wait_until::<Ticket>("lunch", "a ticket", LONG, |_| true).await?;
    let stage = json!({ "spec": { "stage": "Accepted" } });
    allowed("hanok accepts", async || hanok.patch::<Ticket>("lunch", stage.clone()).await).await?;
    let stage = json!({ "spec": { "stage": "Cooking" } });
    refused(sushi.patch::<Ticket>("lunch", stage.clone()).await, &lacks(ns, "sushi-bar", "store", "hanok"));
    let cancel = json!({ "spec": { "cancellation": { "reason": "no rice" } } });
    refused(hanok.patch::<Order>("lunch", cancel).await, "cannot patch resource \"orders\"");
    let status = json!({ "status": { "ordersByMenuItem": [] } });
    refused(hanok.patch_status::<Store>("hanok", status).await, "cannot patch resource \"stores/status\"");

    let close = json!({ "spec": { "open": false } });
    hanok.patch::<Store>("hanok", close.clone()).await.expect("their own");
    refused(sushi.patch::<Store>("hanok", close).await, &lacks(ns, "sushi-bar", "store", "hanok"));

    // One who acts for two stores runs both.
    let owner = market.actor("owner", "stores", &["store:hanok", "store:sushi"]).await?;
    owner.patch::<Ticket>("lunch", stage).await.expect("of the one");
    owner.patch::<Store>("sushi", json!({ "spec": { "open": false } })).await.expect("the other");
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_made_again_moves_nothing_that_its_namesake_left() -> Result<()> {
    let market = Market::open("namesakes").await?;
    let (hanok, ns) = (market.actor("hanok-kitchen", "stores", &["store:hanok"]).await?, &market.ns);
    ns.order("lunch", |_| {}).await?;
    ns.wait_until::<Ticket>("lunch", "a ticket", LONG, |_| true).await?;
    let spec = ns.get::<Store>("hanok").await?.spec;
    ns.kubectl(&["delete", "store", "hanok"]).await?;
    // As long as the name is nobody else's, its people end what they have begun.
    let accept = json!({ "spec": { "stage": "Accepted" } });
    allowed("hanok accepts", async || hanok.patch::<Ticket>("lunch", accept.clone()).await).await?;
    let again = json!({
        "apiVersion": "fooddelivery.dev/v1alpha1", "kind": "Store", "metadata": { "name": "hanok" }, "spec": spec,
    });
    ns.apply_yaml(&again.to_string()).await.map_err(anyhow::Error::msg)?;
    ns.wait_until::<Ticket>("lunch", "a ticket that is withheld", LONG, |t| t.spec.store_replaced).await?;
    let cook = json!({ "spec": { "stage": "Cooking" } });
    refused(hanok.patch::<Ticket>("lunch", cook).await, "another one was made under its name");
    let own = json!({ "spec": { "storeReplaced": false } });
    refused(hanok.patch::<Ticket>("lunch", own).await, "denied request");
    // An administrator may act for others, and does.
    ns.move_ticket("lunch", fooddelivery_e2e::TicketStage::Cooking).await?;
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rider_takes_what_is_free_and_moves_what_is_theirs() -> Result<()> {
    let market = Market::open("riders").await?;
    let (minjun, sora, ns) = (
        market.actor("minjun", "riders", &["rider:minjun"]).await?,
        market.actor("sora", "riders", &["rider:sora"]).await?,
        &market.ns,
    );
    for name in ["lunch", "dinner"] {
        ns.order(name, |_| {}).await?;
        ns.cook(name).await?;
        ns.wait_until::<Delivery>(name, "a delivery", LONG, |_| true).await?;
    }
    let of_minjun = json!({ "spec": { "riderRef": { "name": "minjun" } } });
    let of_sora = json!({ "spec": { "riderRef": { "name": "sora" } } });
    allowed("minjun takes it", async || minjun.patch::<Delivery>("lunch", of_minjun.clone()).await).await?;
    allowed("sora takes the other", async || sora.patch::<Delivery>("dinner", of_sora.clone()).await).await?;
    sora.patch::<Delivery>("dinner", json!({ "spec": { "riderRef": null } })).await.expect("given back");

    let not_minjun = lacks(ns, "sora", "rider", "minjun");
    refused(sora.patch::<Delivery>("dinner", of_minjun).await, &not_minjun);
    let ghost = json!({ "spec": { "riderRef": { "name": "ghost" } } });
    refused(sora.patch::<Delivery>("dinner", ghost).await, &lacks(ns, "sora", "rider", "ghost"));
    refused(
        sora.patch::<Delivery>("lunch", of_sora.clone()).await,
        "this delivery is already taken by minjun",
    );
    for change in [json!({ "riderRef": null }), json!({ "stage": "PickedUp" })] {
        refused(sora.patch::<Delivery>("lunch", json!({ "spec": change })).await, &not_minjun);
    }
    let note = json!({ "metadata": { "annotations": { "note": "mine, please" } } });
    refused(sora.patch::<Delivery>("dinner", note).await, "a delivery that no rider has can only be taken");
    let cancel = json!({ "spec": { "cancellation": { "reason": "too far" } } });
    refused(minjun.patch::<Order>("lunch", cancel).await, "cannot patch resource \"orders\"");
    let read = minjun.api::<Order>().get("lunch").await;
    refused(read.map(drop).map_err(|e| e.to_string()), "cannot get resource \"orders\"");

    let away = json!({ "spec": { "available": false } });
    minjun.patch::<Rider>("minjun", away.clone()).await.expect("their own");
    refused(sora.patch::<Rider>("minjun", away).await, &not_minjun);

    // Two who share an account: it moves what the one has, and takes for the other.
    let both = market.actor("both", "riders", &["rider:sora", "rider:minjun"]).await?;
    both.patch::<Delivery>("lunch", json!({ "spec": { "stage": "PickedUp" } })).await.expect("of the one");
    both.patch::<Delivery>("dinner", of_sora).await.expect("for the other");
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn support_reads_everything_and_cancels_and_stops_orders_of_others() -> Result<()> {
    let market = Market::open("support").await?;
    let (kim, ns) = (market.person("kim", &["support"]).await?, &market.ns);
    ns.order("lunch", |_| {}).await?;
    ns.wait_until::<Ticket>("lunch", "a ticket", LONG, |_| true).await?;
    let pause =
        |word: Option<&str>| json!({ "metadata": { "annotations": { "fooddelivery.dev/paused": word } } });
    allowed("kim stops it", async || kim.patch::<Order>("lunch", pause(Some("true"))).await).await?;
    kim.patch::<Order>("lunch", pause(None)).await.expect("it goes on");
    // What a person says of a payment they may say, once it needs that; the rest is the operator's.
    let resolution = json!({ "spec": { "resolution": { "action": "Captured", "note": "kim: seen" } } });
    refused(kim.patch::<Payment>("lunch", resolution).await, "only in phase NeedsReview");
    let refund = json!({ "spec": { "desired": "Refunded" } });
    refused(kim.patch::<Payment>("lunch", refund).await, "a payment is the operator's alone");
    let close = json!({ "spec": { "open": false } });
    refused(kim.patch::<Store>("hanok", close).await, "cannot patch resource \"stores\"");
    refused(
        kim.patch::<Ticket>("lunch", json!({ "spec": { "stage": "Accepted" } })).await,
        "cannot patch resource \"tickets\"",
    );
    let everything: Api<Delivery> = kim.api();
    everything.list(&ListParams::default()).await?;
    kim.patch::<Order>("lunch", json!({ "spec": { "cancellation": { "reason": "kim: by telephone" } } }))
        .await
        .expect("cancelled");
    ns.wait_phase("lunch", OrderPhase::Cancelled, LONG).await?;
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_of_one_customer_in_one_namespace_and_a_user_may_have_several() -> Result<()> {
    let market = Market::open("groups").await?;
    let ns = &market.ns;
    let of = |name: &'static str| move |order: &mut OrderSpec| order.customer_ref.name = name.into();
    let parent = market.actor("parent", "customers", &["customer:jiwoo", "customer:grandma"]).await?;
    allowed("for jiwoo", async || parent.order(ns, "lunch", of("jiwoo")).await).await?;
    // Who is named need have no object, and the group is asked for all the same.
    parent.order(ns, "supper", of("grandma")).await.expect("a customer without an object");
    refused(parent.order(ns, "snack", of("nobody")).await, &lacks(ns, "parent", "customer", "nobody"));
    let cancel = json!({ "spec": { "cancellation": { "reason": "parent: no time" } } });
    for name in ["lunch", "supper"] {
        parent.patch::<Order>(name, cancel.clone()).await.expect("of both");
        ns.wait_phase(name, OrderPhase::Cancelled, LONG).await?;
    }

    let longer = format!("{}-2:customer:jiwoo", ns.name);
    let of_a_store = format!("{}:store:jiwoo", ns.name);
    let begins_alike = format!("{}:customer:jiwoo-2", ns.name);
    for group in ["other:customer:jiwoo", "customer:jiwoo", &longer, &of_a_store, &begins_alike] {
        let stranger = market.person("stranger", &["customers", group]).await?;
        refused(stranger.order(ns, "theirs", |_| {}).await, &lacks(ns, "stranger", "customer", "jiwoo"));
    }
    let alone = market.person("jiwoo", &["customers"]).await?;
    refused(alone.order(ns, "theirs", |_| {}).await, &lacks(ns, "jiwoo", "customer", "jiwoo"));
    ns.audit().await
}

/// The token of a service account has no groups but those that Kubernetes gives it.
#[tokio::test(flavor = "multi_thread")]
async fn a_back_end_acts_for_others_by_the_verb_or_in_the_name_of_a_user() -> Result<()> {
    let market = Market::open("back-end").await?;
    let ns = &market.ns;
    ns.kubectl(&["create", "serviceaccount", "shop"]).await?;
    let account = format!("{}:shop", ns.name);
    let bound = format!("--serviceaccount={account}");
    ns.kubectl(&["create", "rolebinding", "shop", "--clusterrole=fooddelivery-customer", &bound]).await?;
    let token = ns.kubectl(&["create", "token", "shop"]).await?.trim().to_owned();
    let shop = market.holder_of(Some(token.clone())).await?;
    let sentence =
        format!("system:serviceaccount:{account} does not act for customer jiwoo: that takes the group");
    allowed("the role is known", async || match shop.order(ns, "lunch", |_| {}).await {
        Err(said) if said.contains(&sentence) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await?;

    // In the name of a user, if it may impersonate them and their groups.
    let (user, group) = ("food:jiwoo", format!("food:{}:customer:jiwoo", ns.name));
    let roles = ["food:customers".to_owned(), group];
    let role = format!("impersonate-{}", ns.name);
    let impersonation = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": { "name": role },
        "rules": [
            { "apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"], "resourceNames": [user] },
            { "apiGroups": [""], "resources": ["groups"], "verbs": ["impersonate"], "resourceNames": roles },
        ],
    });
    let access = ns.cluster.access();
    access.kubectl_with_input(["apply", "-f", "-"], &impersonation.to_string()).await?;
    access.kubectl(["create", "clusterrolebinding", &role, &format!("--clusterrole={role}"), &bound]).await?;
    let as_jiwoo = AuthInfo {
        token: Some(token.into()),
        impersonate: Some(user.into()),
        impersonate_groups: Some(roles.into()),
        ..AuthInfo::default()
    };
    let as_jiwoo = market.as_said_by(as_jiwoo).await?;
    allowed("as jiwoo", async || as_jiwoo.order(ns, "lunch", |_| {}).await).await?;
    let of_minsu = as_jiwoo.order(ns, "supper", |o| o.customer_ref.name = "minsu".into()).await;
    refused(of_minsu, &lacks(ns, "jiwoo", "customer", "minsu"));

    // For everybody, by the verb.
    ns.kubectl(&["create", "rolebinding", "others", "--clusterrole=fooddelivery-support", &bound]).await?;
    let of_minsu = async || shop.order(ns, "supper", |o| o.customer_ref.name = "minsu".into()).await;
    allowed("the shop orders for minsu", of_minsu).await?;
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_groups_begin_as_an_overlay_says() -> Result<()> {
    let market = Market::open("prefix").await?;
    let overlay = workspace().join("manifests/overlays/prefix");
    let built = market.ns.cluster.access().kubectl(["kustomize".as_ref(), overlay.as_os_str()]).await?;
    let built: Vec<Value> = serde_saphyr::from_multiple(&built)?;
    for wanted in actors::documents(&[operator_user()], "acme:") {
        let same =
            |one: &&Value| ["/kind", "/metadata/name"].iter().all(|p| one.pointer(p) == wanted.pointer(p));
        assert_eq!(built.iter().find(same), Some(&wanted));
    }
    Ok(())
}
