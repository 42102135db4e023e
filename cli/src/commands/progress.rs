//! How far a repair has come: a bar on a terminal, now and then a line elsewhere.

use std::fmt::Write;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use rollcall::backfill::Progress;
use rollcall::wording::counted;

use super::backfill::text::about;
use crate::output::Output;

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

pub(super) struct ProgressDisplay<'a> {
    output: &'a Output,
    bar: ProgressBar,
    began: Instant,
    last_line: Option<Instant>,
}

impl<'a> ProgressDisplay<'a> {
    pub(super) fn new(output: &'a Output) -> Self {
        // hidden where standard error is no terminal
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template(
            "{bar:30} {pos} of {len} profiles, {rate}, {eta} left{msg}",
        )
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", |state: &ProgressState, text: &mut dyn Write| {
            // where that fails, the bar has no rate
            let _ = write!(text, "{:.0}/s", state.per_sec());
        });
        bar.set_style(style);
        Self {
            output,
            bar,
            began: Instant::now(),
            last_line: None,
        }
    }

    /// Repaired over repaired and missing: how far the ids have come says nothing.
    pub(super) fn show(&mut self, progress: &Progress) {
        let repaired = progress.created.unsigned_abs();
        let all = progress.total_missing.max(progress.created).unsigned_abs();
        if self.bar.is_hidden() {
            self.line(progress, repaired, all);
            return;
        }
        self.bar.set_length(all);
        self.bar.set_position(repaired);
        let failed = (progress.failed > 0).then(|| format!(", {} failed", progress.failed));
        let waits = progress.waits_for.as_deref().map(waits);
        self.bar
            .set_message(failed.unwrap_or_default() + &waits.unwrap_or_default());
    }

    fn line(&mut self, progress: &Progress, repaired: u64, all: u64) {
        let now = Instant::now();
        let Some(last) = self.last_line else {
            self.last_line = Some(now);
            self.output.say(&format!(
                "Run {}: {} without a profile.",
                progress.run_id,
                counted(progress.total_missing, "user")
            ));
            return;
        };
        if now - last < LINE_EVERY {
            return;
        }
        self.last_line = Some(now);
        let mut line = format!("{repaired} of {all} profiles");
        if repaired > 0 {
            #[expect(clippy::cast_precision_loss, reason = "it is an estimate")]
            let left = (now - self.began).as_secs_f64() * all.saturating_sub(repaired) as f64
                / repaired as f64;
            line += &format!(", {} left", about(left));
        }
        if progress.failed > 0 {
            line += &format!(", {} failed", progress.failed);
        }
        if let Some(reason) = &progress.waits_for {
            line += &waits(reason);
        }
        self.output.say(&line);
    }

    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// Why nothing happens just now, in words.
fn waits(reason: &str) -> String {
    match reason {
        "lock" => ", waits for a lock".to_owned(),
        "throttle" => ", pauses (throttled)".to_owned(),
        other => format!(", waits for {other}"),
    }
}
