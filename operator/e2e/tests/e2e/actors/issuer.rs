//! An OpenID provider on the loopback interface: discovery and keys over https, and tokens signed with ES256.
//!
//! The API server asks it as it would any other; it runs on a thread of its own, so that it outlives the test that
//! started it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use axum::routing::get;
use axum::serve::Listener;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Whom the tokens are for.
pub(crate) const AUDIENCE: &str = "fooddelivery";
/// The id of its only key.
const KEY_ID: &str = "key-1";

/// An issuer of tokens.
pub(crate) struct Issuer {
    url: String,
    certificate: String,
    key: EcdsaKeyPair,
}

impl Issuer {
    /// Starts one; it serves until the process ends.
    pub(crate) fn start() -> Result<Self> {
        let signed = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()])?;
        let tls = tls(&signed)?;
        let socket = std::net::TcpListener::bind("127.0.0.1:0")?;
        socket.set_nonblocking(true)?;
        let issuer = Self {
            url: format!("https://{}", socket.local_addr()?),
            certificate: signed.cert.pem(),
            key: new_key()?,
        };
        let (discovery, keys) = (issuer.discovery(), issuer.keys());
        let routes = Router::new()
            .route("/.well-known/openid-configuration", get(async move || Json(discovery)))
            .route("/keys", get(async move || Json(keys)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::spawn(move || {
            runtime.block_on(async {
                let listener = TcpListener::from_std(socket).expect("a socket that listens");
                axum::serve(Https { listener, tls }, routes).await.expect("it serves for ever");
            });
        });
        Ok(issuer)
    }

    /// Somebody who signs with another key in this one's name.
    pub(crate) fn impostor(&self) -> Result<Self> {
        Ok(Self { url: self.url.clone(), certificate: self.certificate.clone(), key: new_key()? })
    }

    /// Its URL, which its tokens name.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The certificate that it shows, as PEM.
    pub(crate) fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A token for a user that lasts so many seconds; it has expired already where that is negative.
    pub(crate) fn token(&self, user: &str, groups: &[&str], seconds: i64) -> Result<String> {
        self.token_for(AUDIENCE, user, groups, seconds)
    }

    /// The same for another audience.
    pub(crate) fn token_for(
        &self,
        audience: &str,
        user: &str,
        groups: &[&str],
        seconds: i64,
    ) -> Result<String> {
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": KEY_ID });
        let claims = json!({
            "iss": self.url, "aud": audience, "sub": user, "groups": groups,
            "iat": now - 3_600, "exp": now + seconds,
        });
        let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", text(&header), text(&claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = signature.map_err(|_| anyhow!("a token cannot be signed"))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn discovery(&self) -> Value {
        json!({
            "issuer": self.url,
            "jwks_uri": format!("{}/keys", self.url),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        })
    }

    /// The public key as a JSON Web Key (RFC 7517): an uncompressed point is 4, x and y.
    fn keys(&self) -> Value {
        let point = self.key.public_key().as_ref();
        let (x, y) = point[1..].split_at(32);
        json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": KEY_ID,
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        }]})
    }
}

fn new_key() -> Result<EcdsaKeyPair> {
    let (kind, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
    let document = EcdsaKeyPair::generate_pkcs8(kind, &random).map_err(|_| anyhow!("no key can be made"))?;
    EcdsaKeyPair::from_pkcs8(kind, document.as_ref(), &random).map_err(|e| anyhow!("the key is refused: {e}"))
}

fn tls(signed: &rcgen::CertifiedKey<rcgen::KeyPair>) -> Result<TlsAcceptor> {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key);
    Ok(TlsAcceptor::from(Arc::new(config.context("the issuer's certificate")?)))
}

/// A listener that speaks TLS.
struct Https {
    listener: TcpListener,
    tls: TlsAcceptor,
}

impl Listener for Https {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            // Who does not come to speak TLS is not served.
            if let Ok((stream, address)) = self.listener.accept().await
                && let Ok(stream) = self.tls.accept(stream).await
            {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
