//! How a dry run went, in words that a repair and a sync of addresses share.

/// How many were tried.
pub(super) struct Trial {
    pub(super) tried: i64,
    pub(super) would_succeed: i64,
    pub(super) would_fail: i64,
    pub(super) not_tried: i64,
    pub(super) busy: i64,
}

impl Trial {
    /// `success` is what would become of one: "change", say.
    pub(super) fn text(&self, success: &str) -> String {
        let mut text = format!(
            "Tried {}: {} would {success}, {} would not.",
            self.tried, self.would_succeed, self.would_fail
        );
        if self.not_tried > 0 {
            text += &format!(" {} were not tried.", self.not_tried);
        }
        text += "\n";
        if self.busy > 0 {
            text += &format!(
                "{} could not be tried: another transaction holds them.\n",
                self.busy
            );
        }
        text
    }
}
