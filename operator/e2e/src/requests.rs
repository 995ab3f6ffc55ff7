//! What an API server was asked, by its audit log: who asked, for what, and what came of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};

/// How much of a request is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// All but the bodies.
    Metadata,
    /// The bodies of requests and answers, too.
    Bodies,
}

/// An audit log in a directory, in the API server's own format (`audit.k8s.io/v1`).
#[derive(Debug, Clone)]
pub struct AuditLog {
    path: PathBuf,
}

/// A request that was answered. Of a watch: its beginning or its end.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// Who asked.
    pub user: User,
    /// The program that asked, as it calls itself.
    #[serde(default)]
    pub user_agent: String,
    /// The path with its query.
    #[serde(rename = "requestURI")]
    pub path: String,
    /// What was asked for; `None`: no resource, such as `/readyz`.
    #[serde(default)]
    pub object_ref: Option<Target>,
    /// What authorization and policies said.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    #[serde(default)]
    response_status: Status,
    /// The body of the request, where bodies are written down.
    #[serde(default)]
    pub request_object: Option<Value>,
    /// The object of the answer, where bodies are written down.
    #[serde(default)]
    pub response_object: Option<Value>,
}

/// Who asked.
#[derive(Debug, Clone, Deserialize)]
pub struct User {
    /// The name, such as `system:serviceaccount:NAMESPACE:NAME`.
    pub username: String,
}

/// What was asked for.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// API group; empty: the core group.
    #[serde(default)]
    pub api_group: String,
    /// Plural of the kind.
    pub resource: String,
    /// Such as `status`; empty: the object itself.
    #[serde(default)]
    pub subresource: String,
    /// Namespace; empty: cluster-scoped, or all.
    #[serde(default)]
    pub namespace: String,
    /// Name; empty: of many, or not known before it was created.
    #[serde(default)]
    pub name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Status {
    #[serde(default)]
    code: u16,
}

impl Target {
    /// The resource, with its subresource as RBAC has it: `orders/status`.
    pub fn resource(&self) -> String {
        match self.subresource.as_str() {
            "" => self.resource.clone(),
            part => format!("{}/{part}", self.resource),
        }
    }
}

impl Request {
    /// The status code of the answer.
    pub fn code(&self) -> u16 {
        self.response_status.code
    }

    /// Whether authorization let it through.
    pub fn is_allowed(&self) -> bool {
        self.annotations.get("authorization.k8s.io/decision").is_some_and(|decision| decision == "allow")
    }

    /// The revision of the store that it made, where bodies are written down: of two writes, which came first.
    pub fn revision(&self) -> Option<u64> {
        self.response_object.as_ref()?["metadata"]["resourceVersion"].as_str()?.parse().ok()
    }

    /// Whether it was to change something.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}

impl AuditLog {
    /// An audit log in `dir` of what these users ask (empty: all), and the API server's flags for it.
    ///
    /// # Errors
    /// When the policy cannot be written.
    pub fn new(dir: &Path, level: Level, users: &[String]) -> Result<(Self, Vec<String>)> {
        let level = if level == Level::Bodies { "RequestResponse" } else { "Metadata" };
        let mut rule = json!({ "level": level });
        if !users.is_empty() {
            rule["users"] = json!(users);
        }
        let policy = json!({
            "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
            "omitManagedFields": true, "rules": [rule, { "level": "None" }],
        });
        let (policy_path, path) = (dir.join("audit-policy.json"), dir.join("audit.log"));
        std::fs::write(&policy_path, policy.to_string())
            .with_context(|| policy_path.display().to_string())?;
        let flags = vec![
            format!("--audit-policy-file={}", policy_path.display()),
            format!("--audit-log-path={}", path.display()),
            "--audit-log-mode=blocking".to_owned(),
        ];
        Ok((Self { path }, flags))
    }

    /// All requests so far, in the order in which they were written down; of what went on at the same time it says nothing.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn read(&self) -> Result<Vec<Request>> {
        let text = std::fs::read_to_string(&self.path).with_context(|| self.path.display().to_string())?;
        // The last line may be on its way.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
    }
}
