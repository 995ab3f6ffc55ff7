//! Rolling updates under a steady load: from the version before to this one, and within this one.

use std::time::Duration;

use anyhow::{Result, ensure};
use fooddelivery_e2e::images::VERSION;

use crate::ground::{Ground, SYSTEM, Shape};
use crate::images::PREVIOUS_TAG;
use crate::install::AS_SHIPPED;
use crate::load::{Load, STEADY, longest, median};
use crate::{Figures, say};

/// No order waits longer than others did before, plus this.
const LONGER_AT_MOST: Duration = Duration::from_secs(5);
const BEFORE: Duration = Duration::from_secs(15);
const AFTER: Duration = Duration::from_secs(15);

pub(crate) async fn roll(ground: &Ground) -> Result<Figures> {
    let mut figures = Figures::new();
    if ground.images.previous.is_some() {
        say("back to the version before, as it was installed before the update");
        ground.deploy(Shape { tag: PREVIOUS_TAG, ..AS_SHIPPED }).await?;
        let update = ground.deploy(Shape { tag: VERSION, ..AS_SHIPPED });
        figures.push(under_load(ground, "from the version before to this one", "updated", update).await?);
    } else {
        figures.push(
            "NOT TRIED: the update from the version before, whose commit is not in this checkout".into(),
        );
    }
    let restart = async {
        ground.kubectl(&["-n", SYSTEM, "rollout", "restart", "deployment/fooddelivery-operator"]).await?;
        ground.rolled_out().await
    };
    figures.push(under_load(ground, "within this version", "restarted", restart).await?);
    Ok(figures)
}

async fn under_load(
    ground: &Ground,
    what: &str,
    prefix: &str,
    update: impl Future<Output = Result<()>>,
) -> Result<String> {
    say(&format!("orders at {STEADY} a second; the operator is rolled {what}"));
    let load = Load::new(ground, prefix).await?;
    load.place(STEADY, BEFORE).await?;
    let began = load.elapsed();
    let (updated, placed) = tokio::join!(
        async {
            update.await?;
            anyhow::Ok(load.elapsed())
        },
        load.place(STEADY, AFTER)
    );
    let rolled = updated?.saturating_sub(began);
    placed?;
    load.place(STEADY, AFTER).await?;
    let waits = load.all_accepted().await?;
    let (before, during): (Vec<_>, Vec<_>) = waits.iter().cloned().partition(|wait| wait.placed_at < began);
    let (usual, worst) = (longest(&before), longest(&during));
    let audit = ground.audit().await?;
    ensure!(
        worst <= usual + LONGER_AT_MOST,
        "an order waited {worst:?}; before the update {usual:?} at most"
    );
    Ok(format!(
        "rolled {what} in {:.1} s: {} orders, none lost; longest wait {:.2} s, before it {:.2} s; median {:.2} s, before \
         {:.2} s; {audit}",
        rolled.as_secs_f32(),
        waits.len(),
        worst.as_secs_f32(),
        usual.as_secs_f32(),
        median(&during).as_secs_f32(),
        median(&before).as_secs_f32()
    ))
}
