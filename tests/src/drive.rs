//! A minute and a half of a small call centre: eight agents, some sixty callers, and everything that a queue can do to a call.
//!
//! What happens to which call is left to the PBX; that each kind of thing does happen is checked by the tests on the PBX's
//! own records.

use crate::ami::{Ami, Fields};
use crate::callers::{Callers, register};
use crate::pbx::{DRIVER_LOGIN, Pbx};
use crate::phone::{Habit, Phone};
use anyhow::{Context as _, Result, ensure};
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Agents, the queues that they serve at the start, how long they let it ring (ms), and their habit.
/// 107 serves no queue: others transfer to it.
const AGENTS: [(u16, &[&str], u64, Habit); 8] = [
    (101, &["sales", "support"], 1000, Habit::Answers { talk: 5000 }),
    (102, &["sales", "support"], 600, Habit::Answers { talk: 12_000 }),
    (103, &["sales", "support"], 800, Habit::Holds { after: 1500, hold: 2000, then: 3000 }),
    (104, &["support"], 700, Habit::TransfersBlind { after: 2500, to: "600" }),
    (105, &["sales"], 0, Habit::NeverAnswers),
    (106, &["support"], 300, Habit::Busy),
    (107, &[], 500, Habit::Answers { talk: 12_000 }),
    (108, &["support"], 600, Habit::TransfersAttended { after: 1500, to: "107", consult: 1500 }),
];

/// The callers of a drive: 64 of them.
const CALLERS: [Callers; 16] = [
    Callers::of("sales-patient", "5001", 8, 0.6, 0.0, 50_000),
    Callers::of("sales-brief", "5001", 6, 0.6, 0.8, 15_000),
    Callers::of("support-patient", "5002", 6, 0.5, 0.5, 45_000),
    Callers::of("support-brief", "5002", 5, 0.5, 1.0, 12_000),
    Callers::of("sales-late", "5001", 4, 2.0, 20.0, 12_000),
    Callers::of("sales-impatient", "5001", 6, 1.0, 2.0, 2500),
    Callers::of("support-impatient", "5002", 4, 0.7, 3.0, 4500),
    Callers::of("menu-sales", "5000", 4, 0.5, 1.0, 40_000).dialling("1"),
    Callers::of("menu-support", "5000", 6, 0.4, 2.0, 28_000).dialling("2"),
    Callers::of("menu-wrong-digit", "5000", 2, 1.0, 3.0, 60_000).dialling("9"),
    Callers::of("menu-number", "5000", 4, 0.5, 4.0, 40_000).dialling("34711"),
    Callers::of("menu-leaves", "5000", 2, 1.0, 5.0, 1500),
    Callers::of("direct", "5003", 2, 0.3, 25.0, 4000),
    Callers::of("direct-gives-up", "5003", 2, 1.0, 7.0, 200).giving_up(),
    Callers::of("wrong-number", "6666", 1, 1.0, 7.0, 1000),
    Callers::of("sales-last", "5001", 2, 1.0, 32.0, 30_000),
];

/// What supervisors do, by the tenth of a second.
const ACTS: [(u64, Act); 11] = [
    (120, Act::Pause("103", "lunch")),
    (160, Act::CallOut("107")),
    (200, Act::Pause("105", "training")),
    (220, Act::Resume("103")),
    (240, Act::Penalty("103", "3")),
    (260, Act::Pause("105", "coffee")),
    (270, Act::CallOut("106")),
    (310, Act::Resume("105")),
    (320, Act::Leave("105", "sales")),
    (350, Act::Join("108", "sales")),
    (370, Act::CallOut("107")),
];

#[derive(Clone, Copy, Debug)]
enum Act {
    Pause(&'static str, &'static str),
    Resume(&'static str),
    Penalty(&'static str, &'static str),
    Leave(&'static str, &'static str),
    Join(&'static str, &'static str),
    CallOut(&'static str),
}

/// How the calls are to run.
#[derive(Clone, Copy, Debug)]
pub struct Drive {
    /// Of each group of callers, this many times its usual number call.
    pub times: u32,
    /// Say on the terminal what happens.
    pub verbose: bool,
}

impl Drive {
    /// How many calls come in from outside.
    pub fn calls_in(&self) -> u32 {
        CALLERS.iter().map(|callers| callers.count).sum::<u32>() * self.times
    }

    /// Plays the whole minute and a half; back when the last channel is gone and the agents have left their queues.
    pub async fn run(self, pbx: &Pbx) -> Result<()> {
        let (mut ami, events) = Ami::log_in(pbx.ami(), DRIVER_LOGIN.0, DRIVER_LOGIN.1).await?;
        let _phones = self.staff(pbx, &mut ami).await?;
        let callers = async {
            let mut groups = JoinSet::new();
            let base = pbx.ami().port() - 38;
            for (group, callers) in (0..).zip(CALLERS) {
                let callers = Callers { count: callers.count * self.times, ..callers };
                groups.spawn(async move { callers.call(&Pbx::running(base), group).await });
            }
            while let Some(ended) = groups.join_next().await {
                ended.context("a group of callers crashed")??;
            }
            anyhow::Ok(())
        };
        let floor =
            Floor { ami: &mut ami, events, verbose: self.verbose, began: Instant::now(), answers: HashMap::new() };
        tokio::select! {
            failed = floor.run() => failed?,
            ended = callers => ended?,
        }
        self.close(pbx, &mut ami).await
    }

    async fn staff(&self, pbx: &Pbx, ami: &mut Ami) -> Result<Vec<Phone>> {
        let carrier = Phone::plug_in("carrier", pbx.carrier(), pbx.sip(), 1500, Habit::Answers { talk: 4000 }).await?;
        let mut phones = vec![carrier];
        for (agent, _, ring, habit) in AGENTS {
            phones.push(Phone::plug_in(&agent.to_string(), pbx.port(agent), pbx.sip(), ring, habit).await?);
        }
        for agent in [101, 102] {
            register(pbx, agent, true).await?;
        }
        for (agent, queues, _, _) in AGENTS {
            for queue in queues {
                add(ami, &agent.to_string(), queue).await?;
            }
        }
        pause(ami, "104", Some("training")).await?;
        pause(ami, "104", None).await?;
        Ok(phones)
    }

    async fn close(&self, pbx: &Pbx, ami: &mut Ami) -> Result<()> {
        let patience = Instant::now() + Duration::from_secs(90);
        loop {
            let status = ami.ask("CoreStatus", &[]).await?;
            if status.get("CoreCurrentCalls").is_some_and(|calls| calls == "0") {
                break;
            }
            ensure!(Instant::now() < patience, "calls are still up 90 s after the last caller left: {status:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        for (agent, queues, _, _) in AGENTS {
            for queue in queues.iter().chain((agent == 108).then_some(&"sales")) {
                // 105 has left by itself
                ami.act("QueueRemove", &[("Queue", queue), ("Interface", &format!("PJSIP/{agent}"))]).await?;
            }
        }
        for agent in [101, 102] {
            register(pbx, agent, false).await?;
        }
        // records are written a moment after the last event
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(())
    }
}

/// The supervisors, and the agents who transfer by their desktop instead of by their phone.
struct Floor<'a> {
    ami: &'a mut Ami,
    events: mpsc::Receiver<Fields>,
    verbose: bool,
    began: Instant,
    answers: HashMap<String, u32>,
}

impl Floor<'_> {
    /// Only comes back if something failed.
    async fn run(mut self) -> Result<()> {
        let mut acts = ACTS.into_iter().peekable();
        let mut transfers: Vec<(Instant, Fields)> = Vec::new();
        loop {
            while let Ok(event) = self.events.try_recv() {
                if event.get("Event").is_some_and(|name| name == "AgentConnect") {
                    transfers.push((Instant::now() + Duration::from_secs(1), event));
                }
            }
            let now = Instant::now();
            for (_, event) in transfers.extract_if(.., |(due, _)| *due <= now) {
                self.transfer(&event).await?;
            }
            while let Some((_, act)) =
                acts.next_if(|(tenths, _)| now >= self.began + Duration::from_millis(tenths * 100))
            {
                self.say(&format!("{act:?}"));
                self.act(act).await?;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn say(&self, what: &str) {
        if self.verbose {
            println!("{:6.1} s  {what}", self.began.elapsed().as_secs_f64());
        }
    }

    /// Every third call of 101 goes to 107 after asking there (101 hangs up at 5 s, which completes it); every third of 102 goes
    /// back into the queue of support.
    async fn transfer(&mut self, event: &Fields) -> Result<()> {
        let field = |name: &str| event.get(name).map_or("", String::as_str);
        let count = self.answers.entry(field("Interface").to_owned()).or_default();
        *count += 1;
        let (action, to) = match (field("Interface"), *count % 3) {
            ("PJSIP/101", 1) => ("Atxfer", "107"),
            ("PJSIP/102", 2) => ("BlindTransfer", "602"),
            _ => return Ok(()),
        };
        // refused if the caller has just hung up: that is one call less to transfer, not a fault
        let answer =
            self.ami.act(action, &[("Channel", field("DestChannel")), ("Exten", to), ("Context", "agents")]).await?;
        self.say(&format!(
            "{action} {} to {to}: {}",
            field("DestChannel"),
            answer.get("Response").map_or("", String::as_str)
        ));
        Ok(())
    }

    async fn act(&mut self, act: Act) -> Result<()> {
        match act {
            Act::Pause(agent, reason) => pause(self.ami, agent, Some(reason)).await,
            Act::Resume(agent) => pause(self.ami, agent, None).await,
            Act::Join(agent, queue) => add(self.ami, agent, queue).await,
            Act::Penalty(agent, penalty) => self
                .ami
                .ask(
                    "QueuePenalty",
                    &[("Interface", &format!("PJSIP/{agent}")), ("Penalty", penalty), ("Queue", "sales")],
                )
                .await
                .map(drop),
            Act::Leave(agent, queue) => self
                .ami
                .ask("QueueRemove", &[("Queue", queue), ("Interface", &format!("PJSIP/{agent}"))])
                .await
                .map(drop),
            Act::CallOut(agent) => {
                let (channel, caller) = (format!("PJSIP/{agent}"), format!("\"Agent {agent}\" <{agent}>"));
                let fields = [
                    ("Channel", channel.as_str()),
                    ("Exten", "0301234567"),
                    ("Context", "outbound"),
                    ("Priority", "1"),
                ];
                self.ami
                    .ask(
                        "Originate",
                        &[&fields[..], &[("CallerID", &caller), ("Async", "true"), ("Timeout", "5000")]].concat(),
                    )
                    .await
                    .map(drop)
            }
        }
    }
}

/// Lets an agent's phone serve a queue.
pub async fn add(ami: &mut Ami, agent: &str, queue: &str) -> Result<()> {
    let (interface, name) = (format!("PJSIP/{agent}"), format!("Agent {agent}"));
    let fields = [("Queue", queue), ("Interface", &interface), ("StateInterface", &interface), ("MemberName", &name)];
    ami.ask("QueueAdd", &fields).await.map(drop)
}

async fn pause(ami: &mut Ami, agent: &str, reason: Option<&str>) -> Result<()> {
    let interface = format!("PJSIP/{agent}");
    let paused = if reason.is_some() { "true" } else { "false" };
    ami.ask("QueuePause", &[("Interface", &interface), ("Paused", paused), ("Reason", reason.unwrap_or(""))])
        .await
        .map(drop)
}
