//! Asks the API server whether it is ready: one GET a connection, as the administrator, by the
//! cluster's own CA. Not a Kubernetes client: it reads a status and a short text.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::pki::Pki;

/// Longest wait for a connection and for each read.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes of an answer that are read.
const ANSWER_BYTES: u64 = 64 * 1024;

/// Why an HTTPS client could not be set up from the cluster's certificates.
#[derive(Debug, thiserror::Error)]
#[error("the readiness probe could not be set up: {0}")]
pub struct ProbeError(#[from] rustls::Error);

/// Asks one API server.
pub(crate) struct Probe {
    config: Arc<ClientConfig>,
    address: SocketAddr,
}

impl Probe {
    pub(crate) fn new(pki: &Pki, address: SocketAddr) -> Result<Self, ProbeError> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(pki.ca_der.clone()))?;
        let cert = CertificateDer::from(pki.admin.cert_der.clone());
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pki.admin.key_der.clone()));
        // The provider is named, so that nothing depends on a process-wide default.
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![cert], key)?;
        Ok(Self { config: Arc::new(config), address })
    }

    /// The status and the body of a GET of `path`.
    pub(crate) fn get(&self, path: &str) -> io::Result<(u16, String)> {
        let socket = TcpStream::connect_timeout(&self.address, TIMEOUT)?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        socket.set_write_timeout(Some(TIMEOUT))?;
        let server = ServerName::IpAddress(self.address.ip().into());
        let connection = ClientConnection::new(Arc::clone(&self.config), server).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, socket);
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address)?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES).read_to_end(&mut answer)?;
        parse_answer(&String::from_utf8_lossy(&answer))
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not an HTTP answer"))
    }
}

fn parse_answer(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some((status, body.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addresses::Addresses;
    use std::net::Ipv4Addr;

    #[test]
    fn the_status_and_the_body_of_an_answer_are_read() {
        let answer = "HTTP/1.1 500 Internal Server Error\r\nA: b\r\n\r\n[-]etcd failed\n";
        assert_eq!(parse_answer(answer), Some((500, "[-]etcd failed".to_owned())));
        assert_eq!(parse_answer("SSH-2.0-x\r\n\r\n"), None);
    }

    #[test]
    fn a_closed_port_is_an_error_at_once() {
        let pki = Pki::generate(Addresses::loopback()).unwrap();
        let address = (Ipv4Addr::LOCALHOST, crate::ports::free_port(Ipv4Addr::LOCALHOST).unwrap()).into();
        let error = Probe::new(&pki, address).unwrap().get("/readyz").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
