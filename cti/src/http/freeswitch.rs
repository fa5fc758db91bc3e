//! The two forms that FreeSWITCH understands: a line of text (`mod_curl`) and a document of actions (`mod_httapi`).
//!
//! Both are asked with parameters, of the query or of a form. `mod_httapi` brings the names of its own channel variables, which stand in
//! where ours are not given: `Unique-ID`, `Caller-Caller-ID-Number`, `Caller-Destination-Number`.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use service::http::Problem;

use super::{Door, parameters};
use crate::ask::{Answer, Ask};

/// `TARGET|ADDRESS|REASON|LEVEL|PLAN`, and no line end: as much as `mod_curl` hands to a regular expression.
pub(super) async fn text(
    State(door): State<Arc<Door>>,
    query: RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let answer = ask(&door, query, &headers, body).await?;
    let said = [("target", answer.target.as_str()), ("address", answer.address.as_deref().unwrap_or(""))];
    if let Some((what, _)) = said.iter().find(|(_, text)| text.contains('|') || text.chars().any(char::is_control)) {
        return Err(Problem::conflict(format!("the {what} of the plan cannot be said in this form")));
    }
    let (target, address, reason) = (said[0].1, said[1].1, answer.reason.as_str());
    let line = format!("{target}|{address}|{reason}|{}|{}", answer.level, answer.plan);
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))], line).into_response())
}

/// A document that sets `tidegate_target`, `tidegate_address`, `tidegate_reason`, `tidegate_level` and `tidegate_plan`, and lets the
/// dialplan go on.
pub(super) async fn httapi(
    State(door): State<Arc<Door>>,
    query: RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let answer = ask(&door, query, &headers, body).await?;
    let document = document(&answer);
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("text/xml; charset=utf-8"))], document).into_response())
}

async fn ask(door: &Door, query: RawQuery, headers: &HeaderMap, body: Body) -> Result<Answer, Problem> {
    let began = door.clock.monotonic();
    let who = door.operator(headers)?;
    let Some(form) = door.body(body).await? else { return Ok(door.gate.late()) };
    let given = parameters(query, &form);
    let find = |names: &[&str]| {
        let of = |name: &&str| given.iter().find(|(key, value)| key == name && !value.is_empty());
        names.iter().find_map(of).map(|(_, value)| value.clone())
    };
    let needed = |names: &[&str]| find(names).ok_or_else(|| Problem::bad_request(format!("{} is missing", names[0])));
    let ask = Ask {
        source: needed(&["source"])?.into(),
        call: needed(&["call", "Unique-ID", "session_id"])?.into(),
        queue: needed(&["queue"])?.into(),
        caller: find(&["caller", "Caller-Caller-ID-Number"]),
        dialled: find(&["dialled", "Caller-Destination-Number"]),
        language: find(&["language"]),
        returned: find(&["returned"]).is_some_and(|said| said == "1"),
    };
    door.answer(who, &ask, began)
}

fn document(answer: &Answer) -> String {
    let (level, plan) = (answer.level.to_string(), answer.plan.to_string());
    let variables = [
        ("tidegate_target", answer.target.as_str()),
        ("tidegate_address", answer.address.as_deref().unwrap_or("")),
        ("tidegate_reason", answer.reason.as_str()),
        ("tidegate_level", &level),
        ("tidegate_plan", &plan),
    ];
    let mut document = String::from("<document type=\"xml/freeswitch-httapi\">\n<params/>\n<work>\n");
    for (name, value) in variables {
        let _ = writeln!(document, "<execute application=\"set\" data=\"{name}={}\"/>", escaped(value));
    }
    document + "<break/>\n</work>\n</document>\n"
}

/// Text within an attribute; what XML cannot hold is left out.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars().filter(|letter| !letter.is_control()) {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::Why;

    #[test]
    fn a_document_cannot_be_broken_out_of() {
        let answer = Answer { address: Some("\"/><hangup x=\"&\n".into()), ..Answer::enter(Why::Room) };
        let document = document(&answer);
        assert!(document.contains("data=\"tidegate_address=&quot;/&gt;&lt;hangup x=&quot;&amp;\"/>"), "{document}");
        assert_eq!(document.matches("<execute").count(), 5);
    }
}
