//! The door for operators and their tools: `/livez`, `/readyz`, `/healthz`, `/metrics`.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::Health;
use crate::health::Heartbeat;
use crate::http::Problem;
use crate::telemetry::Metrics;

/// The routes, over the health of every component of the process.
pub fn router(components: Vec<Health>, metrics: Metrics) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/healthz", get(healthz))
        .route("/metrics", get(render))
        .fallback(|| async { Problem::not_found("this door has /livez, /readyz, /healthz and /metrics") })
        .with_state(Door { components, metrics })
}

#[derive(Clone)]
struct Door {
    components: Vec<Health>,
    metrics: Metrics,
}

/// 200 while every loop turns; 503 naming those that stand still: restart the process.
async fn livez(State(door): State<Door>) -> Response {
    let stopped = door.components.iter().filter_map(|health| {
        health.stopped_pulse().map(|pulse| format!("{}: loop {pulse} stands still", health.component()))
    });
    verdict(stopped.collect(), "live")
}

/// 200 when every component may be sent work; 503 naming those that may not.
async fn readyz(State(door): State<Door>) -> Response {
    let waiting = door.components.iter().filter(|health| !health.is_ready()).map(|health| why_not(&health.report()));
    verdict(waiting.collect(), "ready")
}

fn why_not(report: &Heartbeat) -> String {
    let failed = report.checks.iter().filter(|(_, status)| status.state == crate::health::State::Failed);
    let mut reasons: Vec<String> = failed.map(|(name, status)| format!("{name} failed: {}", status.why)).collect();
    if report.draining {
        reasons.push("is draining".to_owned());
    }
    if reasons.is_empty() {
        reasons.push("has not started".to_owned());
    }
    format!("{}: {}", report.component, reasons.join("; "))
}

fn verdict(against: Vec<String>, word: &str) -> Response {
    if against.is_empty() {
        return (StatusCode::OK, format!("{word}\n")).into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("not {word}\n{}\n", against.join("\n"))).into_response()
}

/// Everything, for people.
async fn healthz(State(door): State<Door>) -> Response {
    axum::Json(door.components.iter().map(Health::report).collect::<Vec<_>>()).into_response()
}

async fn render(State(door): State<Door>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], door.metrics.render()).into_response()
}
