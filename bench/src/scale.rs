//! How large the project is that is measured, and how long each thing is measured.

use std::time::Duration;

use clap::ValueEnum;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Size {
    /// 400 users, 4,000 entries of the audit log: shows that the benchmark works, and nothing else
    Tiny,
    /// 100,000 users, 1,000,000 entries: three minutes
    S,
    /// 1,000,000 users, 10,000,000 entries: half an hour
    M,
    /// 3,000,000 users, 30,000,000 entries: an hour or two
    L,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub(crate) users: u32,
    /// Entries of the audit log.
    pub(crate) audit: u32,
    /// How often each operation is run, but for the first time.
    pub(crate) rounds: u32,
    /// For how long each signup trigger is run in a round.
    pub(crate) signup_time: Duration,
    /// Signups whose traces in the server are counted.
    pub(crate) signups: u32,
    /// Users without a profile who are repaired over and over, and once.
    pub(crate) missing: [u32; 2],
}

impl Size {
    pub(crate) fn scale(self) -> Scale {
        let large = |users, rounds, many| Scale {
            users,
            audit: users * 10,
            rounds,
            signup_time: Duration::from_secs(1),
            signups: 500,
            missing: [10_000, many],
        };
        match self {
            Self::Tiny => Scale {
                signup_time: Duration::from_millis(100),
                signups: 20,
                missing: [100, 200],
                ..large(400, 1, 0)
            },
            Self::S => large(100_000, 3, 100_000),
            Self::M => large(1_000_000, 3, 1_000_000),
            Self::L => large(3_000_000, 3, 1_000_000),
        }
    }
}
