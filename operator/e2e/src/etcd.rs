//! Writes straight into the etcd of a local cluster, past its API server: for the tens of thousands of objects that are to be
//! there before something is measured. What is written has to be as the API server would store it.

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use local_cluster::LocalCluster;
use serde_json::{Value, json};

use crate::http;

/// Writes of one transaction: etcd takes 128, and 1.5 MB.
const BATCH: usize = 100;

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
        Ok(Self { url: format!("{}/v3/kv/txn", cluster.etcd_url()), http: http::client()? })
    }

    /// Puts objects, each with the key at which the API server keeps it.
    ///
    /// # Errors
    /// When etcd refuses or cannot be reached.
    pub async fn put_all(&self, objects: impl IntoIterator<Item = (String, String)>) -> Result<()> {
        let mut puts: Vec<Value> = Vec::with_capacity(BATCH);
        for (key, object) in objects {
            puts.push(
                json!({ "requestPut": { "key": STANDARD.encode(key), "value": STANDARD.encode(object) } }),
            );
            if puts.len() == BATCH {
                self.put(std::mem::take(&mut puts)).await?;
            }
        }
        if puts.is_empty() { Ok(()) } else { self.put(puts).await }
    }

    async fn put(&self, puts: Vec<Value>) -> Result<()> {
        let answer = self.http.post(&self.url).body(json!({ "success": puts }).to_string()).send().await?;
        answer.error_for_status().context("etcd takes no objects")?;
        Ok(())
    }
}
