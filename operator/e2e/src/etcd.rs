//! Writes straight into the etcd of a local cluster, past its API server: for the tens of thousands of objects that are to be
//! there before something is measured. What is written has to be as the API server would store it.

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::{StreamExt, TryStreamExt, stream};
use local_cluster::LocalCluster;
use serde_json::json;

use crate::http;

/// Writes under way at a time.
const AT_A_TIME: usize = 64;

/// The etcd of a local cluster, over its JSON gateway.
pub struct Etcd {
    url: String,
    http: reqwest::Client,
}

impl Etcd {
    /// That of this cluster.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn of(cluster: &LocalCluster) -> Result<Self> {
        Ok(Self { url: format!("{}/v3/kv/put", cluster.etcd_url()), http: http::client()? })
    }

    /// Puts objects, each with the key at which the API server keeps it, and each by itself: what has one revision is one change
    /// to the API server, whose watches may begin in the middle of it and miss the rest.
    ///
    /// # Errors
    /// When etcd refuses or cannot be reached.
    pub async fn put_all(&self, objects: impl IntoIterator<Item = (String, String)>) -> Result<()> {
        let puts = objects.into_iter().map(|(key, object)| self.put(key, object));
        stream::iter(puts).buffer_unordered(AT_A_TIME).try_collect().await
    }

    async fn put(&self, key: String, object: String) -> Result<()> {
        let put = json!({ "key": STANDARD.encode(key), "value": STANDARD.encode(object) });
        let answer = self.http.post(&self.url).body(put.to_string()).send().await?;
        answer.error_for_status().context("etcd takes no objects")?;
        Ok(())
    }
}
