//! The preview itself: every seed under both sets of thresholds, and without any.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use model::{Directory, QueueId, TargetId, TenantId};
use policy::rehearsal::centre::{Call, Centre, Crowd, Door, Gated, Open, Played};
use policy::sticky;

use crate::answer::{Answer, Both, Compared, Estimates, Fidelity, Repeated};
use crate::figures::{Figures, NAMES, Names, Promise, Sheet};
use crate::interval::{Spread, rounded};
use crate::rebuilt::Rebuilt;
use crate::recorded::Recorded;
use crate::scenario::Scenario;
use crate::{Error, Fault};

/// Seeds that one preview may play.
pub const SEEDS_MAX: u32 = 100;
/// The oldest figures that may be asked for, seconds.
pub const AGE_S_MAX: f64 = 600.0;
/// Who is protected does not change with the hour.
const ANY_HOUR: i64 = 0;
/// Days with fewer calls are no measure of a simulation.
const DAY_CALLS_MIN: u64 = 100;

/// A period that is ready to be played.
#[derive(Clone, Debug)]
pub struct Preview {
    tenant: TenantId,
    recorded: Recorded,
    rebuilt: Rebuilt,
    promises: Vec<Promise>,
    /// By so many seconds the tenant's clocks are ahead of UTC when the period begins.
    zone_s: f64,
}

/// What is asked of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// What is in force.
    pub current: Scenario,
    /// What shall be tried.
    pub proposed: Scenario,
    /// Only these queues are told one by one; empty: all.
    pub queues: Vec<QueueId>,
    /// The first seed.
    pub seed: u64,
    /// How many, from that one on.
    pub seeds: u32,
    /// How old the controller's figures are, seconds.
    pub age_s: f64,
    /// How many seeds are played at once.
    pub threads: usize,
}

/// The sheets of one seed.
struct OfSeed {
    open: Sheet,
    current: Sheet,
    proposed: Sheet,
    staffed_s: f64,
}

impl Preview {
    /// Estimates everything that is needed from a record.
    ///
    /// # Errors
    /// As [`Rebuilt::of`].
    pub fn of(recorded: Recorded, tenant: &TenantId, directory: &Directory) -> Result<Preview, Error> {
        let rebuilt = Rebuilt::of(&recorded)?;
        let promise = |queue: &QueueId| Promise {
            within_s: directory.service_level_ms(tenant, queue) as f64 / 1_000.0,
            short_s: directory.short_abandon_ms(tenant, queue) as f64 / 1_000.0,
        };
        let promises = rebuilt.queues.iter().map(promise).collect();
        let zone = TimeZone::get(&directory.tenant(tenant).time_zone).unwrap_or(TimeZone::UTC);
        let begins = Timestamp::from_millisecond(rebuilt.origin.ms()).unwrap_or_default();
        let zone_s = f64::from(zone.to_offset(begins).seconds());
        Ok(Preview { tenant: tenant.clone(), recorded, rebuilt, promises, zone_s })
    }

    /// The centre that was made of the record.
    pub fn rebuilt(&self) -> &Rebuilt {
        &self.rebuilt
    }

    /// The queues that had calls.
    pub fn queues(&self) -> &[QueueId] {
        &self.rebuilt.queues
    }

    /// Plays everything. `told` hears how much is done, 0 to 1, and says whether to go on.
    ///
    /// # Errors
    /// [`Error::Refused`] with all that is wrong with what was asked; [`Error::CalledOff`].
    pub fn play(&self, asked: &Asked, told: &(dyn Fn(f64) -> bool + Sync)) -> Result<Answer, Error> {
        self.judge(asked)?;
        let names = self.names(asked);
        let next = AtomicUsize::new(0);
        let done = AtomicU64::new(0);
        let going = AtomicBool::new(true);
        let sheets: Mutex<BTreeMap<usize, OfSeed>> = Mutex::new(BTreeMap::new());
        let work = || {
            while going.load(Ordering::Relaxed) {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= asked.seeds as usize {
                    return;
                }
                let Some(of_seed) = self.seed(asked, &names, asked.seed + at as u64, &done, &going, told) else {
                    going.store(false, Ordering::Relaxed);
                    return;
                };
                if let Ok(mut sheets) = sheets.lock() {
                    sheets.insert(at, of_seed);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..asked.threads.clamp(1, 16).min(asked.seeds as usize) {
                scope.spawn(work);
            }
            work();
        });
        let sheets = sheets.into_inner().unwrap_or_default();
        if sheets.len() < asked.seeds as usize {
            return Err(Error::CalledOff);
        }
        Ok(self.answer(asked, &names, sheets.into_values().collect()))
    }

    fn judge(&self, asked: &Asked) -> Result<(), Error> {
        let mut faults = asked.proposed.faults("thresholds", &self.rebuilt.queues);
        if asked.current != asked.proposed {
            faults.extend(asked.current.faults("current", &self.rebuilt.queues));
        }
        let mut fault = |at: &str, what: String| faults.push(Fault { at: at.to_owned(), what });
        if asked.seeds == 0 || asked.seeds > SEEDS_MAX {
            fault("seeds", format!("{} is not between 1 and {SEEDS_MAX}", asked.seeds));
        }
        if asked.seed.checked_add(u64::from(asked.seeds)).is_none() {
            fault("seed", format!("{} is too large", asked.seed));
        }
        if !(0.0..=AGE_S_MAX).contains(&asked.age_s) {
            fault("age_s", format!("{} is not between 0 and {AGE_S_MAX}", asked.age_s));
        }
        for queue in asked.queues.iter().filter(|queue| !self.rebuilt.queues.contains(queue)) {
            fault("queue", format!("no call of the period entered a queue {:?}", queue.as_str()));
        }
        if faults.is_empty() { Ok(()) } else { Err(Error::Refused(faults)) }
    }

    fn names(&self, asked: &Asked) -> Names {
        let targets: BTreeSet<&TargetId> = asked.current.targets.keys().chain(asked.proposed.targets.keys()).collect();
        let queues = if asked.queues.is_empty() { self.rebuilt.queues.clone() } else { asked.queues.clone() };
        Names { queues, targets: targets.into_iter().cloned().collect() }
    }

    /// One seed, three times.
    fn seed(
        &self,
        asked: &Asked,
        names: &Names,
        seed: u64,
        done: &AtomicU64,
        going: &AtomicBool,
        told: &(dyn Fn(f64) -> bool + Sync),
    ) -> Option<OfSeed> {
        let plays = f64::from(asked.seeds) * 3.0;
        let one = |scenario: Option<&Scenario>| {
            let mut still = |now_s: f64| {
                let part = (now_s / self.rebuilt.until_s.max(1.0)).clamp(0.0, 1.0);
                let whole = (done.load(Ordering::Relaxed) as f64 + part) / plays;
                going.load(Ordering::Relaxed) && told(whole.min(1.0))
            };
            let played = self.once(scenario, names, seed, asked.age_s, &mut still)?;
            done.fetch_add(1, Ordering::Relaxed);
            Some((Sheet::played(&played, &self.rebuilt, &self.recorded, &self.promises), played.staffed_s))
        };
        let (open, staffed_s) = one(None)?;
        let of = |scenario: &Scenario| match scenario.queues.is_empty() {
            true => {
                done.fetch_add(1, Ordering::Relaxed);
                Some(open.clone())
            }
            false => one(Some(scenario)).map(|(sheet, _)| sheet),
        };
        let current = of(&asked.current)?;
        let proposed = if asked.proposed == asked.current { current.clone() } else { of(&asked.proposed)? };
        Some(OfSeed { open, current, proposed, staffed_s })
    }

    /// One play.
    fn once(
        &self,
        scenario: Option<&Scenario>,
        names: &Names,
        seed: u64,
        age_s: f64,
        still: &mut dyn FnMut(f64) -> bool,
    ) -> Option<Played> {
        let contained = |target: &TargetId| scenario.and_then(|s| s.targets.get(target)).map_or(0.0, |p| p.containment);
        let crowd = Crowd { contained: names.targets.iter().map(contained).collect(), ..self.rebuilt.crowd.clone() };
        let protected = self.protected(scenario.map_or(0.0, |scenario| scenario.protected_share));
        let centre = Centre {
            calls: protected.as_deref().unwrap_or(&self.rebuilt.calls),
            agents: &self.rebuilt.agents,
            crowd: &crowd,
            tick_s: 1.0,
            age_s,
            until_s: self.rebuilt.until_s,
            seed,
        };
        let mut gated;
        let door: &mut dyn Door = match scenario {
            None => &mut Open,
            Some(scenario) => {
                let held = scenario.held(&self.rebuilt.queues, &names.targets);
                gated = Gated::new(held, self.rebuilt.origin.ms() as f64 / 1_000.0)
                    .zone(self.zone_s)
                    .ordered(self.rebuilt.queues.clone(), &scenario.ordered());
                &mut gated
            }
        };
        centre.under(door, still)
    }

    /// The calls with so many of their callers protected; `None`: none of them. A caller's ticket is their own in every play.
    fn protected(&self, share: f64) -> Option<Vec<Call>> {
        let protected = |call: &Call| {
            let ticket = sticky::place(&[&call.caller.to_le_bytes()[..], b"|protected"].concat(), ANY_HOUR, 0);
            Call { protected: ticket < share, ..*call }
        };
        (share > 0.0).then(|| self.rebuilt.calls.iter().map(protected).collect())
    }

    fn answer(&self, asked: &Asked, names: &Names, mut sheets: Vec<OfSeed>) -> Answer {
        let mut recorded = Sheet::recorded(&self.recorded, &self.rebuilt, &self.promises);
        let number = |queue: &QueueId| self.rebuilt.queues.iter().position(|q| q == queue).unwrap_or_default();
        let fidelity = self.fidelity(&mut recorded, &mut sheets);
        let all = compared(None, None, &mut recorded.all, &mut sheets, names, &|sheet| &mut sheet.all);
        let queues = names.queues.iter().map(|queue| {
            let n = number(queue);
            let within = Some(self.promises[n].within_s);
            compared(Some(queue.clone()), within, &mut recorded.queues[n], &mut sheets, names, &|s| &mut s.queues[n])
        });
        Answer {
            tenant: self.tenant.clone(),
            from: self.recorded.from,
            to: self.recorded.to,
            seed: asked.seed,
            seeds: asked.seeds,
            age_s: asked.age_s,
            all,
            queues: queues.collect(),
            estimates: self.estimates(&sheets),
            notes: self.notes(asked, &fidelity),
            fidelity,
        }
    }

    fn fidelity(&self, recorded: &mut Sheet, sheets: &mut [OfSeed]) -> Fidelity {
        let of_record = recorded.all.values();
        let of_seeds: Vec<_> = sheets.iter_mut().map(|sheet| sheet.open.all.values()).collect();
        let repeated = |name: &&str| {
            let at = NAMES.iter().position(|n| n == name).unwrap_or_default();
            let simulated = Spread::of(of_seeds.iter().map(|values| values[at]));
            Repeated { figure: (*name).to_owned(), recorded: rounded(of_record[at]), simulated }
        };
        let told = ["calls", "answered", "service_level", "abandonment_rate", "asa_s", "p50_wait_s", "p90_wait_s"];
        let of_queue = |(n, queue): (usize, &QueueId)| {
            let simulated = Spread::of(sheets.iter().map(|sheet| sheet.open.queues[n].service_level()));
            let recorded = rounded(recorded.queues[n].service_level());
            (queue.to_string(), Repeated { figure: "service_level".to_owned(), recorded, simulated })
        };
        let (mut error, mut calls, mut worst, mut days) = (0.0, 0u64, (0.0f64, 0i64), 0u32);
        for (day, figures) in recorded.days.iter().filter(|(_, figures)| figures.offered() >= DAY_CALLS_MIN) {
            let of_day = |sheet: &OfSeed| sheet.open.days.get(day).map_or(1.0, Figures::service_level);
            let simulated = sheets.iter().map(of_day).sum::<f64>() / sheets.len().max(1) as f64;
            let distance = simulated - figures.service_level();
            error += distance.abs() * figures.offered() as f64;
            calls += figures.offered();
            days += 1;
            if distance.abs() > worst.0.abs() {
                worst = (distance, *day);
            }
        }
        Fidelity {
            comparable: of_record[3] == 0.0,
            all: told.iter().map(repeated).collect(),
            queues: self.rebuilt.queues.iter().enumerate().map(of_queue).collect(),
            service_level_day_error: rounded(error / calls.max(1) as f64),
            service_level_day_worst: rounded(worst.0),
            worst_day: worst.1,
            days,
        }
    }

    fn estimates(&self, sheets: &[OfSeed]) -> Estimates {
        let keeps = self.rebuilt.calls.iter().filter_map(|call| call.service_s);
        let (count, whole_s) = keeps.fold((0u64, 0.0), |(n, sum), s| (n + 1, sum + s));
        let waited = self.recorded.stays.iter().filter(|stay| stay.waited_ms > 0);
        let patience = policy::rehearsal::law::Law::censored(
            waited
                .map(|stay| (stay.waited_ms as f64 / 1_000.0, stay.left == crate::recorded::Left::Abandoned))
                .collect(),
        );
        Estimates {
            calls: self.rebuilt.calls.len() as u64,
            shifts: self.rebuilt.agents.len() as u64,
            staffed_h: rounded(sheets.first().map_or(0.0, |sheet| sheet.staffed_s) / 3_600.0),
            keeps_s: rounded(whole_s / count.max(1) as f64),
            patience_median_s: Some(patience.quantile(0.5)).filter(|median| median.is_finite()).map(rounded),
            redial_share: rounded(self.rebuilt.crowd.redial_share),
            head_starts_s: self.rebuilt.head_starts.clone(),
        }
    }

    fn notes(&self, asked: &Asked, fidelity: &Fidelity) -> Vec<String> {
        let mut notes = vec![
            "intervals (95 %) are over what was drawn: the same days, other patience and other second attempts"
                .to_owned(),
            "agents are as their calls show them: who was ready and got no call for a quarter of an hour is not seen"
                .to_owned(),
        ];
        if !fidelity.comparable {
            notes.push(
                "calls of this period were diverted when it was recorded: without control it was never seen".to_owned(),
            );
        }
        if asked.current.queues.is_empty() {
            notes.push("current: no queue is held to thresholds, everybody enters".to_owned());
        }
        for (which, scenario) in [("current", &asked.current), ("proposed", &asked.proposed)] {
            for (queue, _) in scenario.queues.iter().filter(|(_, thresholds)| thresholds.targets.is_empty()) {
                notes.push(format!("{which}: queue {queue} has no target, so that nobody can be led elsewhere"));
            }
        }
        notes
    }
}

fn compared(
    queue: Option<QueueId>,
    threshold_s: Option<f64>,
    recorded: &mut Figures,
    sheets: &mut [OfSeed],
    names: &Names,
    of: &dyn Fn(&mut Sheet) -> &mut Figures,
) -> Compared {
    let of_record = recorded.values();
    let pairs: Vec<_> =
        sheets.iter_mut().map(|s| (of(&mut s.current).values(), of(&mut s.proposed).values())).collect();
    let both = |recorded: Option<f64>, pairs: Vec<(f64, f64)>| Both {
        recorded: recorded.map(rounded),
        current: Spread::of(pairs.iter().map(|pair| pair.0)),
        proposed: Spread::of(pairs.iter().map(|pair| pair.1)),
        difference: Spread::of(pairs.iter().map(|pair| pair.1 - pair.0)),
    };
    let figures = NAMES.iter().enumerate().map(|(at, name)| {
        // levels and free agents at the door are not in the record
        let known = at < NAMES.len() - 2;
        let pairs = pairs.iter().map(|(current, proposed)| (current[at], proposed[at])).collect();
        ((*name).to_owned(), both(known.then_some(of_record[at]), pairs))
    });
    let figures: BTreeMap<String, Both> = figures.collect();
    let diverted_to = names.targets.iter().enumerate().map(|(at, target)| {
        let led = |figures: &Figures| figures.by_target().get(&at).copied().unwrap_or(0) as f64;
        let pairs = sheets.iter_mut().map(|s| (led(of(&mut s.current)), led(of(&mut s.proposed)))).collect();
        (target.to_string(), both(None, pairs))
    });
    let diverted_to = diverted_to.collect();
    Compared { queue, threshold_s, figures, diverted_to }
}
