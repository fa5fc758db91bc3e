//! The default: a lively centre of forty agents and four queues, around the clock.

use std::net::{Ipv4Addr, SocketAddr};

use service::http::{Auth, Listen, Role};
use service::{Millis, Secret, Size};

use super::{
    Ami, Arrivals, Choice, Config, Control, Group, Kind, Law, Line, Manners, Menu, Pause, Queue, Skill, Start, Truth,
    User,
};

pub(super) fn ring() -> Millis {
    Millis::seconds(15)
}
pub(super) fn retry() -> Millis {
    Millis::seconds(1)
}
pub(super) fn wait_max() -> Millis {
    Millis::seconds(90)
}
pub(super) fn service_level() -> Millis {
    Millis::seconds(20)
}
pub(super) fn midnight() -> String {
    "00:00".to_owned()
}

pub(super) fn law(kind: Kind, mean_ms: u64, spread: f64) -> Law {
    Law { kind, mean: Millis::new(mean_ms), spread }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            system: "sim1".to_owned(),
            seed: 0,
            time_zone: "Asia/Shanghai".to_owned(),
            warm_up: Millis::seconds(600),
            arrivals_for: Millis::new(0),
            start: Start::Now,
            speed: 1.0,
            ami: Ami::default(),
            control: Control::default(),
            arrivals: Arrivals::default(),
            lines: lines(),
            menu: Menu::default(),
            queues: queues(),
            groups: groups(),
            manners: Manners::default(),
            faults: Vec::new(),
            truth: Truth::default(),
        }
    }
}

impl Default for Ami {
    fn default() -> Ami {
        let user = User {
            name: "cti".to_owned(),
            secret: Secret::plain("cti-secret"),
            read: vec!["all".to_owned()],
            may_order: true,
        };
        Ami {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 7411)),
            i_know_this_is_open: false,
            users: vec![user],
            sessions_max: 16,
            write_timeout: Millis::seconds(5),
            backlog_max: Size::mebibytes(64),
        }
    }
}

impl Default for Control {
    fn default() -> Control {
        // Whoever can reach loopback of this machine may play with the toy.
        let auth = Auth { tokens: Vec::new(), anonymous: Some(Role::Operator) };
        Control { enabled: true, listen: Listen::loopback(7410), auth }
    }
}

impl Default for Arrivals {
    fn default() -> Arrivals {
        // Never quiet: somebody who starts the demo at night wants to see it move as well.
        let profile = [
            0.70, 0.68, 0.66, 0.65, 0.66, 0.70, 0.76, 0.84, 0.94, 1.00, 1.00, 0.96, 0.88, 0.92, 0.98, 1.00, 0.97, 0.92,
            0.88, 0.90, 0.90, 0.86, 0.80, 0.74,
        ];
        Arrivals {
            calls_per_hour: 1_450.0,
            profile: profile.to_vec(),
            patience: law(Kind::LogNormal, 75_000, 0.9),
            redial_share: 0.3,
            redial_after: law(Kind::Exponential, 90_000, 0.0),
            number_first: 13_800_000_000,
            number_count: 60_000,
        }
    }
}

fn lines() -> Vec<Line> {
    let line = |did: &str, share, queue: &str| Line { did: did.to_owned(), share, queue: queue.to_owned() };
    vec![
        line("5000", 0.50, ""),
        line("5001", 0.22, "sales"),
        line("5002", 0.14, "support"),
        line("5003", 0.07, "billing"),
        line("5008", 0.07, "vip"),
    ]
}

impl Default for Menu {
    fn default() -> Menu {
        let choice =
            |digit: &str, share, queue: &str| Choice { digit: digit.to_owned(), share, queue: queue.to_owned() };
        Menu {
            name: "main".to_owned(),
            think: law(Kind::LogNormal, 6_000, 0.5),
            hangs_up_share: 0.04,
            wrong_key_share: 0.03,
            settled_share: 0.05,
            choices: vec![choice("1", 0.34, "sales"), choice("2", 0.42, "support"), choice("3", 0.24, "billing")],
            default_queue: "support".to_owned(),
        }
    }
}

fn queues() -> Vec<Queue> {
    let queue = |id: &str, title: &str, weight, wait_s, overflow: &str, talk_ms| Queue {
        id: id.to_owned(),
        title: title.to_owned(),
        weight,
        ring: ring(),
        retry: retry(),
        wait_max: Millis::seconds(wait_s),
        overflow: overflow.to_owned(),
        length_max: 100,
        service_level: service_level(),
        talk: law(Kind::LogNormal, talk_ms, 0.7),
        auto_pause: false,
    };
    vec![
        queue("sales", "销售", 0, 60, "support", 62_000),
        queue("support", "技术支持", 0, 120, "", 84_000),
        queue("billing", "账单", 0, 90, "", 58_000),
        queue("vip", "贵宾", 10, 180, "", 70_000),
    ]
}

fn groups() -> Vec<Group> {
    let skills = |list: &[(&str, u16)]| -> Vec<Skill> {
        list.iter().map(|(queue, penalty)| Skill { queue: (*queue).to_owned(), penalty: *penalty }).collect()
    };
    let pause = |reason: &str, every_s, mean_s: u64| Pause {
        reason: reason.to_owned(),
        every: Millis::seconds(every_s),
        lasts: law(Kind::LogNormal, mean_s * 1_000, 0.4),
    };
    let pauses = || {
        vec![
            pause("lunch", 14_400, 1_200),
            pause("break", 4_800, 300),
            pause("training", 21_600, 1_500),
            pause("coaching", 28_800, 600),
        ]
    };
    let group = |id: &str, title: &str, agents, first, list: &[(&str, u16)], wrap_s| Group {
        id: id.to_owned(),
        title: title.to_owned(),
        agents,
        first_extension: first,
        skills: skills(list),
        shift_from: midnight(),
        shift_to: midnight(),
        wrap_up: Millis::seconds(wrap_s),
        pauses: pauses(),
        calls_out_per_hour: 0.5,
    };
    vec![
        group("sales", "销售组", 12, 1001, &[("sales", 0), ("billing", 2)], 10),
        group("support", "技术支持组", 14, 1101, &[("support", 0)], 15),
        group("billing", "账单组", 7, 1201, &[("billing", 0), ("sales", 2)], 10),
        group("senior", "资深坐席组", 7, 1301, &[("vip", 0), ("support", 1), ("sales", 3)], 10),
    ]
}

impl Default for Manners {
    fn default() -> Manners {
        Manners {
            answer_after: law(Kind::LogNormal, 3_500, 0.5),
            rona_share: 0.03,
            refuse_share: 0.01,
            hold_share: 0.12,
            hold: law(Kind::LogNormal, 20_000, 0.6),
            hold_abandon_share: 0.05,
            blind_to_queue_share: 0.03,
            blind_outside_share: 0.01,
            attended_share: 0.03,
            atxfer_share: 0.4,
            agent_hangs_up_share: 0.35,
            out_ring: law(Kind::LogNormal, 8_000, 0.5),
            out_answered_share: 0.6,
            out_talk: law(Kind::LogNormal, 60_000, 0.6),
        }
    }
}

impl Default for Truth {
    fn default() -> Truth {
        Truth { calls_max: 50_000, changes_max: 500 }
    }
}
