//! Callers from outside, as SIPp processes that come from the carrier's address.

use crate::pbx::{Pbx, recipe};
use anyhow::{Context as _, Result, ensure};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// A group of callers who behave alike.
#[derive(Clone, Copy, Debug)]
pub struct Callers {
    /// Short name, for logs.
    pub name: &'static str,
    /// Number that they dial.
    pub dial: &'static str,
    /// How many call.
    pub count: u32,
    /// How many call per second.
    pub rate: f64,
    /// Seconds after the start of the drive at which the first one calls.
    pub from: f64,
    /// Milliseconds after which they hang up, unless the other side does (from the answer, or from the last digit).
    pub stay: u64,
    /// Digits that they dial once answered.
    pub digits: &'static str,
    /// They give up while it rings: `stay` counts from the ringing.
    pub cancel: bool,
}

impl Callers {
    /// Patient ones, who dial nothing: the base of the other kinds.
    pub const fn of(name: &'static str, dial: &'static str, count: u32, rate: f64, from: f64, stay: u64) -> Self {
        Self { name, dial, count, rate, from, stay, digits: "", cancel: false }
    }

    /// The same, dialling `digits` to the menu.
    pub const fn dialling(self, digits: &'static str) -> Self {
        Self { digits, ..self }
    }

    /// The same, giving up while it rings.
    pub const fn giving_up(self) -> Self {
        Self { cancel: true, ..self }
    }

    /// Waits for their time, calls, and comes back when the last of them has hung up.
    /// `group` (0 to 89) tells their numbers and ports from those of other groups.
    pub async fn call(self, pbx: &Pbx, group: u16) -> Result<()> {
        let sip = pbx.sip();
        let folder = pbx.home().join("callers");
        std::fs::create_dir_all(&folder)?;
        let script = folder.join(format!("{}.xml", self.name));
        std::fs::write(&script, self.scenario(group)?)?;
        tokio::time::sleep(Duration::from_secs_f64(self.from)).await;
        let port = sip.port() - 60 + 200 + group * 5;
        let mut sipp = sipp(&folder, &script)
            .args(["-i", "127.0.0.10", "-mi", "127.0.0.10", "-p", &port.to_string(), "-mp", &(port + 500).to_string()])
            .args(["-s", self.dial, "-r", &self.rate.to_string(), "-rp", "1000"])
            // without -l SIPp holds new callers back by how many still talk
            .args(["-l", "1000"])
            .args(["-m", &self.count.to_string(), "-timeout", "150", &sip.to_string()])
            .spawn()
            .context("cannot run sipp (package sip-tester)")?;
        sipp.wait().await?;
        Ok(())
    }

    fn scenario(&self, group: u16) -> Result<String> {
        let part = |name: &str| {
            std::fs::read_to_string(recipe().join("sipp").join(name)).with_context(|| format!("no scenario {name}"))
        };
        let mut dialled = String::new();
        for (at, digit) in self.digits.chars().enumerate() {
            // the menu has to be listening before the first digit
            let pause = if at == 0 { "1000" } else { "400" };
            let step = part("dialled.xml")?.replace("@PAUSE@", pause).replace("@CSEQ@", &(at + 2).to_string());
            dialled += &step.replace("@DIGIT@", &digit.to_string());
        }
        let whole = part(if self.cancel { "cancels.xml" } else { "caller.xml" })?.replace("@DIALLED@", &dialled);
        Ok(whole.replace("@STAY@", &self.stay.to_string()).replace("@GROUP@", &(group + 10).to_string()))
    }
}

/// Signs the phone of `agent` on at the PBX with its password, or off.
pub async fn register(pbx: &Pbx, agent: u16, on: bool) -> Result<()> {
    let folder = pbx.home().join("callers");
    std::fs::create_dir_all(&folder)?;
    let status = sipp(&folder, &recipe().join("sipp/register.xml"))
        .args(["-i", "127.0.0.1", "-p", &pbx.port(agent + 50).port().to_string(), "-s", &agent.to_string()])
        .args([
            "-au",
            &agent.to_string(),
            "-ap",
            &format!("pw{agent}"),
            "-key",
            "contact",
            &pbx.port(agent).to_string(),
        ])
        .args(["-key", "expires", if on { "3600" } else { "0" }, "-m", "1", "-timeout", "5", &pbx.sip().to_string()])
        .spawn()
        .context("cannot run sipp (package sip-tester)")?
        .wait()
        .await?;
    ensure!(status.success(), "phone {agent} could not sign {}", if on { "on" } else { "off" });
    Ok(())
}

fn sipp(folder: &Path, scenario: &Path) -> Command {
    let mut command = Command::new("sipp");
    command.current_dir(folder).arg("-sf").arg(scenario).args(["-ci", "127.0.0.1", "-nostdin", "-trace_err"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command
}
