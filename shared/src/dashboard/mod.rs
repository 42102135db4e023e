//! The dashboard: everything a person wants to see at a glance, as one page, as a fragment for a CloudWatch dashboard,
//! and as data.
//!
//! [`Overview`] is read from the database; [`page`], [`widget`] and its serialised form show it. Ids and counts only.

mod chart;
mod history;
mod incidents;
mod negotiation;
mod overview;
mod page;
mod repairs;
mod sections;
mod security;
mod widget;

pub use history::{History, Hour};
pub use incidents::OpenIncident;
pub use negotiation::prefers_json;
pub use overview::{Overview, Place, RecentSignups};
pub use page::page;
pub use repairs::Repair;
pub use security::{FrameAncestors, headers};
pub use widget::{DOCUMENTATION, Theme, widget};
