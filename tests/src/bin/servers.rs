//! Starts an empty PostgreSQL and an empty Redis, runs a command beside them, and stops them: `servers COMMAND…`. The command finds
//! their addresses in its environment. For benches, and for trying things by hand (`servers bash`).

use anyhow::{Context as _, Result};
use std::process::{Command, ExitCode};
use tidegate_tests::stores::{Disk, Postgres, Redis};

fn main() -> Result<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    let command = words.next().context("usage: servers COMMAND…")?;
    let (postgres, redis) = (Postgres::start_on(Disk::Synced)?, Redis::start()?);
    let mut command = Command::new(command);
    command.args(words);
    command.env("TIDEGATE_BENCH_POSTGRES", postgres.database("tidegate")?);
    command.env("TIDEGATE_BENCH_POSTGRES_PASSWORD", postgres.password_file());
    command.env("TIDEGATE_BENCH_REDIS", redis.url());
    command.env("TIDEGATE_BENCH_REDIS_PASSWORD", redis.password_file()?);
    let status = command.status().context("cannot run the command")?;
    Ok(ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)))
}
