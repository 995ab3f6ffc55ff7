//! The kinds that are served: ours, as the generated CRDs describe them, and the few of Kubernetes that the operator
//! uses.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

use super::cel::Engine;
use super::schema::Schema;

/// A kind.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) group: String,
    pub(super) version: String,
    /// `Order` and so on.
    pub(super) name: String,
    pub(super) plural: String,
    pub(super) namespaced: bool,
    /// Custom kinds have one; the others are taken as they come.
    pub(super) schema: Option<Schema>,
    /// Whether status is written at its own path.
    pub(super) has_status: bool,
    /// Field selectors beside `metadata.name` and `metadata.namespace`: their name and the way there.
    pub(super) selectable: Vec<(String, Vec<String>)>,
    /// Whether an update may do without a resourceVersion.
    pub(super) unconditional: bool,
}

impl Kind {
    /// `apiVersion` of its objects.
    pub(super) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `orders.fooddelivery.dev`.
    pub(super) fn resource(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// `Order.fooddelivery.dev`.
    pub(super) fn qualified(&self) -> String {
        if self.group.is_empty() { self.name.clone() } else { format!("{}.{}", self.name, self.group) }
    }

    /// From a CRD.
    pub(super) fn custom(crd: &CustomResourceDefinition, engine: &Engine) -> Result<Self, String> {
        let crd = serde_json::to_value(crd).map_err(|e| e.to_string())?;
        let spec = &crd["spec"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let [version] = spec["versions"].as_array().map(Vec::as_slice).unwrap_or_default() else {
            return Err(format!("{} has several versions, which is not simulated", crd["metadata"]["name"]));
        };
        let way = |field: &Value| {
            let path = text(&field["jsonPath"]).trim_start_matches('.').to_owned();
            let steps = path.split('.').map(str::to_owned).collect();
            (path, steps)
        };
        Ok(Self {
            group: text(&spec["group"]),
            version: text(&version["name"]),
            plural: text(&spec["names"]["plural"]),
            namespaced: spec["scope"] == "Namespaced",
            schema: Some(Schema::compile(&version["schema"]["openAPIV3Schema"], "", engine)?),
            has_status: !version["subresources"]["status"].is_null(),
            selectable: version["selectableFields"].as_array().into_iter().flatten().map(way).collect(),
            unconditional: false,
            name: text(&spec["names"]["kind"]),
        })
    }

    fn builtin(group: &str, version: &str, name: &str, plural: &str, namespaced: bool) -> Self {
        Self {
            group: group.into(),
            version: version.into(),
            name: name.into(),
            plural: plural.into(),
            namespaced,
            schema: None,
            has_status: false,
            selectable: Vec::new(),
            unconditional: name != "Lease",
        }
    }

    /// Those of Kubernetes.
    pub(super) fn builtins() -> Vec<Self> {
        vec![
            Self::builtin("", "v1", "Namespace", "namespaces", false),
            Self::builtin("", "v1", "ConfigMap", "configmaps", true),
            Self::builtin("", "v1", "Secret", "secrets", true),
            Self::builtin("events.k8s.io", "v1", "Event", "events", true),
            Self::builtin("coordination.k8s.io", "v1", "Lease", "leases", true),
        ]
    }
}
