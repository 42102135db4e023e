//! What the database keeps and who works on it, as small models of which every state is visited: a worker may crash
//! between any two steps, be started twice, be slow, or never hear an answer. The program's own decisions are the
//! transitions. What SQL does stands in a few lines here, under the name of its function, and `conformance` plays the same
//! steps on a real PostgreSQL.
//!
//! With `ROLLCALL_LONG` the bounds are larger.

mod conformance;
mod incidents;
mod runs;

use std::fmt::Debug;
use std::hash::Hash;

use rollcall_tests::random;
use stateright::{Checker, Model};

/// Visits every state of the model, and fails with the shortest way to one in which a property does not hold.
fn explore<M>(what: &str, model: M)
where
    M: Model<
            State: Clone + Debug + Hash + PartialEq + Send + Sync,
            Action: Clone + Debug + PartialEq + Send + Sync,
        > + Send
        + Sync
        + 'static,
{
    let checker = model.checker().threads(2).spawn_bfs().join();
    random::tell(&format!(
        "{what}: {} states, at most {} steps deep",
        checker.unique_state_count(),
        checker.max_depth()
    ));
    checker.assert_properties();
}
