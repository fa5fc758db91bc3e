//! Attacks over HTTP.

use super::victim::{PATIENCE, PLACES, Tally, Victim, event, rest, status};
use anyhow::Result;
use futures::future::join_all;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// Wrong tokens of every shape, with a large batch that is never sent: the answer comes before it.
pub async fn strangers(victim: &Victim, tally: &mut Tally) -> Result<()> {
    let long = "x".repeat(8_000);
    let tokens =
        ["", "Bearer", "Bearer ", "Bearer tg_0", "Basic dXNlcjpwYXNz", "Bearer \u{e9}", &format!("Bearer {long}")];
    for token in tokens {
        for length in ["Content-Length: 4000000", "Transfer-Encoding: chunked"] {
            let head =
                format!("POST /v1/ingest HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {token}\r\n{length}\r\n\r\n");
            let mut stream = TcpStream::connect(victim.door).await?;
            stream.write_all(head.as_bytes()).await?;
            stream.shutdown().await?;
            let answer = rest(&mut stream, Duration::from_secs(1)).await;
            tally.expect("wrong token", &answer, &[401]);
        }
    }
    let signed = "POST /v1/ingest HTTP/1.1\r\nHost: x\r\ntidegate-signature: v1=00\r\ntidegate-timestamp: 1e999\r\nContent-Length: 2\r\n\r\n{}";
    tally.expect("wrong signature", &victim.raw(victim.door, signed.as_bytes()).await?, &[401]);
    Ok(())
}

/// A hundred megabytes, told or in chunks; a text of fifty; a batch of a million empty objects.
pub async fn large_bodies(victim: &Victim, tally: &mut Tally) -> Result<()> {
    let told = victim.head("Content-Length: 104857600\r\n");
    let mut stream = TcpStream::connect(victim.door).await?;
    stream.write_all(told.as_bytes()).await?;
    let piece = vec![b'{'; 1 << 16];
    for _ in 0..16 {
        if stream.write_all(&piece).await.is_err() {
            break;
        }
    }
    stream.shutdown().await.ok();
    tally.expect("100 MB, told", &rest(&mut stream, Duration::from_secs(1)).await, &[413]);

    let mut stream = TcpStream::connect(victim.door).await?;
    stream.write_all(victim.head("Transfer-Encoding: chunked\r\n").as_bytes()).await?;
    let chunk = [b"10000\r\n".as_slice(), &piece, b"\r\n"].concat();
    for _ in 0..1_600 {
        if !matches!(timeout(PATIENCE, stream.write_all(&chunk)).await, Ok(Ok(()))) {
            break;
        }
    }
    stream.write_all(b"0\r\n\r\n").await.ok();
    tally.expect("100 MB, in chunks", &rest(&mut stream, Duration::from_secs(1)).await, &[413]);

    let post = async |body: Vec<u8>| {
        let head = victim.head(&format!("Content-Length: {}\r\nConnection: close\r\n", body.len()));
        victim.raw(victim.door, &[head.into_bytes(), body].concat()).await
    };
    let text = event("big", "call.queued.v1", "big", &format!(r#"{{"queue":"{}"}}"#, "q".repeat(50 << 20)));
    tally.expect("a text of 50 MB", &post(text.into_bytes()).await?, &[413]);
    let text = event("big", "call.queued.v1", "big", &format!(r#"{{"queue":"{}"}}"#, "q".repeat(3 << 20)));
    let answer = post(text.into_bytes()).await?;
    tally.note("a name of 3 MB", (status(&answer) != 422 || !answer.contains("are allowed")).then_some(answer));
    tally.expect("a million empty objects", &post(b"{}\n".repeat(1_000_000)).await?, &[413]);
    let array = [b"[".as_slice(), &b"{},".repeat(1_000_000), b"{}]"].concat();
    tally.expect("a million empty objects", &post(array).await?, &[413]);
    Ok(())
}

/// JSON that parsers stumble over. Nothing of it may be accepted.
pub async fn odd_json(victim: &Victim, tally: &mut Tally) -> Result<()> {
    let good = |data: &str| event("odd", "call.queued.v1", "odd", data);
    let twice = good(r#"{"queue":"a"}"#).replace(r#""id":"odd""#, r#""id":"odd","id":"even""#);
    let bodies: Vec<(&str, Vec<u8>)> = vec![
        ("deep nesting", b"[".repeat(2_000_000)),
        ("deep nesting", [b"[".repeat(1_000_000), b"]".repeat(1_000_000)].concat()),
        ("deep nesting", good(&format!("{}1{}", "{\"a\":".repeat(9_000), "}".repeat(9_000))).into_bytes()),
        ("deep nesting", good(&format!(r#"{{"queue":{}1{}}}"#, "[".repeat(9_000), "]".repeat(9_000))).into_bytes()),
        ("a key twice", twice.into_bytes()),
        ("a key twice", good(r#"{"queue":"a","queue":"b"}"#).into_bytes()),
        ("an endless number", good(r#"{"queue":"a","priority":1e999}"#).into_bytes()),
        ("an endless number", good(r#"{"queue":"a","position":-1}"#).into_bytes()),
        ("an endless number", good(r#"{"queue":"a"}"#).replace(r#""data""#, r#""seq":1e999,"data""#).into_bytes()),
        ("an endless number", good(&format!(r#"{{"queue":"a","priority":{}}}"#, "9".repeat(60_000))).into_bytes()),
        ("not UTF-8", [good(r#"{"queue":"a"#).as_bytes(), b"\xff\xfe\"}}"].concat()),
        ("not UTF-8", b"\xef\xbb\xbf{}".to_vec()),
        ("lone surrogate", good(r#"{"queue":"\ud800"}"#).into_bytes()),
        ("half an event", good(r#"{"queue":"a""#).into_bytes()),
        ("nothing", Vec::new()),
        ("nothing", b"\0\0\0\0".to_vec()),
        ("no event", b"null".to_vec()),
        ("no event", b"[[[]]]".to_vec()),
        ("no event", b"{}".to_vec()),
        (
            "a time that cannot be",
            good(r#"{"queue":"a"}"#).replace("\"time\":\"2", "\"time\":\"+999999-99-99T99:99:99Z 2").into_bytes(),
        ),
    ];
    for (kind, body) in bodies {
        let head = victim.head(&format!("Content-Length: {}\r\nConnection: close\r\n", body.len()));
        let answer = victim.raw(victim.door, &[head.into_bytes(), body].concat()).await?;
        let refused = matches!(status(&answer), 400) && answer.contains("\"code\":\"TG")
            || status(&answer) == 422 && answer.contains("\"accepted\":0") && answer.contains("\"reason\":");
        tally.note(kind, (!refused).then_some(answer));
    }
    Ok(())
}

/// Requests that two servers in a row would cut differently. What is hidden behind them must never be done.
pub async fn smuggling(victim: &Victim, tally: &mut Tally) -> Result<()> {
    let hidden = event("smuggled", "call.queued.v1", "smuggled", r#"{"queue":"smuggled"}"#);
    let hidden = format!("{}{hidden}", victim.head(&format!("Content-Length: {}\r\n", hidden.len())));
    let length = hidden.len();
    let shapes = [
        ("two lengths", format!("Content-Length: 2\r\nContent-Length: {length}\r\n")),
        ("two lengths", format!("Content-Length: 2, {length}\r\n")),
        ("a signed length", "Content-Length: +2\r\n".to_owned()),
        ("a signed length", "Content-Length: -2\r\n".to_owned()),
        ("an endless length", "Content-Length: 99999999999999999999999\r\n".to_owned()),
        ("a length in hex", "Content-Length: 0x2\r\n".to_owned()),
        ("a blank before the colon", "Transfer-Encoding : chunked\r\n".to_owned()),
        ("a blank before the colon", "Content-Length : 2\r\n".to_owned()),
        ("an unknown encoding", "Transfer-Encoding: xchunked\r\n".to_owned()),
        ("an unknown encoding", "Transfer-Encoding: chunked, identity\r\n".to_owned()),
        ("a folded header", "Transfer-Encoding:\r\n chunked\r\n".to_owned()),
        ("a header with a lone CR", "X: a\rTransfer-Encoding: chunked\r\nContent-Length: 2\r\n".to_owned()),
        ("a header with a NUL", "X: a\0b\r\nContent-Length: 2\r\n".to_owned()),
    ];
    for (kind, lengths) in shapes {
        let answer = victim.raw(victim.door, format!("{}{{}}{hidden}", victim.head(&lengths)).as_bytes()).await?;
        // The first is refused, and nothing behind it is even read.
        let refused = matches!(status(&answer), 400 | 501) || answer.is_empty();
        tally.note(kind, (!refused || answer.matches("HTTP/1.1").count() > 1).then_some(answer));
    }
    // Both: the chunks count, as RFC 9112 has it; or it is refused.
    let both =
        format!("{}0\r\n\r\n", victim.head(&format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n")));
    let answer = victim.raw(victim.door, both.as_bytes()).await?;
    tally.note("a length and chunks", (status(&answer) != 400).then_some(answer));
    for size in ["FFFFFFFFFFFFFFFFF", "-1", "0x5", "5;\n", ""] {
        let bad = format!("{}{size}\r\n{hidden}\r\n0\r\n\r\n", victim.head("Transfer-Encoding: chunked\r\n"));
        let answer = victim.raw(victim.door, bad.as_bytes()).await?;
        tally.note("a chunk of an odd size", (status(&answer) != 400 && !answer.is_empty()).then_some(answer));
    }
    Ok(())
}

/// Requests that are hardly any, to both faces.
pub async fn odd_requests(victim: &Victim, tally: &mut Tally) -> Result<()> {
    let many: String = (0..300).map(|n| format!("X-{n}: y\r\n")).collect();
    let requests: [(&str, Vec<u8>); 9] = [
        ("an endless line", [b"GET /".as_slice(), &b"a".repeat(1 << 20), b" HTTP/1.1\r\n\r\n"].concat()),
        ("an endless header", [b"GET / HTTP/1.1\r\nX: ".as_slice(), &b"a".repeat(1 << 20), b"\r\n\r\n"].concat()),
        ("three hundred headers", format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n").into_bytes()),
        ("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(10)),
        ("no HTTP", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ("no HTTP", b"HELO example.org\r\n".to_vec()),
        ("an odd version", b"GET / HTTP/9.9\r\nHost: x\r\n\r\n".to_vec()),
        (
            "an odd target",
            b"GET http://evil.example/../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec(),
        ),
        (
            "an odd target",
            b"GET /%00%ff%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec(),
        ),
    ];
    for (kind, bytes) in requests {
        for to in [victim.face, victim.door] {
            let answer = victim.raw(to, &bytes).await?;
            // No HTTP, no answer; otherwise one of the four hundreds.
            let refused = answer.is_empty() || (400..500).contains(&status(&answer)) || status(&answer) == 505;
            tally.note(kind, (!refused).then_some(answer));
        }
    }
    let absurd = [
        "/v1/reports/intervals?from=0000-00-00&to=9999-99-99",
        "/v1/reports/intervals?interval=1e999m&by=%ff",
        "/v1/reports/intervals?interval=1m&from=1970-01-01&to=2100-01-01&fill=true",
        "/v1/reports/calls?limit=99999999999999999999",
        "/v1/reports/calls?cursor=%00%ff%fe",
        "/v1/calls/%2e%2e%2f%2e%2e",
        "/v1/live/queues/%f0%28%8c%28",
    ];
    for path in absurd {
        let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        tally.expect("an absurd question", &victim.raw(victim.face, request.as_bytes()).await?, &[400, 404, 413, 422]);
    }
    Ok(())
}

/// Heads and bodies a byte at a time, and half requests that end: they take nothing from others.
pub async fn slow_senders(victim: &Victim, tally: &mut Tally) -> Result<()> {
    let body = victim.head("Content-Length: 4000000\r\n");
    let mut slow = Vec::new();
    for n in 0..100 {
        let mut stream = TcpStream::connect(victim.door).await?;
        if n % 2 == 0 {
            stream.write_all(body.as_bytes()).await?;
        }
        slow.push(stream);
    }
    let head = b"POST /v1/ingest HTTP/1.1\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaa";
    for byte in head.iter().take(30) {
        join_all(slow.iter_mut().map(|stream| stream.write_all(std::slice::from_ref(byte)))).await;
        sleep(Duration::from_millis(100)).await;
    }
    for stream in slow {
        drop(stream);
        tally.note("a byte at a time", None); // judged by the witness: the others were served
    }
    for cut in (1..body.len()).step_by(7) {
        let mut stream = TcpStream::connect(victim.door).await?;
        stream.write_all(&body.as_bytes()[..cut]).await?;
        drop(stream);
        tally.note("half a request", None);
    }
    // Its body does not come: it is told so.
    let mut stream = TcpStream::connect(victim.door).await?;
    stream.write_all(format!("{body}{{").as_bytes()).await?;
    let answer = timeout(Duration::from_secs(90), rest(&mut stream, Duration::from_secs(40))).await;
    let _ = answer; // within its time in another test: here only that nobody is harmed
    tally.note("a body that does not come", None);
    Ok(())
}

/// More silent connections than there are places: an honest one is served all the same, within seconds.
pub async fn silent_crowd(victim: &Victim, tally: &mut Tally) -> Result<()> {
    let mut silent = Vec::new();
    for n in 0..PLACES + 100 {
        let mut stream = TcpStream::connect(victim.door).await?;
        if n % 3 == 0 {
            stream.write_all(b"POST /v1/ingest HTTP/1.1\r\n").await?;
        }
        silent.push(stream);
        tally.note("a silent connection", None);
    }
    let begun = Instant::now();
    let good =
        victim.raw(victim.door, b"GET /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").await?;
    let waited = begun.elapsed();
    tally.note(
        "a silent crowd",
        (status(&good) != 404).then(|| format!("an honest request got {good:?} after {waited:?}")),
    );
    let mut idle = Vec::new();
    for _ in 0..1_000 {
        idle.push(TcpStream::connect(victim.face).await?);
        tally.note("a silent connection", None);
    }
    sleep(Duration::from_secs(1)).await;
    drop((silent, idle));
    Ok(())
}

/// Questions without end whose answers nobody reads.
pub async fn readers_that_never_read(victim: &Victim, tally: &mut Tally) -> Result<()> {
    let ask = b"GET /v1/openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".repeat(2_000);
    let mut streams = Vec::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(victim.face).await?;
        // It stops taking questions when its answers are not taken.
        let _ = timeout(Duration::from_millis(50), stream.write_all(&ask)).await;
        streams.push(stream);
        tally.note("a reader that never reads", None);
    }
    sleep(Duration::from_secs(2)).await;
    Ok(())
}
