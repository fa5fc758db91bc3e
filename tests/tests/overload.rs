//! The short version of `script/bench overload`: more than it can carry, for some seconds. It judges what a slow or busy machine
//! cannot change: every acknowledged call is counted once, no refused one is, every refusal says when to come back, memory stays
//! within its bound, and the process stops cleanly. How fast it is, the bench says.
#![allow(clippy::disallowed_methods, reason = "this test runs real processes in real time")]

use anyhow::{Result, ensure};
use tidegate_tests::product::{binary, cargo};
use tokio::process::Command;

#[tokio::test]
async fn what_is_acknowledged_under_overload_is_counted_once_and_what_is_refused_is_not() -> Result<()> {
    // Built beside each other: the bench starts the product that lies next to it.
    let product = binary("tidegate").await?;
    let mut cargo = cargo();
    let release = product.components().any(|part| part.as_os_str() == "release");
    cargo.args(["build", "--quiet", "-p", "bench", "--bin", "overload"]).args(release.then_some("--release"));
    ensure!(cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().await?.success(), "the bench does not build");
    let ended = Command::new(product.with_file_name("overload")).arg("--short").output().await?;
    let said = format!("{}\n{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    ensure!(ended.status.success(), "{said}");
    println!("{said}");
    Ok(())
}
