//! What is ordered of a repair of many: whose profiles, how fast, by whom; or which run to go on with.

use serde_json::Value;
use uuid::Uuid;

use super::{BackfillRequest, IdRange};

/// From where a run was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// The command line.
    Cli,
    /// The HTTP API.
    Api,
    /// A direct invocation of the function.
    Lambda,
    /// The state machine.
    StateMachine,
}

impl Face {
    pub(super) fn name(self) -> &'static str {
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
pub enum Which {
    /// An unfinished one with the same bounds, else a new one.
    #[default]
    Open,
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
pub struct Order {
    /// Which run.
    pub which: Which,
    /// Who asks.
    pub face: Face,
    /// Why, in a few words; no personal data.
    pub note: Option<String>,
    /// Users in one transaction at most.
    pub batch_size: u32,
    /// Users that are attempted before the run ends.
    pub max_users: Option<u64>,
    /// Account type of every created profile, instead of the definition's.
    pub account_type: Option<String>,
    /// Whose profiles.
    pub range: IdRange,
    /// Share of the time that batches may take, above 0 to 1; the rest is pause.
    pub duty: f32,
    /// Standbys that are further behind than this are waited for, in milliseconds. None: they are not looked at.
    pub max_lag_ms: Option<i32>,
}

impl Order {
    /// Less than this is no lag, but the ordinary way of a change.
    pub const DEFAULT_MAX_LAG_MS: i32 = 5_000;

    /// Everyone, at full speed.
    pub fn new(face: Face) -> Self {
        Self {
            which: Which::Open,
            face,
            note: None,
            batch_size: BackfillRequest::DEFAULT_BATCH_SIZE,
            max_users: None,
            account_type: None,
            range: IdRange::EVERYONE,
            duty: 1.0,
            max_lag_ms: Some(Self::DEFAULT_MAX_LAG_MS),
        }
    }
}
