//! A network that fails between Rollcall and its database, at the protocol's message that a test names.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI32, Ordering},
    },
    time::Duration,
};

use crate::random;
use anyhow::{Context, Result};
use rollcall_sandbox::Database;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// A message that is longer than any of a test is no message: the proxy has lost count.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// Who sends a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The program.
    Client,
    /// The database server.
    Server,
}

impl Sender {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Client, Self::Server];
}

/// What happens instead of the message's delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Both ends are told that the connection is over (FIN).
    Cut,
    /// Both ends get a reset (RST).
    Reset,
    /// Nothing more of this sender is delivered, and nobody is told.
    Stall,
    /// An administrator ends the server's process of this connection; the message is delivered to what is left.
    Terminate,
}

/// Where the network fails.
#[derive(Clone, Copy, Debug)]
pub struct Trap {
    /// Whose message.
    pub sender: Sender,
    /// Which step: they are counted from 0, the sender's only, over all connections from the moment the trap is laid,
    /// or, for a trap that stays, in each connection. A step is a message that ends what its sender has to say for the
    /// time being, or that holds an answer; with `ROLLCALL_LONG`, every message.
    pub step: usize,
    /// How.
    pub fault: Fault,
    /// Whether it fails again and again, in every connection.
    pub stays: bool,
}

/// A proxy before one database, until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    admin_url: String,
    state: Mutex<State>,
    /// Every connection ends when this changes.
    epoch: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    trap: Option<Trap>,
    seen: [usize; 2],
    went_off: usize,
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1.
    pub async fn start(database: &Database, port: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("no free port on the loopback interface")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream: (Ipv4Addr::LOCALHOST, port).into(),
            admin_url: database.url_as("supabase_admin"),
            state: Mutex::default(),
            epoch: watch::Sender::new(0),
        });
        let accepting = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, Arc::clone(&accepting)));
            }
        });
        Ok(Self {
            address,
            shared,
            task,
        })
    }

    /// The connection string of `postgres` through the proxy.
    pub fn url(&self, database: &Database) -> String {
        format!("postgresql://postgres@{}/{}", self.address, database.name())
    }

    /// Ends all connections and lays a trap.
    pub fn lay(&self, trap: Trap) {
        *self.shared.state() = State {
            trap: Some(trap),
            ..State::default()
        };
        self.end_connections();
    }

    /// Takes the trap away and says how often it went off. What it stalled ends.
    pub fn clear(&self) -> usize {
        let went_off = std::mem::take(&mut *self.shared.state()).went_off;
        if went_off > 0 {
            self.end_connections();
        }
        went_off
    }

    fn end_connections(&self) {
        self.shared.epoch.send_modify(|epoch| *epoch += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.end_connections();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happens to the next step of `sender`, the one with this number in its connection.
    fn fault(&self, sender: Sender, number: usize) -> Option<Fault> {
        let mut state = self.state();
        let seen = &mut state.seen[sender as usize];
        let total = *seen;
        *seen += 1;
        let trap = state.trap.filter(|trap| trap.sender == sender)?;
        let hit = if trap.stays {
            trap.step == number
        } else {
            trap.step == total && state.went_off == 0
        };
        if hit {
            state.went_off += 1;
        }
        hit.then_some(trap.fault)
    }
}

/// Why a connection ends.
enum End {
    Closed,
    Reset,
}

async fn relay(client: TcpStream, shared: Arc<Shared>) {
    let mut epoch = shared.epoch.subscribe();
    let Ok(server) = TcpStream::connect(shared.upstream).await else {
        return;
    };
    // Which of the two is late must not decide what is delivered.
    if client.set_nodelay(true).is_err() || server.set_nodelay(true).is_err() {
        return;
    }
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let backend = AtomicI32::new(0);
    let end = tokio::select! {
        end = forward(Sender::Client, &mut from_client, &mut to_server, &backend, &shared) => end,
        end = forward(Sender::Server, &mut from_server, &mut to_client, &backend, &shared) => end,
        _ = epoch.changed() => Ok(End::Closed),
    };
    if matches!(end, Ok(End::Reset)) {
        for stream in [from_client.as_ref(), from_server.as_ref()] {
            let _ = stream.set_zero_linger();
        }
    }
}

async fn forward(
    sender: Sender,
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    backend: &AtomicI32,
    shared: &Shared,
) -> io::Result<End> {
    // Only the client's first message has no type.
    let mut has_type = sender == Sender::Server;
    let mut steps = 0;
    loop {
        let Some(message) = read_message(from, has_type).await? else {
            return Ok(End::Closed);
        };
        if !is_step(sender, has_type.then_some(message[0])) {
            to.write_all(&message).await?;
            continue;
        }
        has_type = true;
        steps += 1;
        // BackendKeyData: the process id of the backend, and its key.
        if sender == Sender::Server && message[0] == b'K' && message.len() >= 9 {
            let id = [message[5], message[6], message[7], message[8]];
            backend.store(i32::from_be_bytes(id), Ordering::Relaxed);
        }
        match shared.fault(sender, steps - 1) {
            None => {}
            Some(Fault::Cut) => return Ok(End::Closed),
            Some(Fault::Reset) => return Ok(End::Reset),
            Some(Fault::Stall) => std::future::pending::<()>().await,
            Some(Fault::Terminate) => {
                terminate(backend.load(Ordering::Relaxed), shared).await;
            }
        }
        to.write_all(&message).await?;
    }
}

/// Whether a message counts, by its type; the first has none. Of the client's, a query and the end of a pipeline; of
/// the server's, the greeting and its end, rows, the end of a statement, and that it is ready.
fn is_step(sender: Sender, kind: Option<u8>) -> bool {
    let Some(kind) = kind else { return true };
    random::cases(false, true)
        || match sender {
            Sender::Client => b"QSpX".contains(&kind),
            Sender::Server => b"RKDCZ".contains(&kind),
        }
}

async fn read_message(from: &mut OwnedReadHalf, has_type: bool) -> io::Result<Option<Vec<u8>>> {
    let header = if has_type { 5 } else { 4 };
    let mut message = vec![0; header];
    if let Err(error) = from.read_exact(&mut message).await {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof => Ok(None),
            _ => Err(error),
        };
    }
    let length = [
        message[header - 4],
        message[header - 3],
        message[header - 2],
        message[header - 1],
    ];
    let rest = (u32::from_be_bytes(length) as usize).saturating_sub(4);
    if rest > MAX_MESSAGE_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    message.resize(header + rest, 0);
    from.read_exact(&mut message[header..]).await?;
    Ok(Some(message))
}

/// Ends a backend, and waits until it is gone; before it has told its number there is none to end.
async fn terminate(backend: i32, shared: &Shared) {
    if backend == 0 {
        return;
    }
    let limit = Duration::from_secs(5).as_millis();
    if let Ok(admin) = rollcall_sandbox::connect(&shared.admin_url).await {
        let sql = format!("select pg_terminate_backend({backend}, {limit})");
        let _ = admin.batch_execute(&sql).await;
    }
}
