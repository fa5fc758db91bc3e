//! A disk that is full when a test says so: a file system of its own in memory, of a given size, which only those see who are started in
//! it. It is gone with this program, however that ends.

use anyhow::{Context as _, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The file system, held by a process that does nothing else.
#[derive(Debug)]
pub struct SmallDisk {
    holder: Child,
    /// Where it is mounted.
    pub folder: PathBuf,
}

impl SmallDisk {
    /// One of so many MiB at `folder`, which is made if need be. It needs root, or a kernel that gives users name spaces of their own.
    pub fn mount(folder: &Path, mib: u32) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let folder = folder.canonicalize()?;
        let (ready, size) = (folder.with_extension("mounted"), format!("size={mib}m"));
        // It ends when its input does, so with us.
        let script = r#"mount -t tmpfs -o "$1" tmpfs "$2" && touch "$3" && exec cat"#;
        let mut errors = Vec::new();
        for privilege in [&["--mount"][..], &["--mount", "--user", "--map-root-user"]] {
            let mut command = Command::new("unshare");
            command.args(privilege).args(["sh", "-c", script, "small-disk"]).arg(&size).arg(&folder).arg(&ready);
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut disk = Self { holder: command.spawn().context("cannot run unshare")?, folder: folder.clone() };
            match disk.mounted(&ready) {
                Ok(()) => return Ok(disk),
                Err(error) => errors.push(format!("{privilege:?}: {error:#}")),
            }
        }
        anyhow::bail!(
            "no file system can be mounted here: run this as root, or allow name spaces to users \
             (sysctl kernel.unprivileged_userns_clone=1): {}",
            errors.join("; ")
        )
    }

    fn mounted(&mut self, ready: &Path) -> Result<()> {
        let patience = Instant::now() + Duration::from_secs(60);
        while !ready.exists() {
            if let Some(status) = self.holder.try_wait()? {
                anyhow::bail!("unshare ended with {status}");
            }
            ensure!(Instant::now() < patience, "nothing is mounted");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// What a command must stand behind to see it. The words become the command.
    pub fn within(&self) -> Vec<String> {
        let holder = self.holder.id().to_string();
        let user = std::fs::read_link(format!("/proc/{holder}/ns/user")).ok();
        let mut words = vec!["nsenter", "--mount", "--target", &holder];
        if user != std::fs::read_link("/proc/self/ns/user").ok() {
            words.extend(["--user", "--preserve-credentials"]);
        }
        words.into_iter().map(str::to_owned).collect()
    }

    /// Runs a command that sees it.
    pub fn run(&self, program: &Path, arguments: &[&str]) -> Result<Output> {
        let within = self.within();
        let mut command = Command::new(&within[0]);
        command.args(&within[1..]).arg(program).args(arguments).stdin(Stdio::null());
        command.output().with_context(|| format!("cannot run {}", program.display()))
    }

    /// Fills it up but for about so many KiB, with a file that nobody needs.
    pub fn leave(&self, kib: u64) -> Result<()> {
        // Others write meanwhile: what was free may be taken already.
        self.shell(&format!(
            "for less in 0 1 2 3 4 5 6 7 8 9; do
               n=$(($(df -k --output=avail . | tail -n 1) - {kib} - less * 500))
               [ $n -gt 0 ] || exit 0
               fallocate -l ${{n}}K ballast && exit 0
               rm -f ballast
             done
             exit 1"
        ))
    }

    /// Makes room again.
    pub fn make_room(&self) -> Result<()> {
        self.shell("rm -f ballast")
    }

    /// How many KiB are free.
    pub fn free_kib(&self) -> Result<u64> {
        let output = self.run(Path::new("df"), &["-k", "--output=avail", &self.folder.to_string_lossy()])?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().last().and_then(|line| line.trim().parse().ok()).with_context(|| format!("df says {text}"))
    }

    fn shell(&self, script: &str) -> Result<()> {
        let script = format!("cd '{}' || exit 1\n{script}", self.folder.display());
        let output = self.run(Path::new("sh"), &["-c", &script])?;
        ensure!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
