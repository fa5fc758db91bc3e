//! What the figures mean, and how far they can be trusted.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use model::Time;
use serde::Serialize;
use serde_json::{Value, json};
use service::http::{Principal, Problem};
use stats::metric;
use stats::policy::{self, Policy};
use utoipa::ToSchema;

use super::answer::{failed, tagged};
use super::openapi::ProblemBody;
use super::{Face, scope};
use crate::report::base;

/// Every metric with its definition, formula, unit and closest vendor term, in English and Chinese; and every service-level policy.
#[utoipa::path(get, path = "/v1/metrics/dictionary", tag = "meta", responses(
    (status = 200, description = "`version`, `metrics`, `policies`.", body = Value),
    (status = 304, description = "As the asker has it (If-None-Match)."),
))]
pub async fn dictionary(headers: HeaderMap) -> Response {
    let policies = policy::IDS.iter().filter_map(|id| {
        let policy = Policy::parse(id).ok()?;
        let (formula, used_by) = (policy.formula(), policy.used_by());
        Some(json!({ "id": id, "version": Policy::VERSION, "formula": formula, "used_by": used_by }))
    });
    let body = json!({
        "version": metric::VERSION,
        "metrics": metric::DICTIONARY,
        "policies": policies.collect::<Vec<_>>(),
    });
    tagged(&headers, "application/json", body.to_string().into_bytes())
}

/// A source and when we were blind.
#[derive(Serialize, ToSchema)]
pub struct SourceBody {
    /// The source.
    id: String,
    /// Whose.
    tenant: String,
    /// The name for people.
    name: String,
    /// The adapter kind.
    vendor: String,
    /// The vendor's version, in its own words.
    version: Option<String>,
    /// Whether the link is up; `null`: nobody said.
    connected: Option<bool>,
    /// Since when nothing of it can be believed; `null`: it can.
    #[schema(value_type = Option<String>, format = DateTime)]
    lost_since: Option<Time>,
    /// The last heartbeat.
    #[schema(value_type = Option<String>, format = DateTime)]
    heartbeat_at: Option<Time>,
    /// When something was last heard.
    #[schema(value_type = String, format = DateTime)]
    last_at: Time,
    /// When we were blind, the last thousand times: `from`, `to`, `reason`.
    #[schema(value_type = Vec<Value>)]
    gaps: Vec<stats::live::Gap>,
}

async fn known(face: &Face, principal: &Principal) -> Result<Vec<SourceBody>, Problem> {
    let now = face.now();
    let sources = base::sources(&*face.reports).await.map_err(failed)?;
    let seen = sources.into_values().filter(|source| principal.sees(source.tenant.as_str()));
    let body = seen.map(|source| {
        let named = face.directory.sources.get(&source.source).map(|source| source.name.clone());
        SourceBody {
            id: source.source.to_string(),
            tenant: source.tenant.to_string(),
            name: named.filter(|name| !name.is_empty()).unwrap_or_else(|| source.source.to_string()),
            connected: source.connected,
            lost_since: source.lost_since(now),
            heartbeat_at: source.heartbeat_at,
            last_at: source.last_at,
            vendor: source.vendor,
            version: source.version,
            gaps: source.gaps,
        }
    });
    Ok(body.collect())
}

/// Sources, and when we were blind.
#[utoipa::path(get, path = "/v1/sources", tag = "meta", responses(
    (status = 200, description = "Sources in order of id.", body = Vec<SourceBody>),
    (status = 503, description = "The store is busy.", body = ProblemBody),
))]
pub async fn sources(State(face): State<Face>, principal: Principal, headers: HeaderMap) -> Result<Response, Problem> {
    let body = serde_json::to_vec(&known(&face, &principal).await?).map_err(|error| Problem::internal(&error))?;
    Ok(tagged(&headers, "application/json", body))
}

/// How far the figures can be trusted now: their age, how far each partition is folded, lost sources.
#[utoipa::path(get, path = "/v1/quality", tag = "meta", responses(
    (status = 200, description = "`live` (time, age_ms, stale), `progress` per partition (all-tenant tokens only), `lost` sources.", body = Value),
    (status = 503, description = "The store is busy.", body = ProblemBody),
))]
pub async fn quality(State(face): State<Face>, principal: Principal, headers: HeaderMap) -> Result<Response, Problem> {
    let stamp = face.hub.stamp_at(face.now());
    let progress = face.reports.progress().await.map_err(|error| failed(error.into()))?;
    let progress =
        progress.into_iter().map(|p| json!({ "partition": p.part.to_string(), "owner": p.owner, "next": p.next }));
    let progress: Vec<Value> = if scope(&principal).is_none() { progress.collect() } else { Vec::new() };
    let lost = known(&face, &principal).await?.into_iter().filter(|source| source.lost_since.is_some());
    let lost: Vec<Value> = lost.map(|source| json!({ "id": source.id, "lost_since": source.lost_since })).collect();
    let live = json!({ "time": stamp.time, "age_ms": stamp.age_ms, "stale": stamp.stale });
    let body = json!({ "live": live, "progress": progress, "lost": lost });
    Ok(tagged(&headers, "application/json", body.to_string().into_bytes()))
}
