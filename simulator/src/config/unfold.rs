//! From a configuration to a plan: groups unfold to agents, names become indexes.

use service::Problems;

use super::check::time_of_day;
use super::{Config, Kind, Law, Start};
use crate::centre::Class;
use crate::faults::Fault;
use crate::plan::{self, Pace, Plan, Route};

impl Config {
    /// The plan of this configuration. Reads the users' secrets and nothing else.
    ///
    /// # Errors
    /// Every problem of the configuration, with its path.
    pub fn plan(&self) -> Result<Plan, Problems> {
        let mut problems = Problems::new();
        super::check::config(self, &mut problems);
        let users = self.users(&mut problems);
        let zone = jiff::tz::TimeZone::get(&self.time_zone).unwrap_or(jiff::tz::TimeZone::UTC);
        // With a problem nothing below is used; without one every index is found.
        if !problems.is_empty() {
            return Err(problems);
        }
        let profile = std::array::from_fn(|hour| self.arrivals.profile.get(hour).copied().unwrap_or(1.0));
        Ok(Plan {
            system: self.system.clone(),
            seed: (self.seed != 0).then_some(self.seed),
            zone,
            warm_up_ms: self.warm_up.signed(),
            arrivals_for_ms: (self.arrivals_for.get() > 0).then_some(self.arrivals_for.signed()),
            starts_on_login: self.start == Start::FirstLogin,
            pace: if self.speed == 0.0 { Pace::Fast } else { Pace::Real(self.speed) },
            arrivals: plan::Arrivals {
                calls_per_hour: self.arrivals.calls_per_hour,
                profile,
                patience: self.arrivals.patience.plan(),
                redial_share: self.arrivals.redial_share,
                redial_after: self.arrivals.redial_after.plan(),
                numbers: (self.arrivals.number_first, self.arrivals.number_count),
            },
            lines: self.plan_lines(),
            menu: self.plan_menu(),
            queues: self.plan_queues(),
            agents: self.plan_agents(),
            manners: self.plan_manners(),
            faults: self
                .faults
                .iter()
                .map(|fault| (fault.at.signed(), Fault { kind: fault.kind, lasts_ms: fault.lasts.signed() }))
                .collect(),
            truth_calls_max: self.truth.calls_max,
            truth_changes_max: self.truth.changes_max,
            ami: plan::Ami {
                users,
                sessions_max: self.ami.sessions_max,
                write_timeout_ms: self.ami.write_timeout.get(),
                backlog_bytes_max: self.ami.backlog_max.to_usize(),
            },
        })
    }

    fn users(&self, problems: &mut Problems) -> Vec<plan::User> {
        let mut users = Vec::new();
        for (i, user) in self.ami.users.iter().enumerate() {
            match user.secret.read() {
                Ok(secret) => users.push(plan::User {
                    name: user.name.clone(),
                    secret,
                    read: user.read.iter().map(|class| mask(class)).fold(0, |all, bits| all | bits),
                    may_order: user.may_order,
                }),
                Err(error) => problems.add_hidden(
                    &format!("ami.users[{i}].secret"),
                    format!("cannot be read: {error}"),
                    "give env:NAME, file:PATH or plain:TEXT",
                ),
            }
        }
        users
    }

    fn queue(&self, id: &str) -> usize {
        self.queues.iter().position(|queue| queue.id == id).unwrap_or(0)
    }

    fn plan_lines(&self) -> Vec<plan::Line> {
        let route = |id: &str| if id.is_empty() { Route::Menu } else { Route::Queue(self.queue(id)) };
        let lines = self.lines.iter();
        lines.map(|line| plan::Line { did: line.did.clone(), share: line.share, route: route(&line.queue) }).collect()
    }

    fn plan_menu(&self) -> plan::Menu {
        let choices = self.menu.choices.iter().map(|choice| plan::Choice {
            digit: choice.digit.chars().next().unwrap_or('0'),
            share: choice.share,
            queue: self.queue(&choice.queue),
        });
        plan::Menu {
            name: self.menu.name.clone(),
            think: self.menu.think.plan(),
            hangs_up_share: self.menu.hangs_up_share,
            wrong_key_share: self.menu.wrong_key_share,
            settled_share: self.menu.settled_share,
            choices: choices.collect(),
            default_queue: self.queue(&self.menu.default_queue),
        }
    }

    fn plan_queues(&self) -> Vec<plan::Queue> {
        let queues = self.queues.iter().map(|queue| plan::Queue {
            id: queue.id.clone(),
            title: queue.title.clone(),
            weight: queue.weight,
            ring_ms: queue.ring.signed(),
            retry_ms: queue.retry.signed(),
            wait_max_ms: queue.wait_max.signed(),
            overflow: (!queue.overflow.is_empty()).then(|| self.queue(&queue.overflow)),
            length_max: queue.length_max,
            service_level_s: queue.service_level.signed() / 1000,
            talk: queue.talk.plan(),
            auto_pause: queue.auto_pause,
        });
        queues.collect()
    }

    fn plan_agents(&self) -> Vec<plan::Agent> {
        let mut agents = Vec::new();
        for group in &self.groups {
            let skills = group.skills.iter().map(|skill| (self.queue(&skill.queue), skill.penalty));
            let skills: Vec<(usize, u16)> = skills.collect();
            let pauses = group.pauses.iter().map(|pause| plan::Pause {
                reason: pause.reason.clone(),
                every_ms: pause.every.get() as f64,
                lasts: pause.lasts.plan(),
            });
            let pauses: Vec<plan::Pause> = pauses.collect();
            let time = |text: &str| time_of_day(text).unwrap_or(0);
            for n in 0..group.agents {
                let extension = (group.first_extension + n).to_string();
                agents.push(plan::Agent {
                    name: format!("Agent {extension}"),
                    extension,
                    group: group.id.clone(),
                    skills: skills.clone(),
                    shift: (time(&group.shift_from), time(&group.shift_to)),
                    wrap_up_s: group.wrap_up.signed() / 1000,
                    pauses: pauses.clone(),
                    calls_out_per_hour: group.calls_out_per_hour,
                });
            }
        }
        agents
    }

    fn plan_manners(&self) -> plan::Manners {
        let m = &self.manners;
        plan::Manners {
            answer_after: m.answer_after.plan(),
            rona_share: m.rona_share,
            refuse_share: m.refuse_share,
            hold_share: m.hold_share,
            hold: m.hold.plan(),
            hold_abandon_share: m.hold_abandon_share,
            blind_to_queue_share: m.blind_to_queue_share,
            blind_outside_share: m.blind_outside_share,
            attended_share: m.attended_share,
            atxfer_share: m.atxfer_share,
            agent_hangs_up_share: m.agent_hangs_up_share,
            out_ring: m.out_ring.plan(),
            out_answered_share: m.out_answered_share,
            out_talk: m.out_talk.plan(),
        }
    }
}

impl Law {
    fn plan(&self) -> plan::Law {
        let mean_ms = self.mean.get() as f64;
        match self.kind {
            Kind::Fixed => plan::Law::Fixed { ms: mean_ms },
            Kind::Exponential => plan::Law::Exponential { mean_ms },
            Kind::LogNormal => plan::Law::log_normal(mean_ms, self.spread),
            Kind::Uniform => {
                plan::Law::Uniform { low_ms: mean_ms * (1.0 - self.spread), high_ms: mean_ms * (1.0 + self.spread) }
            }
        }
    }
}

/// The bits of a class, or of all.
fn mask(class: &str) -> u16 {
    match class {
        "all" => u16::MAX,
        class => Class::parse(class).map_or(0, Class::bit),
    }
}
