//! Who may ask: bearer tokens, kept only as hashes, scoped by tenant and role.
//!
//! Invariant: comparing a token takes the same time whatever it is, and looks at every token known.

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::{HeaderMap, header, request::Parts};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use rand::TryRngCore;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::Problem;
use crate::{ConfigFile, Problems, metric};

/// Tokens a face may know.
const TOKENS_MAX: usize = 10_000;
/// Longest token looked at, bytes.
const TOKEN_MAX: usize = 512;
/// What a browser, which cannot set headers on a WebSocket, offers as a sub-protocol: `bearer.TOKEN`.
const SUBPROTOCOL: &str = "bearer.";

/// What a caller may do; each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees views and reports.
    Viewer,
    /// Sees calls and agents in detail.
    Supervisor,
    /// Acts for an agent.
    Agent,
    /// Feeds events in, changes thresholds.
    Operator,
    /// Everything.
    Admin,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Role::Viewer => "viewer",
            Role::Supervisor => "supervisor",
            Role::Agent => "agent",
            Role::Operator => "operator",
            Role::Admin => "admin",
        })
    }
}

impl std::str::FromStr for Role {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let roles = [Role::Viewer, Role::Supervisor, Role::Agent, Role::Operator, Role::Admin];
        let known = roles.into_iter().find(|role| role.to_string() == text);
        known.ok_or_else(|| format!("{text:?} is none of viewer, supervisor, agent, operator, admin"))
    }
}

/// One token known; made by `tidegate token new`, which shows the token once and this for the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Whose it is; in the audit.
    pub name: String,
    /// SHA-256 of the token, 64 hexadecimal digits.
    pub sha256: String,
    /// The tenant it is for; `*` for all.
    pub tenant: String,
    /// What it may do.
    pub role: Role,
}

/// Who may ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// The tokens known.
    pub tokens: Vec<Token>,
    /// What a caller without a token may do, when it asks this machine by its address or as localhost. Not set: nothing.
    pub anonymous: Option<Role>,
}

impl Default for Auth {
    fn default() -> Self {
        Auth { tokens: Vec::new(), anonymous: Some(Role::Viewer) }
    }
}

impl ConfigFile for Auth {
    fn check(&self, problems: &mut Problems) {
        problems.range("tokens", self.tokens.len(), 0..=TOKENS_MAX);
        for (index, token) in self.tokens.iter().enumerate() {
            problems.within(&format!("tokens[{index}]"), |problems| {
                problems.not_empty("name", &token.name);
                problems.not_empty("tenant", &token.tenant);
                if token.hash().is_none() {
                    problems.add_hidden(
                        "sha256",
                        "is not 64 hexadecimal digits",
                        "take the line that `tidegate token new` prints",
                    );
                }
                if self.tokens[..index].iter().any(|other| other.name == token.name) {
                    problems.add("name", &token.name, "is used twice", "give each token a name of its own");
                }
            });
        }
    }
}

impl Auth {
    /// [`ConfigFile::check`], for a face that listens there: what anybody on the network may do must have been said.
    pub fn check_for(&self, listen: &super::Listen, problems: &mut Problems) {
        self.check(problems);
        if listen.is_open() && self.tokens.is_empty() && self.anonymous.is_none() {
            problems.add_hidden("tokens", "is empty, so that nobody may ask", "add a token with `tidegate token new`");
        }
        if let Some(role) = self.anonymous.filter(|role| listen.is_open() && *role > Role::Viewer) {
            problems.add(
                "anonymous",
                role,
                format!("would let the whole network act as {role}"),
                "remove it and use tokens",
            );
        }
    }

    /// Ready to judge requests. Tokens whose hash cannot be read (refused by the check) never match.
    pub fn guard(&self) -> Guard {
        let known = |token: &Token| {
            let principal = Principal { name: token.name.clone(), tenant: token.tenant.clone(), role: token.role };
            Some((token.hash()?, principal))
        };
        let anonymous =
            self.anonymous.map(|role| Principal { name: ANONYMOUS.to_owned(), tenant: "*".to_owned(), role });
        Guard(Arc::new(Known { tokens: self.tokens.iter().filter_map(known).collect(), anonymous }))
    }
}

impl Token {
    fn hash(&self) -> Option<[u8; 32]> {
        hex::decode(&self.sha256).ok()?.try_into().ok()
    }
}

/// Who asks. An axum extractor, behind [`Guard::protect`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Principal {
    /// The token's name; `anonymous` without one.
    pub name: String,
    /// The tenant; `*` for all.
    pub tenant: String,
    /// What it may do.
    pub role: Role,
}

impl Principal {
    /// Lets pass from `role` upward.
    ///
    /// # Errors
    /// 403 naming both roles; 401 for an anonymous caller, who may try again with a token.
    pub fn require(&self, role: Role) -> Result<(), Problem> {
        if self.role >= role {
            return Ok(());
        }
        let detail = format!("this needs the role {role}; {} has {}", self.name, self.role);
        Err(if self.name == ANONYMOUS { Problem::unauthenticated(detail) } else { Problem::forbidden(detail) })
    }

    /// May see this tenant.
    pub fn sees(&self, tenant: &str) -> bool {
        self.tenant == "*" || self.tenant == tenant
    }
}

const ANONYMOUS: &str = "anonymous";

impl<S: Send + Sync> FromRequestParts<S> for Principal {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let principal = parts.extensions.get::<Principal>().cloned();
        principal.ok_or_else(|| Problem::internal(&"a route that asks for a principal is not behind a guard"))
    }
}

/// Judges requests. A cheap handle.
#[derive(Clone)]
pub struct Guard(Arc<Known>);

struct Known {
    tokens: Vec<([u8; 32], Principal)>,
    /// Who comes without a token, where that is allowed.
    anonymous: Option<Principal>,
}

impl Guard {
    /// Puts every route of `router` behind this guard: handlers may take a [`Principal`].
    pub fn protect<S: Clone + Send + Sync + 'static>(&self, router: Router<S>) -> Router<S> {
        router.layer(middleware::from_fn_with_state(self.clone(), authenticate))
    }

    /// Who sends a request with these headers.
    ///
    /// # Errors
    /// 401 for an unknown token, or none where one is needed.
    pub fn judge(&self, headers: &HeaderMap) -> Result<&Principal, Problem> {
        match presented(headers) {
            Some(token) => self.find(token).ok_or_else(|| Problem::unauthenticated("the token is not known here")),
            None => {
                let anonymous = self.0.anonymous.as_ref().filter(|_| asks_this_machine(headers));
                anonymous.ok_or_else(|| Problem::unauthenticated("send Authorization: Bearer TOKEN"))
            }
        }
    }

    fn find(&self, token: &str) -> Option<&Principal> {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let (mut found, mut which) = (Choice::from(0), 0_u32);
        for (index, (known, _)) in (0_u32..).zip(&self.0.tokens) {
            let same = known.ct_eq(&hash);
            which.conditional_assign(&index, same);
            found |= same;
        }
        let (_, principal) = self.0.tokens.get(which as usize)?;
        (bool::from(found) && token.len() <= TOKEN_MAX).then_some(principal)
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Guard({} tokens, anonymous {:?})",
            self.0.tokens.len(),
            self.0.anonymous.as_ref().map(|who| who.role)
        )
    }
}

async fn authenticate(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    match guard.judge(request.headers()) {
        Ok(principal) => {
            let principal = principal.clone();
            request.extensions_mut().insert(principal);
            next.run(request).await
        }
        Err(problem) => {
            metric::counter("service_requests_unauthenticated_total", &[]).increment(1);
            problem.into_response()
        }
    }
}

/// The token of a request: `Authorization: Bearer`, or a WebSocket sub-protocol `bearer.TOKEN` (the server must answer with
/// another of the protocols offered, never this one).
fn presented(headers: &HeaderMap) -> Option<&str> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let value = value.to_str().unwrap_or("");
        let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
        // Another scheme is a wrong token, not no token.
        return Some(if scheme.eq_ignore_ascii_case("bearer") { token.trim() } else { "" });
    }
    let protocols = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    protocols.flat_map(|value| value.split(',')).find_map(|protocol| protocol.trim().strip_prefix(SUBPROTOCOL))
}

/// The host asked for is an address or localhost. A page on the web can make its own name resolve to 127.0.0.1 (DNS
/// rebinding); then the browser sends that name here, and being local is no longer a proof of anything.
fn asks_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else {
        return true;
    };
    let name = if host.ends_with(']') { host } else { host.rsplit_once(':').map_or(host, |(name, _)| name) };
    let name = name.trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok()
}

/// A new token and the hash to configure: `(token, sha256)`. 256 bits from the operating system.
///
/// # Panics
/// When the operating system has no randomness to give.
pub fn generate() -> (String, String) {
    let mut bytes = [0_u8; 32];
    rand::rngs::OsRng.try_fill_bytes(&mut bytes).expect("the operating system gives random numbers");
    let token = format!("tg_{}", hex::encode(bytes));
    let hash = hash(&token);
    (token, hash)
}

/// The hash of a token as the configuration keeps it.
pub fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth(role: Role, anonymous: Option<Role>) -> (Auth, String) {
        let (token, sha256) = generate();
        let known = Token { name: "board".into(), sha256, tenant: "acme".into(), role };
        (Auth { tokens: vec![known], anonymous }, token)
    }

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_known_token_is_its_owner_and_any_other_is_refused() {
        let (auth, token) = auth(Role::Supervisor, Some(Role::Viewer));
        let guard = auth.guard();
        let mine = guard.judge(&headers(&[(header::AUTHORIZATION, &format!("Bearer {token}"))])).unwrap();
        assert_eq!((mine.name.as_str(), mine.role), ("board", Role::Supervisor));
        assert!(mine.sees("acme") && !mine.sees("other"));
        assert!("boss".parse::<Role>().is_err() && "operator".parse() == Ok(Role::Operator));
        assert!(mine.require(Role::Viewer).is_ok());
        assert_eq!(mine.require(Role::Operator).unwrap_err().status, 403);
        for wrong in ["Bearer tg_0", "Basic dXNlcjpwYXNz", "Bearer ", ""] {
            // A wrong token is not the same as none: it never falls back to what anonymous callers may do.
            assert_eq!(guard.judge(&headers(&[(header::AUTHORIZATION, wrong)])).unwrap_err().status, 401, "{wrong:?}");
        }
    }

    #[test]
    fn a_browser_shows_its_token_as_a_subprotocol() {
        let (auth, token) = auth(Role::Viewer, None);
        let offered = format!("tidegate.v1, bearer.{token}");
        let guard = auth.guard();
        let judged = guard.judge(&headers(&[(header::SEC_WEBSOCKET_PROTOCOL, &offered)]));
        assert_eq!(judged.unwrap().name, "board");
    }

    #[test]
    fn anonymous_callers_are_let_in_only_by_address() {
        let guard = Auth::default().guard();
        for host in ["127.0.0.1:7400", "localhost:7400", "[::1]:7400", "[::1]"] {
            assert_eq!(guard.judge(&headers(&[(header::HOST, host)])).unwrap().role, Role::Viewer, "{host}");
        }
        assert!(guard.judge(&headers(&[(header::HOST, "evil.example:7400")])).is_err());
        let none = Auth { anonymous: None, ..Auth::default() }.guard();
        assert_eq!(none.judge(&HeaderMap::new()).unwrap_err().status, 401);
    }

    #[test]
    fn a_bad_hash_is_told_without_being_shown() {
        let token = Token { name: "x".into(), sha256: "my-real-token".into(), tenant: "*".into(), role: Role::Admin };
        let auth = Auth { tokens: vec![token.clone(), token], anonymous: None };
        let mut problems = Problems::new();
        auth.check(&mut problems);
        let told = problems.to_string();
        assert!(
            told.contains("tokens[0].sha256") && told.contains("used twice") && !told.contains("my-real-token"),
            "{told}"
        );
        assert!(auth.guard().judge(&headers(&[(header::AUTHORIZATION, "Bearer my-real-token")])).is_err());
    }
}
