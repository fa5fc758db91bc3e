//! What is so now: the items of the board, as they stand.

use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use model::{TenantId, Time};
use serde::{Deserialize, Serialize};
use service::http::{Principal, Problem};
use utoipa::{IntoParams, ToSchema};

use super::answer::Params;
use super::{Face, scope};
use crate::live::item::{LiveAgent, LiveCall, LiveDevice, LiveInterval, LiveQueue, LiveSource, LiveTeam, LiveTotals};
use crate::live::paint::key;
use crate::ws::feed::stamp_json;
use crate::ws::topic::{Filter, Selection, Topic};

/// Which items.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// Only items of these queues, separated by commas.
    pub queues: Option<String>,
    /// Only items of these teams, separated by commas.
    pub teams: Option<String>,
    /// Only items of these agents, separated by commas.
    pub agents: Option<String>,
    /// Only items of these sources, separated by commas.
    pub sources: Option<String>,
}

/// All items of a topic.
#[derive(Serialize, ToSchema)]
pub struct Page<T> {
    /// The topic.
    topic: String,
    /// When this was written.
    #[schema(value_type = String, format = DateTime)]
    time: Time,
    /// How old the figures were then, milliseconds; `null`: none came yet.
    age_ms: Option<i64>,
    /// Older than allowed: show them as such.
    stale: bool,
    /// The items.
    items: Vec<T>,
}

fn list(text: Option<&str>) -> std::collections::BTreeSet<String> {
    text.unwrap_or("").split(',').filter(|one| !one.is_empty()).map(str::to_owned).collect()
}

fn answer(face: &Face, principal: &Principal, topic: Topic, wanted: &Wanted) -> Response {
    let filter = Filter {
        queues: list(wanted.queues.as_deref()),
        teams: list(wanted.teams.as_deref()),
        agents: list(wanted.agents.as_deref()),
        sources: list(wanted.sources.as_deref()),
    };
    let selection = Selection { tenant: scope(principal).map(Into::into), topic, filter };
    let items: Vec<String> = face.hub.board(|board| {
        board.items(topic).filter(|item| selection.wants(&item.keys)).map(|item| item.json.clone()).collect()
    });
    let stamp = stamp_json(face.hub.stamp_at(face.now()).of(topic));
    json(format!(r#"{{"topic":"{topic}",{stamp},"items":[{}]}}"#, items.join(",")))
}

fn json(body: String) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

macro_rules! topics {
    ($($(#[$doc:meta])* $name:ident $path:literal $item:ident $topic:ident;)*) => {$(
        $(#[$doc])*
        #[utoipa::path(get, path = $path, tag = "live", params(Wanted), responses(
            (status = 200, description = "As it stands now.", body = Page<$item>),
            (status = 401, description = "A token is needed.", body = super::openapi::ProblemBody),
        ))]
        pub async fn $name(State(face): State<Face>, principal: Principal, Params(wanted): Params<Wanted>) -> Response {
            answer(&face, &principal, Topic::$topic, &wanted)
        }
    )*};
}

topics! {
    /// The headline figures of each tenant.
    totals "/v1/live/totals" LiveTotals Totals;
    /// Queues.
    queues "/v1/live/queues" LiveQueue Queues;
    /// Agents.
    agents "/v1/live/agents" LiveAgent Agents;
    /// Open calls.
    calls "/v1/live/calls" LiveCall Calls;
    /// Devices.
    devices "/v1/live/devices" LiveDevice Devices;
    /// Sources: the links to vendors.
    sources "/v1/live/sources" LiveSource Sources;
    /// Teams.
    teams "/v1/live/teams" LiveTeam Teams;
    /// Half hours of today and yesterday, of tenants and queues.
    intervals "/v1/live/intervals" LiveInterval Intervals;
}

/// One queue.
#[utoipa::path(get, path = "/v1/live/queues/{id}", tag = "live", params(("id" = String, Path, description = "The queue, or its key.")), responses(
    (status = 200, description = "As it stands now.", body = LiveQueue),
    (status = 404, description = "There is no such queue.", body = super::openapi::ProblemBody),
))]
pub async fn queue(
    State(face): State<Face>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let own = principal.tenant.as_str();
    let keys = [id.clone(), key(&TenantId::new(own), &id)];
    let found = face.hub.board(|board| {
        let item = keys.iter().filter_map(|key| board.get(Topic::Queues, key)).find(|i| principal.sees(&i.keys.tenant));
        item.map(|item| item.json.clone())
    });
    found.map(json).ok_or_else(|| Problem::not_found(format!("there is no queue {id:?}")))
}
