//! How fast a run may go: the size of the next batch, and the pause before it. Pure.

use std::time::Duration;

/// A batch that takes longer holds its locks too long.
const SLOW: Duration = Duration::from_secs(2);

/// How many users the first batch has at most: how long one takes is not known yet.
const FIRST: u32 = 100;

/// A batch that takes less says that twice as many would be quick, too.
const QUICK: Duration = Duration::from_millis(250);

/// By how much a batch shrinks that did not come to its end.
const SHRINK: u32 = 8;

/// No pause is longer, whatever the throttle.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The size of batches: it falls at once where something is in the way, and comes back batch by batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    size: u32,
}

impl Pace {
    pub(super) fn new(size: u32) -> Self {
        Self {
            size: size.clamp(1, FIRST),
        }
    }

    /// Users in the next batch.
    pub(super) fn size(self) -> u32 {
        self.size
    }

    /// Something was locked.
    pub(super) fn met_a_lock(&mut self) {
        self.size = (self.size / 2).max(1);
    }

    /// The batch was given up for its time.
    pub(super) fn was_too_slow(&mut self) {
        self.size = (self.size / SHRINK).max(1);
    }

    /// A batch came to its end.
    pub(super) fn went_well(&mut self, took: Duration, wanted: u32) {
        if took > SLOW {
            self.met_a_lock();
        } else {
            let more = if took < QUICK {
                self.size
            } else {
                self.size / 4
            };
            self.size = (self.size + more.max(1)).min(wanted).max(1);
        }
    }
}

/// How long to pause after a batch, so that batches take no more than this share of the time.
pub(super) fn pause(took: Duration, throttle: f32) -> Duration {
    if throttle >= 1.0 {
        return Duration::ZERO;
    }
    took.mul_f32(1.0 / throttle.max(0.001) - 1.0)
        .min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_batches_double_until_they_take_a_while() {
        let mut pace = Pace::new(1000);
        let mut sizes = Vec::new();
        for took in [QUICK / 2, QUICK / 2, QUICK, QUICK, QUICK / 2] {
            pace.went_well(took, 1000);
            sizes.push(pace.size());
        }
        assert_eq!(sizes, [200, 400, 500, 625, 1000]);
    }

    #[test]
    fn a_lock_halves_the_batch_and_success_brings_it_back_to_what_was_asked() {
        let mut pace = Pace::new(100);
        pace.met_a_lock();
        assert_eq!(pace.size(), 50);
        for _ in 0..10 {
            pace.went_well(QUICK / 2, 100);
        }
        assert_eq!(pace.size(), 100);
        for _ in 0..20 {
            pace.met_a_lock();
        }
        assert_eq!(pace.size(), 1);
        pace.was_too_slow();
        assert_eq!(pace.size(), 1);
    }

    #[test]
    fn another_size_holds_from_the_next_batch_on() {
        let mut pace = Pace::new(100);
        pace.went_well(QUICK / 2, 7);
        assert_eq!(pace.size(), 7);
    }

    #[test]
    fn a_batch_that_was_given_up_is_followed_by_an_eighth_of_it() {
        let mut pace = Pace::new(100);
        pace.was_too_slow();
        assert_eq!(pace.size(), 12);
    }

    #[test]
    fn a_batch_grows_by_a_quarter_up_to_the_time_that_is_too_long() {
        let mut pace = Pace { size: 40 };
        pace.went_well(SLOW, 1000);
        assert_eq!(pace.size(), 50);
    }

    #[test]
    fn a_slow_batch_makes_the_next_one_smaller() {
        let mut pace = Pace::new(100);
        pace.went_well(SLOW * 2, 100);
        assert_eq!(pace.size(), 50);
    }

    #[test]
    fn the_pause_leaves_the_share_that_was_asked_for() {
        let took = Duration::from_secs(1);
        assert_eq!(pause(took, 1.0), Duration::ZERO);
        assert_eq!(pause(took, 0.5), took);
        assert_eq!(pause(took, 0.25), took * 3);
        assert_eq!(pause(took, 0.000_1), LONGEST_PAUSE);
    }
}
