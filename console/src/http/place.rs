//! What setting up targets and call services has in common: names and addresses of one line, and the way of a change.

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use model::TenantId;
use model::control::Event;
use model::control::problem::{Problem as Wrong, Problems};
use policy::plan::Tenant;
use serde::Serialize;
use service::http::{Principal, Problem};

use super::{Asked, Face, changed, operator, replaced, versioned, wrong};
use crate::writer::Writer;

/// The longest name or address, bytes.
const TEXT_MAX: usize = 256;

/// What is wrong with a name (of a `kind`) and its address, added to what is wrong already.
pub(super) fn judged(mut found: Problems, kind: &'static str, name: &str, address: &str) -> Vec<Wrong> {
    let fits = |text: &str| !text.is_empty() && text.len() <= TEXT_MAX && !text.contains(['\r', '\n', '\0']);
    let empty = || "it is empty, too long or has line ends".to_owned();
    found.unless(fits(address), "address", empty, "write up to 256 letters of one line");
    found.unless(fits(name), kind, || "its name is too long or has line ends".to_owned(), "shorten it");
    found.all()
}

/// A change of something that carries a version.
pub(super) struct Change<'a> {
    pub(super) face: &'a Face,
    pub(super) principal: &'a Principal,
    pub(super) headers: &'a HeaderMap,
    pub(super) asked: Asked,
}

impl Change<'_> {
    /// Whose, if the asker may change anything there.
    pub(super) fn tenant(&self) -> Result<TenantId, Problem> {
        operator(self.principal)?;
        self.face.tenant(self.principal, self.asked.tenant.as_deref())
    }

    /// Writes what `event` makes of the next version, and answers with it. `held`: the version that holds.
    pub(super) async fn make<E: Clone + Serialize + Into<Event>>(
        self,
        tenant: &TenantId,
        what: &str,
        problems: Vec<Wrong>,
        held: impl Fn(&Tenant) -> u64,
        event: impl FnOnce(u64) -> E,
    ) -> Result<Response, Problem> {
        if !problems.is_empty() {
            return Err(wrong(what, problems));
        }
        let now = || self.face.books.look().table.tenant(tenant).map_or(0, &held);
        let before = now();
        let version = replaced(self.headers, before)? + 1;
        let event = event(version);
        if self.asked.dry_run == Some(true) {
            return Ok(versioned(StatusCode::OK, before, &event));
        }
        let why = self.asked.why.as_deref();
        let change = self.face.decide(self.principal, tenant, why, None, event.clone()).await?;
        if !Writer::held(&change) {
            return Err(changed(now()));
        }
        Ok(versioned(StatusCode::OK, version, &event))
    }
}
