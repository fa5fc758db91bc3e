//! A seeded call centre behind a real vendor protocol: AMI over TCP, as Asterisk 22 speaks it.
//!
//! **Is**: callers who arrive by the hour of the day, listen to a menu, wait, lose patience, call again; agents with skills,
//! shifts, pauses and wrap-up, who answer, hold, transfer and let the phone ring out; floods; faults of the link; and a ledger
//! of what really happened, to hold figures against. From 5 to 50,000 agents. It feeds the demo, the tests and the load runs.
//!
//! **Is not**: a PBX (no call is ever connected), nor a model of one caller's mind. Of Asterisk it speaks the events of queues,
//! calls, agents and devices that a collector uses; orders of names and headers are those of recorded streams.
//!
//! Invariant: the same plan, seed and start give the same AMI bytes and the same ledger.
//! Invariant: faults touch the wire only; the ledger is always true.
//! Invariant: a slow or silent session costs at most its backlog and is then cut; it never holds up the others, except at
//! speed 0, whose purpose is to lose nothing.
//!
//! Start at [`Centre`] (the core, pure), then [`Simulator`] (with time and sockets), then [`Config`].

mod ami;
mod centre;
mod config;
mod control;
mod doors;
mod drive;
pub mod faults;
pub mod plan;

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use service::http::{self, Auth, Listen};
use service::{Clock, Component, Context, Drain, Problems, Result, Seeds, Tasks};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

pub use centre::{AgentNow, Centre, Class, Frame, Gauge, List, orders, truth};
pub use config::{
    Ami, Arrivals, Choice, Config, Control, Group, Kind, Law, Line, Manners, Menu, Pause, PlannedFault, Queue, Skill,
    Start, Truth, User,
};
pub use control::State;
pub use doors::Handle;
pub use plan::Plan;

/// A call centre that can be listened to.
pub struct Simulator {
    plan: Arc<Plan>,
    handle: Handle,
    driver: drive::Driver,
    orders: mpsc::Receiver<drive::Order>,
    clock: Clock,
    doors: Option<Doors>,
}

/// What the component opened.
struct Doors {
    ami: TcpListener,
    control: Option<(TcpListener, Listen, Auth)>,
}

/// What the component is built from.
#[derive(Clone, Debug)]
pub struct Ready {
    /// The centre.
    pub plan: Plan,
    /// Where AMI listens.
    pub ami: Listen,
    /// Where, and for whom, the control API listens.
    pub control: Option<(Listen, Auth)>,
}

impl Simulator {
    /// A centre on this clock. Nothing listens and nothing moves yet.
    pub fn new(plan: Plan, clock: Clock, seeds: &Seeds) -> Simulator {
        let plan = Arc::new(plan);
        let (driver, inbox, orders) = drive::Driver::new(plan.clone(), clock.clone(), seeds);
        Simulator { plan, handle: Handle::new(inbox), driver, orders, clock, doors: None }
    }

    /// A handle for questions and orders; it lives on while the centre runs.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Serves AMI on a listener, in these tasks.
    ///
    /// # Errors
    /// When no task can be started.
    pub fn serve_ami(&self, listener: TcpListener, tasks: &Tasks) -> Result<()> {
        let room = self.driver.room();
        let door = doors::Door::new(self.plan.clone(), self.handle.clone(), self.clock.clone(), room, tasks);
        tasks.spawn("ami", door.serve(listener))?;
        Ok(())
    }

    /// Serves the control API on a listener, in these tasks.
    ///
    /// # Errors
    /// When no task can be started.
    pub fn control(&self, listener: TcpListener, limits: Listen, auth: &Auth, tasks: &Tasks) -> Result<()> {
        let router = auth.guard().protect(control::router(self.handle.clone()));
        let drain = tasks.drain().clone();
        tasks.spawn("control", async move { http::serve(listener, router, &limits, &drain).await })?;
        Ok(())
    }

    /// Moves the centre through time until the drain starts.
    pub async fn drive(self, drain: Drain) {
        self.driver.run(self.orders, drain).await;
    }

    /// Where AMI listens, when this was built as a component: the port may have been 0.
    pub fn ami_address(&self) -> Option<SocketAddr> {
        self.doors.as_ref().and_then(|doors| doors.ami.local_addr().ok())
    }

    /// Where the control API listens, when this was built as a component with one.
    pub fn control_address(&self) -> Option<SocketAddr> {
        self.doors.as_ref()?.control.as_ref().and_then(|(listener, _, _)| listener.local_addr().ok())
    }
}

#[async_trait]
impl Component for Simulator {
    const NAME: &'static str = "simulator";
    const ABOUT: &'static str = "Plays a seeded call centre behind AMI";
    const OPS_PORT: u16 = 7409;
    type Config = Config;
    type Plan = Ready;

    fn plan(config: Config) -> std::result::Result<Ready, Problems> {
        let plan = config.plan()?;
        let ami = Listen {
            address: config.ami.address,
            i_know_this_is_open: config.ami.i_know_this_is_open,
            ..Listen::loopback(0)
        };
        let control = config.control.enabled.then_some((config.control.listen, config.control.auth));
        Ok(Ready { plan, ami, control })
    }

    async fn build(ready: Ready, context: &Context) -> Result<Simulator> {
        let ami = ready.ami.bind().await?;
        let control = match ready.control {
            Some((listen, auth)) => Some((listen.bind().await?, listen, auth)),
            None => None,
        };
        let mut simulator = Simulator::new(ready.plan, context.clock.clone(), &context.seeds);
        simulator.doors = Some(Doors { ami, control });
        Ok(simulator)
    }

    async fn run(mut self, context: Context) -> Result<()> {
        if let Some(doors) = self.doors.take() {
            tracing::info!(ami = ?doors.ami.local_addr().ok(), agents = self.plan.agents.len(), "the centre is open");
            self.serve_ami(doors.ami, &context.tasks)?;
            if let Some((listener, limits, auth)) = doors.control {
                self.control(listener, limits, &auth, &context.tasks)?;
            }
        }
        self.drive(context.drain.clone()).await;
        Ok(())
    }
}
