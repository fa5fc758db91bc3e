//! Live state in Redis, for several processes.
//!
//! Five keys of one hash tag hold it: `slots` (a hash: view, zero, partition → version, cursor and value), `order` (the slots by the
//! cursor of their last change), `emptied` (those without a value), `parts` (the epochs that were begun) and `mark` (the cursor, and the
//! oldest that can be resumed). Each change is one Lua script, so it happens whole and in one order.
//!
//! - Invariant: nothing here is the truth. Redis may lose the last second, or everything: whoever writes notices by the cursor.
//! - Invariant: what nobody writes for a week goes by itself.
//!
//! Redis must not evict these keys (`maxmemory-policy noeviction` or a `volatile-…` one would do harm only in the last case).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::{Client, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisError, Script, ScriptInvocation};
use service::Clock;

use super::{Changes, Limits, Live, Partial, Slot, Snapshot, Version};
use crate::{Error, Part, Result};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(2);
/// How often a watcher looks.
const LOOK: Duration = Duration::from_millis(50);
/// Slots of one step of a snapshot.
const STEP: usize = 1_000;
/// How often a snapshot is begun again when changes are forgotten meanwhile.
const AGAIN: usize = 3;
/// How long is kept what nobody writes, in seconds.
const KEPT_S: u64 = 7 * 86_400;
/// The bytes before a value: epoch, number, cursor, whether there is one.
const HEAD: usize = 25;

/// Where Redis is.
#[derive(Clone)]
pub struct Options {
    connect: ConnectionInfo,
    prefix: String,
    limits: Limits,
    clock: Clock,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("addr", self.connect.addr())
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// From `redis://host:port/number` (`rediss://` for TLS); every key begins with `prefix`.
    ///
    /// # Errors
    /// `Refused`, when it is no such address; it is not repeated, because a password may be in it.
    pub fn new(url: &str, prefix: &str, clock: Clock) -> Result<Self> {
        let wrong =
            || Error::Refused { place: "the address".to_owned(), reason: "it is no address of a Redis".to_owned() };
        let connect = url.into_connection_info().map_err(|_| wrong())?;
        let connect = connect.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        Ok(Self { connect, prefix: prefix.to_owned(), limits: Limits::default(), clock })
    }

    /// With this password.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        let settings = self.connect.redis_settings().clone().set_password(password);
        self.connect = self.connect.set_redis_settings(settings);
        self
    }

    /// With these bounds.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}

/// Live state in Redis. A cheap handle on one connection, which comes back by itself.
#[derive(Clone)]
pub struct Redis {
    db: ConnectionManager,
    keys: Arc<[String; 5]>,
    scripts: Arc<Scripts>,
    limits: Limits,
    clock: Clock,
}

struct Scripts {
    put: Script,
    begin: Script,
    clear: Script,
    changes: Script,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redis({})", self.keys[0])
    }
}

/// A script's answer: how it went, then texts.
type Answer = (i64, Vec<u8>);
/// Fields and values.
type Found = Vec<(Vec<u8>, Vec<u8>)>;

impl Redis {
    /// A handle. Nothing is connected before it is needed: that Redis is away is an error of each call, and passes.
    ///
    /// # Errors
    /// `Refused`, for an address that cannot be one.
    pub fn new(options: Options) -> Result<Self> {
        let client = Client::open(options.connect).map_err(|error| fault(&error))?;
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(ANSWER));
        let db = ConnectionManager::new_lazy_with_config(client, config).map_err(|error| fault(&error))?;
        let name = |what: &str| format!("{{{}}}:live:{what}", options.prefix);
        let keys = ["slots", "order", "emptied", "parts", "mark"].map(name);
        let scripts = Scripts {
            put: Script::new(include_str!("put.lua")),
            begin: Script::new(include_str!("begin.lua")),
            clear: Script::new(include_str!("clear.lua")),
            changes: Script::new(include_str!("changes.lua")),
        };
        Ok(Self { db, keys: keys.into(), scripts: scripts.into(), limits: options.limits, clock: options.clock })
    }

    fn script<'a>(&self, script: &'a Script) -> ScriptInvocation<'a> {
        let mut call = script.prepare_invoke();
        self.keys.iter().for_each(|key| _ = call.key(key));
        call
    }

    /// Runs a script that changes something; answers the cursor.
    async fn change(&self, call: ScriptInvocation<'_>, after: Option<u64>) -> Result<u64> {
        let (state, told): Answer = call.invoke_async(&mut self.db.clone()).await.map_err(|error| fault(&error))?;
        let told = number(&told)?;
        match state {
            0 => Ok(told),
            1 => Err(Error::Moved { wanted: after.unwrap_or_default(), cursor: told }),
            _ => Err(Error::TooLarge { what: "live slots", size: told as usize, limit: self.limits.slots }),
        }
    }

    /// What changed, at once: maybe nothing.
    async fn changed(&self, since: u64, limit: usize) -> Result<Changes> {
        let mut call = self.script(&self.scripts.changes);
        call.arg(since).arg(limit.max(1));
        let answer: Vec<redis::Value> = call.invoke_async(&mut self.db.clone()).await.map_err(|error| fault(&error))?;
        let odd = || corrupt("its answer has another form");
        let mut values = answer.into_iter();
        let state: i64 = redis::from_redis_value(values.next().ok_or_else(odd)?).map_err(|_| odd())?;
        let mut bytes = || -> Result<Option<Vec<u8>>> {
            values.next().map(|value| redis::from_redis_value(value).map_err(|_| odd())).transpose()
        };
        let told = number(&bytes()?.ok_or_else(odd)?)?;
        if state != 0 {
            return Err(Error::Lapsed { since, oldest: told });
        }
        let mut partials = Vec::new();
        while let (Some(field), Some(value)) = (bytes()?, bytes()?) {
            partials.push(partial(&field, &value)?);
        }
        Ok(Changes { cursor: told, partials })
    }

    async fn cursor(&self) -> Result<u64> {
        let mut ask = redis::cmd("HGET");
        ask.arg(&self.keys[4]).arg("cursor");
        let found: Option<u64> = ask.query_async(&mut self.db.clone()).await.map_err(|error| fault(&error))?;
        Ok(found.unwrap_or(0))
    }

    /// All slots in steps, then what changed meanwhile: so it is of one moment, and Redis is never held up for long.
    async fn whole(&self, prefix: &str) -> Result<Snapshot> {
        let mut cursor = self.cursor().await?;
        let mut slots: BTreeMap<Slot, Partial> = BTreeMap::new();
        let mut take = |partial: Partial| {
            match partial.value.is_some() && partial.slot.key.starts_with(prefix) {
                true => slots.insert(partial.slot.clone(), partial),
                false => slots.remove(&partial.slot),
            };
        };
        let (mut step, pattern) = (0_u64, pattern(prefix));
        loop {
            let mut scan = redis::cmd("HSCAN");
            scan.arg(&self.keys[0]).arg(step).arg("MATCH").arg(&pattern).arg("COUNT").arg(STEP);
            let (next, found): (u64, Found) =
                scan.query_async(&mut self.db.clone()).await.map_err(|error| fault(&error))?;
            for (field, value) in found {
                take(partial(&field, &value)?);
            }
            step = next;
            if step == 0 {
                break;
            }
        }
        loop {
            let changes = self.changed(cursor, STEP).await?;
            cursor = changes.cursor;
            if changes.partials.is_empty() {
                break;
            }
            changes.partials.into_iter().for_each(&mut take);
        }
        Ok(Snapshot { cursor, partials: slots.into_values().collect() })
    }
}

#[async_trait]
impl Live for Redis {
    async fn put(&self, partials: Vec<Partial>, after: Option<u64>) -> Result<u64> {
        let large = partials.iter().filter_map(|p| p.value.as_ref()).map(|value| value.len()).max().unwrap_or(0);
        if large > self.limits.value_bytes {
            return Err(Error::TooLarge { what: "bytes of a live value", size: large, limit: self.limits.value_bytes });
        }
        let mut call = self.script(&self.scripts.put);
        call.arg(self.limits.slots).arg(self.limits.emptied).arg(told(after)).arg(KEPT_S);
        for Partial { slot, version, value } in &partials {
            let part = slot.part.to_string();
            call.arg(field(&slot.key, &part)).arg(part).arg(version.epoch).arg(version.number);
            call.arg(u8::from(value.is_some())).arg(value.as_deref().unwrap_or_default());
        }
        self.change(call, after).await
    }

    async fn begin(&self, part: &Part, epoch: u64, after: Option<u64>) -> Result<u64> {
        let mut call = self.script(&self.scripts.begin);
        call.arg(self.limits.emptied).arg(told(after)).arg(part.to_string()).arg(epoch);
        self.change(call, after).await
    }

    async fn clear(&self, after: Option<u64>) -> Result<u64> {
        let mut call = self.script(&self.scripts.clear);
        call.arg(told(after));
        self.change(call, after).await
    }

    async fn snapshot(&self, prefix: &str) -> Result<Snapshot> {
        let mut outcome = self.whole(prefix).await;
        for _ in 1..AGAIN {
            if !matches!(outcome, Err(Error::Lapsed { .. })) {
                break;
            }
            outcome = self.whole(prefix).await;
        }
        outcome
    }

    async fn changes(&self, since: u64, limit: usize) -> Result<Changes> {
        loop {
            let changes = self.changed(since, limit).await?;
            if !changes.partials.is_empty() {
                return Ok(changes);
            }
            self.clock.sleep(LOOK).await;
        }
    }
}

fn told(after: Option<u64>) -> String {
    after.map(|cursor| cursor.to_string()).unwrap_or_default()
}

/// A slot's name: the view, a zero, the partition. A partition's name has no zero in it.
fn field(key: &str, part: &str) -> Vec<u8> {
    [key.as_bytes(), b"\0", part.as_bytes()].concat()
}

/// The pattern that finds names with this beginning.
fn pattern(prefix: &str) -> String {
    let mut pattern = String::new();
    for c in prefix.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '^' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('*');
    pattern
}

fn partial(field: &[u8], value: &[u8]) -> Result<Partial> {
    let name = std::str::from_utf8(field).map_err(|_| corrupt("a name is no text"))?;
    let (key, part) = name.rsplit_once('\0').ok_or_else(|| corrupt("a name has no partition"))?;
    let part = part.parse().map_err(|_| corrupt("a partition has another form"))?;
    let (head, body) = value.split_at_checked(HEAD).ok_or_else(|| corrupt("a value is too short"))?;
    let whole = |at: usize| {
        let bytes: [u8; 8] = head[at..at + 8].try_into().unwrap_or_default();
        f64::from_be_bytes(bytes) as u64
    };
    let version = Version { epoch: whole(0), number: whole(8) };
    Ok(Partial { slot: Slot { key: key.into(), part }, version, value: (head[24] == 1).then(|| body.into()) })
}

fn number(text: &[u8]) -> Result<u64> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or_else(|| corrupt("a cursor is no number"))
}

fn corrupt(reason: &str) -> Error {
    Error::Corrupt { what: "live state".to_owned(), reason: reason.to_owned() }
}

/// What an error of Redis means. Its texts name hosts and commands, never a password.
fn fault(error: &RedisError) -> Error {
    let text = error.to_string();
    match (error.kind(), error.code()) {
        (_, Some("OOM")) => Error::Full,
        (ErrorKind::AuthenticationFailed, _) | (_, Some("NOAUTH" | "WRONGPASS" | "NOPERM")) => {
            Error::Refused { place: "Redis".to_owned(), reason: text }
        }
        (ErrorKind::InvalidClientConfig, _) => Error::Refused { place: "Redis".to_owned(), reason: text },
        _ => Error::Storage(format!("Redis: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_shown_nowhere() {
        let options = Options::new("redis://:hunter2@host:6379/1", "x", Clock::manual(0)).unwrap().password("hunter2");
        assert!(!format!("{options:?}").contains("hunter2"));
        let told = Options::new("http://:hunter2@host", "x", Clock::manual(0)).unwrap_err().to_string();
        assert!(!told.contains("hunter2"), "{told}");
    }

    #[test]
    fn a_beginning_is_found_as_it_is_written() {
        assert_eq!(pattern("views/a*[b]?\\"), "views/a\\*\\[b\\]\\?\\\\*");
    }

    #[test]
    fn a_value_that_is_cut_or_misnamed_is_damage() {
        let value = [&1.0_f64.to_be_bytes()[..], &2.0_f64.to_be_bytes(), &3.0_f64.to_be_bytes(), &[1], b"x"].concat();
        let found = partial(b"queue/a\0b\0events.call/3", &value).unwrap();
        assert_eq!((&*found.slot.key, found.slot.part.number), ("queue/a\0b", 3));
        assert_eq!((found.version, found.value.as_deref()), (Version { epoch: 1, number: 2 }, Some(&b"x"[..])));
        assert!(partial(b"queue/a\0events.call/3", &value[..24]).is_err());
        assert!(partial(b"queue/a", &value).is_err());
    }
}
