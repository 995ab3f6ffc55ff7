//! Credentials of providers, from Secrets of the operator's namespace.

use std::time::Duration;

use fooddelivery_api::provider::ProviderSecretRef;
use fooddelivery_providers::Credential;
use fooddelivery_runtime::Key;
use fooddelivery_runtime::api::{ApiError, ApiServer};
use fooddelivery_saga::readiness::NotReady;
use fooddelivery_saga::reason::Reason;
use k8s_openapi::api::core::v1::Secret;

/// Maximum time until a changed Secret takes effect.
pub(crate) const SECRET_AGE_MAX: Duration = Duration::from_secs(5);

/// The credential in a Secret of the operator's namespace; `of` says whose it is.
pub(crate) async fn credential(
    api: &ApiServer,
    secrets_namespace: &str,
    reference: &ProviderSecretRef,
    of: &str,
) -> Result<Result<Credential, NotReady>, ApiError> {
    let key = Key::new(secrets_namespace, &reference.name);
    let missing = |message| NotReady { reason: Reason::ProviderSecretMissing, message };
    let secret = match api.read::<Secret>(&key).await {
        Err(ApiError::Forbidden(_)) => {
            let message = format!("the operator may not read Secret {key} of {of}");
            return Ok(Err(NotReady { reason: Reason::ProviderSecretForbidden, message }));
        }
        read => read?,
    };
    let Some(secret) = secret else {
        return Ok(Err(missing(format!("Secret {key} of {of} is missing"))));
    };
    Ok(text_of(&secret, &reference.key)
        .map(Credential::new)
        .ok_or_else(|| missing(format!("Secret {key} has no key {:?} with a text in it", reference.key))))
}

/// A text of a Secret, without surrounding white space; `None` when it is missing, empty or no text.
pub(crate) fn text_of(secret: &Secret, key: &str) -> Option<String> {
    let bytes = secret.data.as_ref()?.get(key)?;
    let text = std::str::from_utf8(&bytes.0).ok()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
