//! When a promised call may be made: when the flood is over, somebody is free, and what the queue can serve is not needed by who calls now.

use model::control::Level;

use crate::bucket::Bucket;

/// What a queue is like now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Room {
    /// The level that holds, orders of persons included.
    pub level: Level,
    /// Whether figures and plan are fresh enough to rely on.
    pub fresh: bool,
    /// Callers who wait.
    pub waiting: f64,
    /// Agents who are ready.
    pub free: f64,
    /// Calls per second that the queue can serve (nμ).
    pub capacity_per_s: f64,
    /// Calls per second that come by themselves.
    pub attempts_per_s: f64,
    /// Callbacks of this queue that are being dialled.
    pub dialling: usize,
}

/// The pace of one queue's callbacks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pace {
    bucket: Bucket,
}

impl Pace {
    /// Whether one more may be dialled now; takes its place if so.
    ///
    /// Each that is dialled needs an agent of its own when it is answered, so never more are on their way than agents are free; and not
    /// faster than what is left of the queue's capacity.
    pub fn admit(&mut self, now_s: f64, room: &Room) -> bool {
        let calm = room.level == Level::Normal && room.fresh && room.waiting < 1.0;
        let someone = room.free - room.dialling as f64 >= 1.0;
        let spare_per_s = room.capacity_per_s - room.attempts_per_s;
        calm && someone && spare_per_s > 0.0 && self.bucket.admit(now_s, spare_per_s, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room() -> Room {
        Room {
            level: Level::Normal,
            fresh: true,
            waiting: 0.0,
            free: 3.0,
            capacity_per_s: 0.5,
            attempts_per_s: 0.25,
            dialling: 0,
        }
    }

    #[test]
    fn callbacks_take_what_is_left_of_the_capacity() {
        let mut pace = Pace::default();
        let made = (0..100).filter(|second| pace.admit(f64::from(*second), &room())).count();
        assert_eq!(made, 25, "a quarter of a call each second");
    }

    #[test]
    fn nobody_is_called_into_a_flood_a_queue_or_to_no_agent() {
        for wrong in [
            Room { level: Level::Offer, ..room() },
            Room { fresh: false, ..room() },
            Room { waiting: 1.0, ..room() },
            Room { free: 0.0, ..room() },
            Room { dialling: 3, ..room() },
            Room { attempts_per_s: 0.5, ..room() },
            Room { capacity_per_s: 0.0, ..room() },
        ] {
            assert!(!Pace::default().admit(9.0, &wrong), "{wrong:?}");
        }
        assert!(Pace::default().admit(9.0, &room()));
    }
}
