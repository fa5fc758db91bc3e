//! Call services: how well each works, which one is taken out, and how it comes back.
//!
//! Source: `overload.md`, "Load across call services"; the score is the lower bound of Wilson's interval (E. B. Wilson, 1927). Busy, no
//! answer and rejected are the callee's doing and count as success of the technology.

use serde::{Deserialize, Serialize};

/// z of Wilson's interval: 95 of 100.
const Z: f64 = 1.96;
/// Attempts from which on a service is judged by what its success is at least.
const ENOUGH: u64 = 10;

/// Attempts of a window and how they went, technically.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Attempts {
    /// That worked.
    pub good: u64,
    /// That failed by the service's own fault.
    pub failed: u64,
}

impl Attempts {
    /// What the share of good attempts is at least, with 95 of 100; 0 without attempts.
    pub fn at_least(&self) -> f64 {
        let n = (self.good + self.failed) as f64;
        if n == 0.0 {
            return 0.0;
        }
        let (share, square) = (self.good as f64 / n, Z * Z);
        let middle = share + square / (2.0 * n);
        let margin = Z * (share * (1.0 - share) / n + square / (4.0 * n * n)).sqrt();
        (middle - margin) / (1.0 + square / n)
    }

    /// What it is at most.
    pub fn at_most(&self) -> f64 {
        1.0 - Attempts { good: self.failed, failed: self.good }.at_least()
    }
}

/// What is known of a service at a sweep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Signs {
    /// Over the last 60 seconds.
    pub minute: Attempts,
    /// Over the last ten minutes.
    pub ten_minutes: Attempts,
    /// Technical failures in a row, the last attempts.
    pub failed_in_a_row: u32,
    /// p95 of the time from dialling to a ring, milliseconds.
    pub post_dial_ms: Option<f64>,
    /// p95 of how late its events come, milliseconds.
    pub push_lag_ms: Option<f64>,
    /// The share of its calls that end without telling.
    pub stuck_share: f64,
}

/// What a service must keep to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// A service whose score is below this for two sweeps is taken out.
    pub score_min: f64,
    /// As many technical failures in a row take it out at once.
    pub failed_in_a_row: u32,
    /// A post-dial delay at which its score is halved, milliseconds.
    pub post_dial_ms: f64,
    /// A push lag at which its score is halved, milliseconds.
    pub push_lag_ms: f64,
    /// How long it is out the first time, seconds; each further time so much longer.
    pub out_s: f64,
    /// Probes that must work before it is back.
    pub probes: u32,
    /// The least weight of a service that is in: the standby is proven by calls.
    pub weight_min: f64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            score_min: 0.5,
            failed_in_a_row: 5,
            post_dial_ms: 8_000.0,
            push_lag_ms: 10_000.0,
            out_s: 30.0,
            probes: 3,
            weight_min: 0.05,
        }
    }
}

impl Signs {
    /// 0 to 1. A service that nobody used is not doubted: its success counts as 1.
    pub fn score(&self, limits: &Limits) -> f64 {
        // a few attempts must not take a service out: until there are enough, doubt is on its side
        let worst = [self.minute, self.ten_minutes].map(|attempts| match attempts.good + attempts.failed {
            0..ENOUGH => attempts.at_most(),
            _ => attempts.at_least(),
        });
        let slow =
            |measured: Option<f64>, half: f64| measured.map_or(1.0, |ms| half / (half + (ms - half / 2.0).max(0.0)));
        let success = worst[0].min(worst[1]);
        success
            * slow(self.post_dial_ms, limits.post_dial_ms)
            * slow(self.push_lag_ms, limits.push_lag_ms)
            * (1.0 - self.stuck_share.clamp(0.0, 1.0))
    }
}

/// Where a service stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Takes calls.
    #[default]
    In,
    /// Takes none until then, seconds.
    Out {
        /// When probes begin.
        until_s: f64,
    },
    /// Takes a few, to see.
    Probing {
        /// Probes that worked so far.
        good: u32,
    },
}

/// One service over time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Where it stands.
    pub standing: Standing,
    /// Sweeps in a row with a score that is too low.
    pub poor_sweeps: u32,
    /// How often it was taken out of late.
    pub ejections: u32,
}

/// One sweep over all services. `jitter` (0 to 1) keeps several from coming back at once. The last one that is in is never taken out:
/// a bad service is better than none.
pub fn sweep(services: &mut [Service], signs: &[Signs], limits: &Limits, now_s: f64, jitter: f64) {
    for at in 0..services.len() {
        let (service, signs) = (services[at], signs[at]);
        match service.standing {
            Standing::In => {
                let poor = signs.score(limits) < limits.score_min;
                services[at].poor_sweeps = if poor { service.poor_sweeps + 1 } else { 0 };
                let others = services.iter().enumerate().any(|(other, s)| other != at && s.standing == Standing::In);
                if others && (services[at].poor_sweeps >= 2 || signs.failed_in_a_row >= limits.failed_in_a_row) {
                    eject(&mut services[at], limits, now_s, jitter);
                }
            }
            Standing::Out { until_s } if now_s >= until_s => services[at].standing = Standing::Probing { good: 0 },
            Standing::Out { .. } | Standing::Probing { .. } => {}
        }
    }
    // nobody is in (all were probing): whoever is best comes back at once
    if !services.iter().any(|service| service.standing == Standing::In) {
        let score = |at: &usize| signs[*at].score(limits);
        if let Some(best) = (0..services.len()).max_by(|a, b| score(a).total_cmp(&score(b)).then(b.cmp(a))) {
            services[best] = Service { standing: Standing::In, ..services[best] };
        }
    }
}

fn eject(service: &mut Service, limits: &Limits, now_s: f64, jitter: f64) {
    service.ejections = (service.ejections + 1).min(10);
    service.poor_sweeps = 0;
    let out_s = limits.out_s * f64::from(service.ejections) * (1.0 + 0.25 * jitter.clamp(0.0, 1.0));
    service.standing = Standing::Out { until_s: now_s + out_s };
}

impl Service {
    /// Takes a probe's end into account.
    pub fn probed(&mut self, worked: bool, limits: &Limits, now_s: f64, jitter: f64) {
        let Standing::Probing { good } = self.standing else { return };
        if !worked {
            eject(self, limits, now_s, jitter);
        } else if good + 1 >= limits.probes {
            *self = Service { standing: Standing::In, ..Service::default() };
        } else {
            self.standing = Standing::Probing { good: good + 1 };
        }
    }
}

/// The weights by which calls are spread: as configured, times the score, none below the least weight while it is in. They add up to 1.
/// Empty for no services.
pub fn weights(configured: &[f64], services: &[Service], signs: &[Signs], limits: &Limits) -> Vec<f64> {
    let wanted: Vec<f64> = (0..services.len())
        .map(|at| match services[at].standing {
            Standing::In => (configured[at].max(0.0) * signs[at].score(limits)).max(f64::MIN_POSITIVE),
            Standing::Out { .. } | Standing::Probing { .. } => 0.0,
        })
        .collect();
    let total: f64 = wanted.iter().sum();
    if total <= 0.0 {
        return wanted;
    }
    let count = wanted.iter().filter(|weight| **weight > 0.0).count() as f64;
    let least = limits.weight_min.clamp(0.0, 1.0 / count);
    // each has the least; the rest is shared as wanted
    let rest = 1.0 - least * count;
    wanted.iter().map(|weight| if *weight > 0.0 { least + rest * weight / total } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn signs(good: u64, failed: u64) -> Signs {
        let attempts = Attempts { good, failed };
        Signs { minute: attempts, ten_minutes: attempts, ..Signs::default() }
    }

    #[test]
    fn wilsons_bounds_are_those_of_the_books() {
        let half = Attempts { good: 50, failed: 50 };
        assert!((half.at_least() - 0.4038).abs() < 1e-4 && (half.at_most() - 0.5962).abs() < 1e-4);
        let all = Attempts { good: 10, failed: 0 };
        assert!((all.at_least() - 0.7225).abs() < 1e-4 && (all.at_most() - 1.0).abs() < 1e-12);
        assert_eq!(Attempts::default().at_least(), 0.0);
    }

    #[test]
    fn two_poor_sweeps_take_a_service_out_and_probes_bring_it_back() {
        let limits = Limits::default();
        let mut services = [Service::default(); 2];
        let signs = [signs(10, 90), signs(100, 0)];
        sweep(&mut services, &signs, &limits, 0.0, 0.0);
        assert_eq!(services[0].standing, Standing::In);
        sweep(&mut services, &signs, &limits, 5.0, 0.0);
        assert_eq!(services[0].standing, Standing::Out { until_s: 35.0 });
        sweep(&mut services, &signs, &limits, 36.0, 0.0);
        assert_eq!(services[0].standing, Standing::Probing { good: 0 });
        services[0].probed(false, &limits, 37.0, 0.0);
        assert_eq!(services[0].standing, Standing::Out { until_s: 97.0 }, "the second time is longer");
        sweep(&mut services, &signs, &limits, 97.0, 0.0);
        (0..3).for_each(|_| services[0].probed(true, &limits, 98.0, 0.0));
        assert_eq!(services[0], Service::default());
    }

    #[test]
    fn the_standby_never_gets_nothing() {
        let limits = Limits::default();
        let weights = weights(&[100.0, 0.0], &[Service::default(); 2], &[signs(100, 0); 2], &limits);
        assert!((weights[1] - 0.05).abs() < 1e-9 && (weights.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_slow_or_stuck_service_has_a_lower_score() {
        let limits = Limits::default();
        let fine = signs(100, 0).score(&limits);
        assert_eq!((fine, signs(0, 0).score(&limits)), (Attempts { good: 100, failed: 0 }.at_least(), 1.0));
        assert!(signs(2, 2).score(&limits) > 0.8, "four calls prove nothing");
        assert!(Signs { post_dial_ms: Some(20_000.0), ..signs(100, 0) }.score(&limits) < 0.5);
        assert!(Signs { push_lag_ms: Some(20_000.0), ..signs(100, 0) }.score(&limits) < 0.5);
        assert_eq!(Signs { stuck_share: 0.25, ..signs(100, 0) }.score(&limits), 0.75 * fine);
    }

    proptest! {
        #[test]
        fn the_last_service_is_never_ejected_and_the_standby_keeps_its_share(
            sweeps in prop::collection::vec(prop::collection::vec((0..50u64, 0..50u64, 0..9u32), 3), 1..60),
        ) {
            let limits = Limits::default();
            let mut services = [Service::default(); 3];
            for (number, sweep_of) in sweeps.iter().enumerate() {
                let told: Vec<Signs> = sweep_of.iter().map(|(g, f, row)| Signs { failed_in_a_row: *row, ..signs(*g, *f) }).collect();
                sweep(&mut services, &told, &limits, number as f64 * 5.0, 0.5);
                prop_assert!(services.iter().any(|service| service.standing == Standing::In));
                let weights = weights(&[1.0, 1.0, 0.0], &services, &told, &limits);
                prop_assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-9);
                for (service, weight) in services.iter().zip(&weights) {
                    prop_assert_eq!(service.standing == Standing::In, *weight >= limits.weight_min - 1e-12);
                }
            }
        }
    }
}
