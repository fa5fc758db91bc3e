//! From the first ring to the queue: incoming calls and the keypad menu.

use std::sync::Arc;

use rand::Rng as _;

use super::agenda::Due;
use super::channel::{Party, State};
use super::orders::Wish;
use super::truth::{self, Direction, EndedBy, MenuStep};
use super::{Call, Centre, Phase, chance};
use crate::plan::Route;

/// How long the PBX takes to route a call and answer it, as the real one does.
const ROUTE_MS: i64 = 4;

impl Centre {
    /// A customer calls a line. Answers the number of the call.
    pub(super) fn incoming(&mut self, number: u64, line: usize, wish: Wish) -> u64 {
        let no = self.counters.call;
        self.counters.call += 1;
        let party = Party { number: number.to_string().into(), name: self.words.nobody.name.clone() };
        let did = self.words.dids[line].clone();
        let chan = self.open_trunk(no, State::Ring, party, did.clone(), None);
        let unique = self.channels[&chan].unique.to_string();
        let rng = chance::stream(self.seed, chance::Stream::Call(no));
        self.truth.begin(
            no,
            truth::Call {
                call: unique,
                direction: Direction::Inbound,
                number: number.to_string(),
                line: Some(did.to_string()),
                offered_ms: self.now,
                menu: Vec::new(),
                visits: Vec::new(),
                transfers: Vec::new(),
                legs: Vec::new(),
                ended_ms: None,
                ended_by: None,
            },
        );
        let call = Call {
            chan,
            number,
            did: Some(line),
            rng,
            phase: Phase::Menu,
            menu: 0,
            visit: 0,
            ring: 0,
            leg: 0,
            wish,
            cdrs: Vec::new(),
        };
        self.calls.insert(no, call);
        self.later(ROUTE_MS, Due::Menu { call: no, stamp: 0 });
        no
    }

    /// The call is routed, or its caller has listened long enough.
    pub(super) fn menu_due(&mut self, no: u64, stamp: u32) {
        let Some(call) = self.calls.get_mut(&no) else { return };
        if call.menu != stamp || !matches!(call.phase, Phase::Menu) {
            return;
        }
        call.menu += 1;
        if stamp == 0 { self.route(no) } else { self.choose(no, stamp) }
    }

    fn route(&mut self, no: u64) {
        let Some(line) = self.calls[&no].did else { return };
        let route = self.plan.lines[line].route;
        let (name, target) = match route {
            Route::Menu => ("ivr", self.plan.menu.name.clone()),
            Route::Queue(queue) => ("queue", self.plan.queues[queue].id.clone()),
        };
        let chan = self.calls[&no].chan;
        if let Some(channel) = self.channels.get(&chan) {
            let taken = format!("{name}:{target}");
            let did = self.words.dids[line].clone();
            self.voice.user(
                self.now,
                channel,
                "RouteTaken",
                &[("Did", &did), ("Route", &taken), ("AgiStatus", "SUCCESS")],
            );
        }
        match route {
            Route::Menu => {
                let exten: Arc<str> = Arc::from(self.plan.menu.name.as_str());
                if let Some(channel) = self.channels.get_mut(&chan) {
                    channel.goto("route-ivr", &exten, 1);
                    channel.run("BackGround", "menu");
                }
                self.set_state(chan, State::Up);
                self.listen(no);
            }
            Route::Queue(queue) => {
                let exten = self.words.queues[queue].clone();
                if let Some(channel) = self.channels.get_mut(&chan) {
                    channel.goto("route-queue", &exten, 1);
                }
                self.set_state(chan, State::Up);
                self.join(no, queue);
            }
        }
    }

    /// The caller listens to the menu.
    fn listen(&mut self, no: u64) {
        let s = self.words.s.clone();
        let think = self.plan.menu.think;
        let Some(call) = self.calls.get_mut(&no) else { return };
        let after = think.draw(&mut call.rng).max(300);
        let (chan, stamp) = (call.chan, call.menu);
        if let Some(channel) = self.channels.get_mut(&chan) {
            channel.goto("ivr-main", &s, 3);
        }
        self.later(after, Due::Menu { call: no, stamp });
    }

    /// The caller does something: hangs up, presses a key, or presses none.
    fn choose(&mut self, no: u64, tries: u32) {
        let plan = self.plan.clone();
        let menu = &plan.menu;
        let Some(call) = self.calls.get_mut(&no) else { return };
        let chan = call.chan;
        let x: f64 = call.rng.random();
        let mut edge = menu.hangs_up_share;
        if x < edge {
            if let Some(channel) = self.channels.get(&chan) {
                self.voice.hangup_request(self.now, channel, None);
            }
            return self.end_call(no, EndedBy::Caller, 0);
        }
        edge += menu.settled_share;
        if x < edge {
            self.press(no, '9');
            return self.end_call(no, EndedBy::System, 16);
        }
        edge += menu.wrong_key_share;
        if x < edge && tries < 3 {
            self.press(no, '7');
            self.chosen(no, "invalid");
            return self.listen(no);
        }
        let spread = (1.0 - edge).max(0.0);
        if menu.choices.is_empty() || x > edge + spread * 0.96 {
            self.chosen(no, "timeout");
            return self.join(no, menu.default_queue);
        }
        let choice = &menu.choices[chance::pick(menu.choices.iter().map(|c| c.share), &mut call.rng)];
        self.press(no, choice.digit);
        self.chosen(no, &choice.digit.to_string());
        self.join(no, choice.queue);
    }

    fn press(&mut self, no: u64, digit: char) {
        if let Some(channel) = self.channels.get(&self.calls[&no].chan) {
            self.voice.key(self.now, channel, digit);
        }
    }

    fn chosen(&mut self, no: u64, digit: &str) {
        let exten: Arc<str> = Arc::from(match digit {
            "invalid" => "i",
            "timeout" => "t",
            key => key,
        });
        let chan = self.calls[&no].chan;
        if let Some(channel) = self.channels.get_mut(&chan) {
            channel.goto("ivr-main", &exten, 1);
            let menu = self.plan.menu.name.as_str();
            self.voice.user(self.now, channel, "IvrChoice", &[("Menu", menu), ("Digit", digit)]);
        }
        let step = MenuStep { at_ms: self.now, digit: digit.to_owned() };
        if let Some(call) = self.truth.call(no) {
            call.menu.push(step);
        }
    }
}
