//! Why a schedule cannot be played.

/// Why a schedule could not be played at all.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    /// Something in the manifests is not simulated.
    #[error(transparent)]
    Catalog(#[from] crate::apiserver::CatalogError),
    /// No runtime.
    #[error("no runtime: {0}")]
    Runtime(#[from] std::io::Error),
    /// The operator's settings.
    #[error("the operator's settings: {0}")]
    Settings(String),
}
