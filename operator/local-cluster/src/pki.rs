//! The certificates and keys of one cluster: two certificate authorities, the API server's serving
//! certificate, the client certificates and the service-account key. Makes them; writes nothing.

use std::net::Ipv4Addr;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use crate::addresses::Addresses;

/// The common name that the aggregation layer presents; `--requestheader-allowed-names` names it.
pub(crate) const FRONT_PROXY_NAME: &str = "front-proxy-client";

/// Why the certificates could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the cluster's certificates could not be made: {0}")]
pub struct PkiError(#[from] rcgen::Error);

/// A certificate with its private key (PKCS#8), both as PEM and DER.
pub(crate) struct Credential {
    pub(crate) cert_pem: String,
    pub(crate) key_pem: String,
    pub(crate) cert_der: Vec<u8>,
    pub(crate) key_der: Vec<u8>,
}

/// Everything that one cluster needs. Keys are ECDSA P-256.
pub(crate) struct Pki {
    /// Signs the serving certificate and all client certificates but the front proxy's.
    pub(crate) ca_pem: String,
    pub(crate) ca_der: Vec<u8>,
    /// Signs only the front proxy's certificate: whoever holds one of these may name any user.
    pub(crate) front_proxy_ca_pem: String,
    pub(crate) apiserver: Credential,
    /// Group `system:masters`.
    pub(crate) admin: Credential,
    /// User `system:kube-controller-manager`.
    pub(crate) controller_manager: Credential,
    /// The API server towards kubelets.
    pub(crate) kubelet_client: Credential,
    /// The API server towards aggregated API servers.
    pub(crate) front_proxy_client: Credential,
    /// Signs service-account tokens.
    pub(crate) service_account_key_pem: String,
    pub(crate) service_account_public_pem: String,
    ca: Authority,
}

type Authority = CertifiedIssuer<'static, KeyPair>;

impl Pki {
    pub(crate) fn generate(addresses: Addresses) -> Result<Self, PkiError> {
        let ca = authority("kubernetes-ca")?;
        let front_proxy_ca = authority("front-proxy-ca")?;
        let service_account = KeyPair::generate()?;
        Ok(Self {
            apiserver: apiserver(&ca, addresses)?,
            admin: client(&ca, "kubernetes-admin", Some("system:masters"))?,
            controller_manager: client(&ca, "system:kube-controller-manager", None)?,
            kubelet_client: client(&ca, "kube-apiserver-kubelet-client", Some("system:masters"))?,
            front_proxy_client: client(&front_proxy_ca, FRONT_PROXY_NAME, None)?,
            ca_pem: ca.pem(),
            ca_der: ca.der().to_vec(),
            front_proxy_ca_pem: front_proxy_ca.pem(),
            service_account_key_pem: service_account.serialize_pem(),
            service_account_public_pem: service_account.public_key_pem(),
            ca,
        })
    }

    /// A client certificate for a further user.
    pub(crate) fn client(&self, user: &str, group: Option<&str>) -> Result<Credential, PkiError> {
        client(&self.ca, user, group)
    }

    /// A serving certificate for these names and addresses.
    pub(crate) fn serving(&self, common_name: &str, names: &[&str]) -> Result<Credential, PkiError> {
        serving(&self.ca, common_name, names)
    }
}

// The validity stays at the library's default (1975 to 4096): the keys are thrown away with the
// cluster, and a machine with a wrong clock can still run the tests.
fn authority(common_name: &str) -> Result<Authority, PkiError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = name(common_name, None);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

fn apiserver(ca: &Authority, addresses: Addresses) -> Result<Credential, PkiError> {
    let own =
        [Ipv4Addr::LOCALHOST, addresses.host(), addresses.kubernetes_service()].map(|it| it.to_string());
    let mut names = vec![
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ];
    names.extend(own.iter().map(String::as_str));
    serving(ca, "kube-apiserver", &names)
}

fn serving(ca: &Authority, common_name: &str, names: &[&str]) -> Result<Credential, PkiError> {
    let mut params = CertificateParams::new(names.iter().map(|&it| it.to_owned()).collect::<Vec<_>>())?;
    params.distinguished_name = name(common_name, None);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    signed(params, ca)
}

fn client(ca: &Authority, user: &str, group: Option<&str>) -> Result<Credential, PkiError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = name(user, group);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    signed(params, ca)
}

fn signed(mut params: CertificateParams, ca: &Authority) -> Result<Credential, PkiError> {
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let cert = params.signed_by(&key, ca)?;
    Ok(Credential {
        cert_pem: cert.pem(),
        key_pem: key.serialize_pem(),
        cert_der: cert.der().to_vec(),
        key_der: key.serialize_der(),
    })
}

/// In client certificates Kubernetes takes the common name as the user, organisations as groups.
fn name(common_name: &str, organization: Option<&str>) -> rcgen::DistinguishedName {
    let mut name = rcgen::DistinguishedName::new();
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    name.push(DnType::CommonName, common_name);
    name
}
