//! How often frames are written: no more than one for each tick in the long run, and each as soon as its burst of views is there.
//!
//! The figures come in bursts, one for each tick of the aggregators, some milliseconds early or late. A fixed time between two frames would let
//! nearly each burst wait for the rest of it. So a frame may be early by half a tick, if those before it were not.

use std::time::Duration;

/// When the next frame may be written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// When the next one would be written if all were written as often as they may.
    next: Duration,
    /// By how much one may be early.
    early: Duration,
}

impl Pace {
    /// From which moment on the next frame may be written.
    pub fn due(&self) -> Duration {
        self.next.saturating_sub(self.early)
    }

    /// A frame was written. `tick`: the time of one frame; `widened`: the same where frames take so long that it must be more.
    pub fn wrote(&mut self, now: Duration, tick: Duration, widened: Duration) {
        self.next = self.next.max(now) + widened.max(tick);
        self.early = tick / 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(20);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn bursts_that_come_a_little_early_or_late_are_written_when_they_come() {
        let mut pace = Pace::default();
        for burst in [1_000, 1_023, 1_038, 1_061, 1_080, 1_099] {
            assert!(pace.due() <= ms(burst), "{burst}: due at {:?}", pace.due());
            pace.wrote(ms(burst), TICK, TICK);
        }
    }

    #[test]
    fn in_the_long_run_there_are_no_more_frames_than_ticks() {
        let (mut pace, mut now, mut frames) = (Pace::default(), ms(1_000), 0);
        while now < ms(3_000) {
            pace.wrote(now, TICK, TICK);
            frames += 1;
            now = now.max(pace.due());
        }
        assert!((100..=101).contains(&frames), "{frames} in a hundred ticks");
    }

    #[test]
    fn after_a_quiet_time_there_is_no_storm_to_make_up_for_it() {
        let mut pace = Pace::default();
        pace.wrote(ms(1_000), TICK, TICK);
        pace.wrote(ms(60_000), TICK, TICK);
        assert_eq!(pace.due(), ms(60_010));
        pace.wrote(ms(60_010), TICK, TICK);
        assert_eq!(pace.due(), ms(60_030));
    }

    #[test]
    fn where_a_frame_takes_long_half_of_the_time_is_left_for_reading() {
        let mut pace = Pace::default();
        pace.wrote(ms(1_000), TICK, ms(400));
        assert_eq!(pace.due(), ms(1_390));
    }
}
