//! Everything that is compiled once and shared by all simulated servers: kinds, rules and policies, from the same
//! source as the manifests of a real cluster.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use fooddelivery_api::policies::PolicyFile;
use fooddelivery_api::{crds, policies};

use super::cel::Engine;
use super::kinds::Kind;
use super::policies::Policies;

/// Why the catalog could not be made: something in the CRDs or policies is not simulated yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the manifests cannot be simulated: {0}")]
pub struct CatalogError(String);

/// Kinds, rules and policies, compiled.
#[derive(Debug)]
pub struct Catalog {
    pub(super) engine: Engine,
    pub(super) kinds: Vec<Kind>,
    pub(super) policies: Policies,
    index: BTreeMap<(String, String), usize>,
}

impl Catalog {
    /// Compiles the CRDs and policies, but for those that spare administrators, as which people act here. `operators`
    /// are the users that the operator runs as.
    ///
    /// # Errors
    /// When they use something that is not simulated.
    pub fn new(operators: &[String]) -> Result<Arc<Self>, CatalogError> {
        Self::with_policies(policies::for_everybody(operators))
    }

    fn with_policies(files: Vec<PolicyFile>) -> Result<Arc<Self>, CatalogError> {
        let engine = Engine::new().map_err(CatalogError)?;
        let mut kinds = Kind::builtins();
        for crd in crds::all().map_err(|e| CatalogError(e.to_string()))? {
            kinds.push(Kind::custom(&crd, &engine).map_err(CatalogError)?);
        }
        let documents: Vec<serde_json::Value> = files.into_iter().flat_map(|file| file.documents).collect();
        let policies = Policies::compile(&documents, &engine).map_err(CatalogError)?;
        let key = |(n, kind): (usize, &Kind)| ((kind.group.clone(), kind.plural.clone()), n);
        let index = kinds.iter().enumerate().map(key).collect();
        Ok(Arc::new(Self { engine, kinds, policies, index }))
    }

    /// The one for the shipped manifests, compiled at the first call: the operator is
    /// [`fooddelivery_api::policies::operator_user`].
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn shared() -> Result<Arc<Self>, CatalogError> {
        static SHARED: OnceLock<Result<Arc<Catalog>, CatalogError>> = OnceLock::new();
        SHARED.get_or_init(|| Self::new(&[policies::operator_user()])).clone()
    }

    /// [`Self::shared`], of a server that has no MutatingAdmissionPolicy, as before Kubernetes 1.36.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn shared_without_mutating_policies() -> Result<Arc<Self>, CatalogError> {
        static SHARED: OnceLock<Result<Arc<Catalog>, CatalogError>> = OnceLock::new();
        let make = || {
            let mut files = policies::for_everybody(&[policies::operator_user()]);
            for file in &mut files {
                file.documents.retain(|document| {
                    document["kind"].as_str().is_none_or(|kind| !kind.starts_with("MutatingAdmissionPolicy"))
                });
            }
            Self::with_policies(files)
        };
        SHARED.get_or_init(make).clone()
    }

    /// The number of a kind, by group and plural.
    pub(super) fn find(&self, group: &str, plural: &str) -> Option<usize> {
        self.index.get(&(group.to_owned(), plural.to_owned())).copied()
    }

    /// The number of a kind, by `apiVersion` and `kind`, as an ownerReference names it.
    pub(super) fn find_kind(&self, api_version: &str, kind: &str) -> Option<usize> {
        self.kinds.iter().position(|k| k.name == kind && k.api_version() == api_version)
    }
}
