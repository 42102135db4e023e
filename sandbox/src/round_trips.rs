//! A network on which everything takes a while, so that one who waits for an answer can be told from one who does not: counts
//! how often a program had to wait.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::Database;

/// A proxy before one database, until it is dropped.
#[derive(Debug)]
pub struct RoundTrips {
    address: SocketAddr,
    count: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl RoundTrips {
    /// Listens on a free port of 127.0.0.1, before the server that listens on `port`. Whatever goes through takes `each_way`
    /// longer; to count well, that is more than a program needs to send what it sends without waiting.
    ///
    /// # Errors
    /// If there is no free port.
    pub async fn start(port: u16, each_way: Duration) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await
                    && client.set_nodelay(true).is_ok()
                    && server.set_nodelay(true).is_ok()
                {
                    tokio::spawn(relay(client, server, each_way, Arc::clone(&counted)));
                }
            }
        });
        Ok(Self {
            address,
            count,
            task,
        })
    }

    /// The connection string of `postgres` through it.
    pub fn url(&self, database: &Database) -> String {
        format!("postgresql://postgres@{}/{}", self.address, database.name())
    }

    /// How often a program has sent something and waited for the answer since this was last asked.
    pub fn take(&self) -> usize {
        self.count.swap(0, Ordering::SeqCst)
    }
}

impl Drop for RoundTrips {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn relay(client: TcpStream, server: TcpStream, each_way: Duration, count: Arc<AtomicUsize>) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // whether the client has got an answer since it last sent something; what it sends first counts
    let has_answer = AtomicBool::new(true);
    let asked = || {
        if has_answer.swap(false, Ordering::SeqCst) {
            count.fetch_add(1, Ordering::SeqCst);
        }
    };
    let answered = || has_answer.store(true, Ordering::SeqCst);
    tokio::select! {
        () = carry(from_client, to_server, each_way, asked, || ()) => {}
        () = carry(from_server, to_client, each_way, || (), answered) => {}
    }
}

/// Carries what it reads until either end is closed, each piece as late as the first one.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    late: Duration,
    on_read: impl Fn(),
    on_written: impl Fn(),
) {
    let (send, mut due) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let read = async {
        let mut buffer = vec![0; 65_536];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            on_read();
            let piece = buffer[..length].to_vec();
            if send.send((Instant::now() + late, piece)).is_err() {
                break;
            }
        }
    };
    let write = async {
        while let Some((moment, piece)) = due.recv().await {
            sleep_until(moment).await;
            if to.write_all(&piece).await.is_err() {
                break;
            }
            on_written();
        }
    };
    tokio::select! {
        () = read => {}
        () = write => {}
    }
}
