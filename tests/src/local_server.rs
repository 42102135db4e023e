//! An axum router on a free port of the loopback interface.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use axum::Router;
use tokio::{net::TcpListener, task::JoinHandle};

/// A server that accepts connections until it is dropped.
#[derive(Debug)]
pub(crate) struct LocalServer {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl LocalServer {
    /// Binds first and serves after, so that a client can connect as soon as this returns.
    pub(crate) async fn start(router: Router) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("no free port on the loopback interface")?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            // axum's serve future retries failed accepts and never ends.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, task })
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for LocalServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
