//! `tidegate token`.

use service::http::auth;
use service::{Error, Result};

use crate::cli::Make;

pub(crate) fn run(what: Make) -> Result<()> {
    let Make::New { name, tenant, role } = what;
    if role.parse::<service::http::Role>().is_err() {
        let message = format!("--role {role:?} is none of viewer, supervisor, agent, operator, admin");
        return Err(Error::usage("TG0304", message));
    }
    let (token, sha256) = auth::generate();
    println!("token (shown once, keep it): {token}");
    println!("for the configuration, under pusher.auth or receiver.auth:");
    println!("tokens = [{{ name = {name:?}, sha256 = {sha256:?}, tenant = {tenant:?}, role = {role:?} }}]");
    Ok(())
}
