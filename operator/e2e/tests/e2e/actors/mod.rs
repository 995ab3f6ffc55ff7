//! Who may do what: an API server that takes the tokens of an OpenID provider, and each actor with a token of theirs.
//!
//! The cluster is these tests' own, as its API server is started with their authentication configuration; the users get
//! the roles of the samples.

mod issuer;
mod people;

use anyhow::Result;
use fooddelivery_e2e::{Customer, Delivery, LONG, Order, OrderPhase, Payment, Rider, Store, Ticket};
use kube::Api;
use kube::api::ListParams;
use serde_json::json;

use people::{Market, Person, allowed, refused};

/// The status and the message of an answer; 200 and none where the request was carried out.
async fn answer(person: &Person) -> (u16, String) {
    match person.api::<Order>().list(&ListParams::default()).await {
        Ok(_) => (200, String::new()),
        Err(kube::Error::Api(status)) => (status.code, status.message.clone()),
        Err(error) => panic!("no answer: {error}"),
    }
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
        market.person("jiwoo", &[]).await?,
        market.person("hanok-kitchen", &[]).await?,
        market.person("minjun", &[]).await?,
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
    let (jiwoo, minsu, ns) =
        (market.person("jiwoo", &[]).await?, market.person("minsu", &[]).await?, &market.ns);
    allowed("jiwoo orders", async || jiwoo.order(ns, "lunch", |_| {}).await).await?;
    ns.wait_phase("lunch", OrderPhase::AwaitingStore, LONG).await?;
    allowed("minsu orders", async || {
        minsu.order(ns, "supper", |o| o.customer_ref.name = "minsu".into()).await
    })
    .await?;
    let (of_jiwoo, of_minsu) = ("does not act for customer jiwoo", "does not act for customer minsu");
    refused(minsu.order(ns, "mine", |_| {}).await, of_jiwoo);
    refused(jiwoo.order(ns, "mine", |o| o.customer_ref.name = "minsu".into()).await, of_minsu);
    refused(
        jiwoo.order(ns, "mine", |o| o.customer_ref.name = "nobody".into()).await,
        "does not act for customer nobody",
    );
    let cancel = json!({ "spec": { "cancellation": { "reason": "not mine" } } });
    refused(minsu.patch::<Order>("lunch", cancel).await, "food:minsu does not act for customer jiwoo");
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
    refused(jiwoo.patch::<Customer>("minsu", prefers).await, "food:jiwoo does not act for customer minsu");
    let subjects = json!({ "spec": { "subjects": ["food:jiwoo", "food:friend"] } });
    refused(jiwoo.patch::<Customer>("jiwoo", subjects).await, "who acts for whom");
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_moves_its_own_tickets_and_runs_its_own_shop() -> Result<()> {
    let market = Market::open("stores").await?;
    let (hanok, sushi, ns) =
        (market.person("hanok-kitchen", &[]).await?, market.person("sushi-bar", &[]).await?, &market.ns);
    ns.order("lunch", |_| {}).await?;
    ns.wait_until::<Ticket>("lunch", "a ticket", LONG, |_| true).await?;
    let stage = json!({ "spec": { "stage": "Accepted" } });
    allowed("hanok accepts", async || hanok.patch::<Ticket>("lunch", stage.clone()).await).await?;
    let stage = json!({ "spec": { "stage": "Cooking" } });
    refused(sushi.patch::<Ticket>("lunch", stage).await, "food:sushi-bar does not act for store hanok");
    let cancel = json!({ "spec": { "cancellation": { "reason": "no rice" } } });
    refused(hanok.patch::<Order>("lunch", cancel).await, "cannot patch resource \"orders\"");
    let status = json!({ "status": { "ordersByMenuItem": [] } });
    refused(hanok.patch_status::<Store>("hanok", status).await, "cannot patch resource \"stores/status\"");

    let close = json!({ "spec": { "open": false } });
    hanok.patch::<Store>("hanok", close.clone()).await.expect("their own");
    refused(sushi.patch::<Store>("hanok", close).await, "food:sushi-bar does not act for store hanok");
    let subjects = json!({ "spec": { "subjects": ["food:hanok-kitchen", "food:cousin"] } });
    refused(hanok.patch::<Store>("hanok", subjects).await, "who acts for whom");
    refused(
        hanok.patch::<Store>("hanok", json!({ "spec": { "subjects": null } })).await,
        "who acts for whom",
    );

    // One who acts for two stores moves the tickets of both.
    let both = json!({ "spec": { "subjects": ["food:hanok-kitchen", "food:sushi-bar"] } });
    ns.patch::<Store>("hanok", both).await?;
    let stage = json!({ "spec": { "stage": "Cooking" } });
    allowed("sushi-bar cooks for hanok, too", async || sushi.patch::<Ticket>("lunch", stage.clone()).await)
        .await?;
    ns.audit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rider_takes_what_is_free_and_moves_what_is_theirs() -> Result<()> {
    let market = Market::open("riders").await?;
    let (minjun, sora, ns) =
        (market.person("minjun", &[]).await?, market.person("sora", &[]).await?, &market.ns);
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

    refused(sora.patch::<Delivery>("dinner", of_minjun).await, "food:sora does not act for rider minjun");
    let ghost = json!({ "spec": { "riderRef": { "name": "ghost" } } });
    refused(sora.patch::<Delivery>("dinner", ghost).await, "food:sora does not act for rider ghost");
    refused(sora.patch::<Delivery>("lunch", of_sora).await, "this delivery is already taken by minjun");
    for change in [json!({ "riderRef": null }), json!({ "stage": "PickedUp" })] {
        let said = sora.patch::<Delivery>("lunch", json!({ "spec": change })).await;
        refused(said, "food:sora does not act for rider minjun");
    }
    let note = json!({ "metadata": { "annotations": { "note": "mine, please" } } });
    refused(sora.patch::<Delivery>("dinner", note).await, "a delivery that no rider has can only be taken");
    let cancel = json!({ "spec": { "cancellation": { "reason": "too far" } } });
    refused(minjun.patch::<Order>("lunch", cancel).await, "cannot patch resource \"orders\"");
    let read = minjun.api::<Order>().get("lunch").await;
    refused(read.map(drop).map_err(|e| e.to_string()), "cannot get resource \"orders\"");

    let away = json!({ "spec": { "available": false } });
    minjun.patch::<Rider>("minjun", away.clone()).await.expect("their own");
    refused(sora.patch::<Rider>("minjun", away).await, "food:sora does not act for rider minjun");
    let subjects = json!({ "spec": { "subjects": ["food:minjun", "food:sora"] } });
    refused(minjun.patch::<Rider>("minjun", subjects).await, "who acts for whom");
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
    let subjects = json!({ "spec": { "subjects": ["food:kim"] } });
    refused(kim.patch::<Store>("hanok", subjects).await, "cannot patch resource \"stores\"");
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
