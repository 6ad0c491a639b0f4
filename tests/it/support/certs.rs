//! A certificate authority for one test: a CA, a leaf it signed, and rustls ends that use them.
//!
//! Why a fresh one each time: nothing to expire in the repository, and a second one is a stranger.
//! The trap: rustls has a global provider that tests would race for, so `ring` is named each time.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tempfile::TempDir;

/// The CA and the leaf, in memory and as PEM files that live as long as this.
pub(crate) struct Certs {
    dir: TempDir,
    ca: CertificateDer<'static>,
    leaf: CertificateDer<'static>,
    leaf_key: PrivateKeyDer<'static>,
}

// === impl Certs ===

impl Certs {
    /// A leaf for this machine, under each of its loopback names.
    pub(crate) fn new() -> Self {
        Self::for_names(&["localhost", "127.0.0.1", "::1"])
    }

    /// A leaf for other names, for those who must notice.
    pub(crate) fn for_names(names: &[&str]) -> Self {
        let ca_key = KeyPair::generate().unwrap();
        let mut ca_params = CertificateParams::default();
        ca_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = ca_params.self_signed(&ca_key).unwrap();

        let leaf_key = KeyPair::generate().unwrap();
        let names: Vec<_> = names.iter().map(|&n| n.to_owned()).collect();
        let leaf = CertificateParams::new(names).unwrap();
        let leaf = leaf.signed_by(&leaf_key, &Issuer::new(ca_params, ca_key)).unwrap();

        let certs = Self {
            dir: tempfile::tempdir().unwrap(),
            ca: ca.der().clone(),
            leaf: leaf.der().clone(),
            leaf_key: PrivateKeyDer::try_from(leaf_key.serialize_der()).unwrap(),
        };
        std::fs::write(certs.ca_file(), ca.pem()).unwrap();
        std::fs::write(certs.cert_file(), leaf.pem()).unwrap();
        std::fs::write(certs.key_file(), leaf_key.serialize_pem()).unwrap();
        certs
    }

    /// The CA's certificate, PEM.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// The leaf's certificate, PEM.
    pub(crate) fn cert_file(&self) -> PathBuf {
        self.dir.path().join("cert.pem")
    }

    /// The leaf's private key, PEM.
    pub(crate) fn key_file(&self) -> PathBuf {
        self.dir.path().join("key.pem")
    }

    /// A server that shows the leaf and offers `alpn`.
    pub(crate) fn server(&self, alpn: &[&str]) -> Arc<ServerConfig> {
        let versions =
            ServerConfig::builder_with_provider(ring()).with_safe_default_protocol_versions();
        let mut server = versions
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.leaf.clone()], self.leaf_key.clone_key())
            .unwrap();
        server.alpn_protocols = on_wire(alpn);
        Arc::new(server)
    }

    /// A client that trusts this CA alone and asks for `alpn`.
    pub(crate) fn client(&self, alpn: &[&str]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.clone()).unwrap();
        let versions =
            ClientConfig::builder_with_provider(ring()).with_safe_default_protocol_versions();
        let mut client = versions.unwrap().with_root_certificates(roots).with_no_client_auth();
        client.alpn_protocols = on_wire(alpn);
        Arc::new(client)
    }
}

fn ring() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn on_wire(alpn: &[&str]) -> Vec<Vec<u8>> {
    alpn.iter().map(|name| name.as_bytes().to_vec()).collect()
}
