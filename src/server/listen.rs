//! The public listeners: sockets that we open, served by Pingora.
//!
//! Why we open them: an address in use is an error for people, not a panic, and port 0 works. The
//! sockets reach Pingora in the table it uses for sockets inherited from another process.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use parking_lot::Mutex;
use pingora::listeners::tls::TlsSettings;
use pingora::proxy::HttpProxy;
use pingora::server::Fds;
use pingora::server::configuration::ServerConf;
use pingora::services::Service as _;
use pingora::services::listening::Service;
use pingora::tls::{ServerConfig, install_default_crypto_provider, load_certs_and_key_files};
use tokio::sync::watch;

use crate::config::{Listen, Server, Tls, Upstream};
use crate::drain::Drain;
use crate::edge::{Door, Edge};

/// The public side: open sockets, and the service that will read them.
pub(super) struct Public {
    service: Service<Door>,
    sockets: Arc<Mutex<Fds>>,
    pub(super) addresses: Vec<String>,
}

/// Who may connect to a unix socket: its owner and its group.
const SOCKET_MODE: u32 = 0o660;

/// Attempts of one request, far beyond any policy.
const ATTEMPTS_MOST: usize = 64;

/// Room for idle connections to all hosts together: of each worker, and of all of them.
const IDLE_LEAST: usize = 256;
const IDLE_MOST: usize = 65_536;

// === impl Public ===

impl Public {
    /// # Errors
    /// What could not be opened, with its key and what to do.
    pub(super) fn open(
        server: &Server,
        upstreams: &[Upstream],
        edge: Edge,
        drain: &Drain,
    ) -> anyhow::Result<Self> {
        let mut public = Self {
            service: Service::new("public".into(), door(server, upstreams, edge, drain)),
            sockets: Arc::new(Mutex::new(Fds::new())),
            addresses: Vec::new(),
        };
        for listen in &server.listen {
            public.add(listen, server.tls.as_ref())?;
        }
        Ok(public)
    }

    fn add(&mut self, listen: &Listen, tls: Option<&Tls>) -> anyhow::Result<()> {
        match listen {
            Listen::Plain(address) => {
                let address = self.bind(*address)?;
                self.service.add_tcp(&address);
                self.addresses.push(format!("http://{address}"));
            }
            Listen::Tls(address) => {
                let tls = tls.context("server.tls is missing for a TLS listener")?;
                let settings = tls_settings(tls)?;
                let address = self.bind(*address)?;
                self.service.add_tls_with_settings(&address, None, settings);
                self.addresses.push(format!("https://{address}"));
            }
            Listen::Unix(path) => {
                let shown = path.display().to_string();
                let socket = bind_unix(path)
                    .with_context(|| format!("server.listen: unix:{shown} cannot be opened"))?;
                self.sockets.lock().add(shown.clone(), socket.into_raw_fd());
                let mode = std::fs::Permissions::from_mode(SOCKET_MODE);
                self.service.add_uds(&shown, Some(mode));
                self.addresses.push(format!("unix:{shown}"));
            }
        }
        Ok(())
    }

    fn bind(&self, address: SocketAddr) -> anyhow::Result<String> {
        let opened = TcpListener::bind(address).and_then(|socket| {
            socket.set_nonblocking(true)?;
            Ok((socket.local_addr()?, socket))
        });
        let (got, socket) = opened.with_context(|| {
            format!("server.listen: {address} cannot be opened (is another process there?)")
        })?;
        self.sockets.lock().add(got.to_string(), socket.into_raw_fd());
        Ok(got.to_string())
    }

    /// Accepts connections until `closing` turns true.
    pub(super) async fn serve(mut self, closing: watch::Receiver<bool>) {
        self.service.start_service(Some(self.sockets), closing, 1).await;
    }
}

fn door(server: &Server, upstreams: &[Upstream], edge: Edge, drain: &Drain) -> Door {
    let needs_roots = upstreams
        .iter()
        .any(|upstream| upstream.ca.is_none() && upstream.hosts.iter().any(|host| host.tls));
    let conf = ServerConf {
        threads: server.workers,
        upstream_keepalive_pool_size: idle_each(upstreams, server.workers),
        // The retry machine decides; this is only where Pingora would stop it.
        max_retries: ATTEMPTS_MOST,
        // Reading the platform's roots takes a while, and panics where there are none.
        ca_file: (!needs_roots).then(|| "/dev/null".into()),
        ..ServerConf::default()
    };
    let errands = edge.errands.clone();
    let mut proxy = HttpProxy::new(edge, Arc::new(conf));
    proxy.handle_init_modules();
    Door::new(proxy, server, drain.clone(), &errands)
}

/// Room for idle connections in Pingora's pool, for each worker: for what the hosts may have, which
/// the edge bounds, and for as many that are about to be closed.
fn idle_each(upstreams: &[Upstream], workers: usize) -> usize {
    let of = |upstream: &Upstream| upstream.hosts.len().saturating_mul(upstream.keepalive.max);
    let all = upstreams.iter().map(of).fold(0, usize::saturating_add).min(IDLE_MOST / 2);
    (2 * all).div_ceil(workers).max(IDLE_LEAST)
}

/// Reads certificate and key twice, since Pingora panics on a pair that does not fit.
fn tls_settings(tls: &Tls) -> anyhow::Result<TlsSettings> {
    let (cert, key) = (tls.cert.display().to_string(), tls.key.display().to_string());
    let unusable = || format!("server.tls = {{ cert = \"{cert}\", key = \"{key}\" }} is unusable");
    install_default_crypto_provider();
    let (chain, private) = load_certs_and_key_files(&cert, &key)
        .map_err(|error| anyhow::anyhow!("{error}"))
        .and_then(|pair| pair.context("one of the two files holds no certificate or no key"))
        .with_context(unusable)?;
    ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .with_context(unusable)?;
    let mut settings = TlsSettings::intermediate(&cert, &key)
        .map_err(|error| anyhow::anyhow!("{error}"))
        .with_context(unusable)?;
    settings.enable_h2();
    Ok(settings)
}

/// Opens a unix socket; one that a dead process left is replaced, a live one is not.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let is_socket = path.symlink_metadata().is_ok_and(|meta| meta.file_type().is_socket());
    if is_socket && std::os::unix::net::UnixStream::connect(path).is_err() {
        std::fs::remove_file(path)?;
    }
    let socket = UnixListener::bind(path)?;
    socket.set_nonblocking(true)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE))?;
    Ok(socket)
}
