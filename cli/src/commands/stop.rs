//! Ctrl-C during a run: the first one ends it after the batch in hand, the second one at once.

use std::io::Write;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::task::JoinHandle;
use uuid::Uuid;

/// Whether somebody pressed Ctrl-C since it began to listen.
pub(super) struct StopSignal {
    is_wanted: Arc<AtomicBool>,
    run_id: Arc<OnceLock<Uuid>>,
    listener: JoinHandle<()>,
}

impl Drop for StopSignal {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl StopSignal {
    /// `what_next` says what becomes of a run that was stopped at once.
    pub(super) fn listen(what_next: fn(Uuid) -> String) -> Self {
        let is_wanted = Arc::new(AtomicBool::new(false));
        let run_id = Arc::new(OnceLock::new());
        let listener = tokio::spawn(listen(
            Arc::clone(&is_wanted),
            Arc::clone(&run_id),
            what_next,
        ));
        Self {
            is_wanted,
            run_id,
            listener,
        }
    }

    /// From now on, what is said is about this run.
    pub(super) fn is_about(&self, run_id: Uuid) {
        self.run_id.get_or_init(|| run_id);
    }

    pub(super) fn flow(&self) -> ControlFlow<()> {
        if self.is_wanted.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

async fn listen(
    is_wanted: Arc<AtomicBool>,
    run_id: Arc<OnceLock<Uuid>>,
    what_next: fn(Uuid) -> String,
) {
    if tokio::signal::ctrl_c().await.is_err() {
        return;
    }
    is_wanted.store(true, Ordering::Relaxed);
    // nobody is left to hear of a closed stderr
    let _ = writeln!(
        std::io::stderr(),
        "\nStopping after the batch in hand. Press Ctrl-C again to stop at once; that batch is then rolled back."
    );
    if tokio::signal::ctrl_c().await.is_err() {
        return;
    }
    let _ = match run_id.get() {
        Some(run_id) => writeln!(std::io::stderr(), "Stopped. {}", what_next(*run_id)),
        None => writeln!(std::io::stderr(), "Stopped; no run had begun."),
    };
    std::process::exit(2);
}
