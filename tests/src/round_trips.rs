//! A network on which every answer takes a while, so that one who waits for it can be told from one who does not: counts how
//! often a program had to wait.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use rollcall_sandbox::Database;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// Longer than a program needs to send what it sends without waiting, on a busy machine too.
const DELAY: Duration = Duration::from_millis(60);

/// A proxy before one database, until it is dropped.
#[derive(Debug)]
pub struct RoundTrips {
    address: SocketAddr,
    count: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl RoundTrips {
    /// Listens on a free port of 127.0.0.1, before the server that listens on `port`.
    pub async fn start(port: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
                    tokio::spawn(relay(client, server, Arc::clone(&counted)));
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

async fn relay(client: TcpStream, server: TcpStream, count: Arc<AtomicUsize>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    // whether the client has got an answer since it last sent something; what it sends first counts
    let has_answer = Arc::new(AtomicBool::new(true));
    let answered = Arc::clone(&has_answer);
    let (late, mut due) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let forth = async {
        let mut buffer = vec![0; 65_536];
        while let Ok(length @ 1..) = from_client.read(&mut buffer).await {
            if has_answer.swap(false, Ordering::SeqCst) {
                count.fetch_add(1, Ordering::SeqCst);
            }
            if to_server.write_all(&buffer[..length]).await.is_err() {
                break;
            }
        }
    };
    let back = async {
        let mut buffer = vec![0; 65_536];
        while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
            if late
                .send((Instant::now() + DELAY, buffer[..length].to_vec()))
                .is_err()
            {
                break;
            }
        }
    };
    let deliver = async {
        while let Some((moment, bytes)) = due.recv().await {
            sleep_until(moment).await;
            if to_client.write_all(&bytes).await.is_err() {
                break;
            }
            answered.store(true, Ordering::SeqCst);
        }
    };
    tokio::select! {
        () = forth => {}
        () = back => {}
        () = deliver => {}
    }
}
