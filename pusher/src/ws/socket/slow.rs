//! Clients that do not read, over a pipe of four kilobytes and on a clock that stands still.
#![allow(clippy::disallowed_methods, reason = "a test's tasks end with it")]

use futures::StreamExt;
use service::http::auth::Auth;
use service::{Drain, http::Role};
use tokio::io::DuplexStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::protocol;

use super::*;
use crate::ws::board::Item;
use crate::ws::feed::{Ring, Stamp};
use crate::ws::hub::Bounds;
use crate::ws::topic::{Keys, Topic};

const PATIENCE: Duration = Duration::from_secs(10);

struct Line {
    hub: Arc<Hub>,
    clock: Clock,
    places: Arc<Semaphore>,
    client: WebSocketStream<DuplexStream>,
    server: JoinHandle<()>,
}

fn door(clock: &Clock) -> Arc<Door> {
    let ring = Ring { frames: 16, bytes: 1 << 20 };
    let bounds = Bounds { feeds: 2, ring, linger: PATIENCE, stale_after: PATIENCE };
    let session = Limits { subscriptions: 2, filter_values: 1, errors: 1, id_bytes: 8 };
    Arc::new(Door {
        hub: Arc::new(Hub::new("e".into(), bounds)),
        guard: Auth::default().guard(),
        origins: Origins::default(),
        rules: Rules {
            session,
            message_bytes: 1 << 10,
            unsent_bytes: 1 << 10,
            messages_per_second: 1.0,
            messages_burst: 5.0,
            write_timeout: PATIENCE,
            auth_timeout: PATIENCE,
            ping_every: 100 * PATIENCE,
        },
        places: Arc::new(Semaphore::new(1)),
        tasks: Tasks::new("sockets", 1, clock.clone(), Drain::new()),
        clock: clock.clone(),
    })
}

impl Line {
    /// A client that subscribed and had its snapshot.
    async fn open() -> Line {
        let clock = Clock::manual(0);
        let door = door(&clock);
        let (hub, places) = (Arc::clone(&door.hub), Arc::clone(&door.places));
        let (ours, theirs) = tokio::io::duplex(4 << 10);
        let socket = WebSocketStream::from_raw_socket(ours, protocol::Role::Server, None).await;
        let who = Principal { name: "board".into(), tenant: "*".into(), role: Role::Viewer };
        let place = Arc::clone(&places).try_acquire_owned().ok();
        let server = tokio::spawn(async move { Connection::new(door, socket).run(Some(who), place).await });
        let client = WebSocketStream::from_raw_socket(theirs, protocol::Role::Client, None).await;
        let mut line = Line { hub, clock, places, client, server };
        line.client.send(Message::text(r#"{"op":"subscribe","id":"s","topics":["queues"]}"#)).await.unwrap();
        assert!(line.read().await.unwrap().contains("subscribed"));
        assert!(line.read().await.unwrap().contains("snapshot"));
        line
    }

    async fn update(&self, number: usize) {
        let json = format!(r#"{{"key":"a","n":{number},"{}":0}}"#, "x".repeat(1_000));
        let item = Item { key: "a".into(), keys: Keys::default(), json, settled: false };
        self.hub.board(|board| board.put(Topic::Queues, item));
        self.hub.publish(Stamp::default());
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    /// The next text; the close code when there is none.
    async fn read(&mut self) -> Result<String, u16> {
        match self.client.next().await {
            Some(Ok(Message::Text(text))) => Ok(text.to_string()),
            Some(Ok(Message::Close(Some(frame)))) => Err(frame.code.into()),
            other => panic!("neither text nor a close code: {other:?}"),
        }
    }
}

#[tokio::test]
async fn who_reads_again_in_time_has_the_state_of_now_in_a_few_frames() {
    let mut line = Line::open().await;
    for number in 0..200 {
        line.update(number).await;
    }
    let mut frames = Vec::new();
    while !frames.last().is_some_and(|text: &String| text.contains(r#""n":199,"#)) {
        frames.push(line.read().await.unwrap());
    }
    // What the pipe held, what was being written, and all the rest in one.
    assert!(frames.len() <= 6, "{} frames", frames.len());
    assert!(frames.last().unwrap().len() < 2_000, "the item once, as it is now");
}

#[tokio::test]
async fn who_reads_too_late_gets_whole_frames_and_is_told_to_come_back() {
    let mut line = Line::open().await;
    for number in 0..20 {
        line.update(number).await;
    }
    assert_eq!(line.places.available_permits(), 0);
    line.clock.advance(PATIENCE).await;
    let mut last = String::new();
    let code = loop {
        match line.read().await {
            Ok(text) => last = text,
            Err(code) => break code,
        }
    };
    assert_eq!(code, 4001);
    assert!(last.ends_with('}') && !last.contains(r#""n":19,"#), "what it did not take is not sent after it: {last}");
    line.server.await.unwrap();
    assert_eq!(line.places.available_permits(), 1);
}

#[tokio::test]
async fn who_never_reads_again_is_let_go_and_its_place_is_free() {
    let line = Line::open().await;
    for number in 0..20 {
        line.update(number).await;
    }
    line.clock.advance(2 * PATIENCE).await;
    line.server.await.unwrap();
    assert_eq!(line.places.available_permits(), 1);
}
