//! What a repair of many may be asked for: whose profiles, how fast, by whom; or which run to continue.

use serde_json::{Value, json};
use uuid::Uuid;

use super::BackfillRequest;

/// From where a run was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The command line.
    Cli,
    /// The HTTP API.
    Api,
    /// A direct invocation of the function.
    Lambda,
    /// The state machine.
    StateMachine,
}

impl Source {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cli => "cli",
            Self::Api => "api",
            Self::Lambda => "lambda",
            Self::StateMachine => "state_machine",
        }
    }
}

/// Which run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RunTarget {
    /// An unfinished one with the same bounds, else a new one.
    #[default]
    UnfinishedOrNew,
    /// This one.
    Run(Uuid),
    /// The one that was started for this key, else a new one.
    Keyed {
        /// The caller's idempotency key.
        key: String,
        /// What was asked; another request under the same key is refused.
        request: Value,
    },
}

/// A repair of everyone without a profile, within bounds.
#[derive(Clone, Debug, PartialEq)]
pub struct RunOptions {
    /// Which run.
    pub target: RunTarget,
    /// Who asks.
    pub source: Source,
    /// Why, in a few words; no personal data.
    pub note: Option<String>,
    /// Users in one transaction at most.
    pub batch_size: u32,
    /// Users that are attempted before the run ends.
    pub max_users: Option<u64>,
    /// Account type of every created profile, instead of the definition's; for the owner only.
    pub account_type: Option<String>,
    /// Let the application's own signup triggers make the profiles, instead of the definition; for the owner only.
    pub replay: bool,
    /// Go on where creating a profile does what no rollback takes back.
    pub allow_outside_calls: bool,
    /// Share of the time that batches may take, above 0 to 1; the rest is pause.
    pub throttle: f32,
}

impl RunOptions {
    /// Everyone, at full speed, by the definition.
    pub fn new(source: Source) -> Self {
        Self {
            target: RunTarget::UnfinishedOrNew,
            source,
            note: None,
            batch_size: BackfillRequest::DEFAULT_BATCH_SIZE,
            max_users: None,
            account_type: None,
            replay: false,
            allow_outside_calls: false,
            throttle: 1.0,
        }
    }

    /// The options of `rollcall.start_run()`.
    pub(super) fn to_json(&self) -> Value {
        let (key, request) = match &self.target {
            RunTarget::Keyed { key, request } => (Some(key), Some(request)),
            RunTarget::UnfinishedOrNew | RunTarget::Run(_) => (None, None),
        };
        json!({
            "note": self.note,
            "batch_size": self.batch_size,
            "max_users": self.max_users,
            "overrides": overrides(self.account_type.as_deref()),
            "throttle": self.throttle,
            "idempotency_key": key,
            "request": request,
            "replay": self.replay,
            "allow_outside_calls": self.allow_outside_calls,
        })
    }
}

/// Column values that replace the definition's.
pub(super) fn overrides(account_type: Option<&str>) -> Value {
    account_type.map_or_else(
        || json!({}),
        |account_type| json!({ "account_type": account_type }),
    )
}
