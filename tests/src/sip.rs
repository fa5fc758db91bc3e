//! As much of SIP over UDP (RFC 3261) as a desk phone of these tests speaks: messages, dialogs, SDP. No retransmission:
//! everything stays on loopback.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

/// One SIP message: a start line, headers in their order, a body.
#[derive(Clone, Debug)]
pub struct Message {
    /// `INVITE sip:… SIP/2.0` or `SIP/2.0 200 OK`.
    pub start: String,
    headers: Vec<(String, String)>,
    /// What follows the empty line.
    pub body: String,
}

impl Message {
    /// Reads a datagram; nothing if it is not SIP at all.
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(datagram);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let start = lines.next()?.to_owned();
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Some(Self { start, headers, body: body.to_owned() })
    }

    /// The first header of this (lower-case) name, or an empty string.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// The status of a response; nothing for a request.
    pub fn status(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.split(' ').next()?.parse().ok()
    }

    /// The method: of the request itself, or of the request that a response answers.
    pub fn method(&self) -> &str {
        self.header("cseq").split(' ').nth(1).unwrap_or("")
    }

    /// The sequence number of the request, or of the request that a response answers.
    pub fn sequence(&self) -> u32 {
        self.header("cseq").split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0)
    }

    /// The address between the angle brackets of `Contact`.
    pub fn contact(&self) -> Option<&str> {
        self.header("contact").split_once('<')?.1.split('>').next()
    }

    /// The answer to this request: `200 OK` and the like, with our tag on `To` if it has none.
    pub fn answer(&self, status: &str, tag: &str, contact: &str, sdp: Option<&str>) -> String {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for (_, via) in self.headers.iter().filter(|(name, _)| name == "via") {
            text += &format!("Via: {via}\r\n");
        }
        let to = self.header("to");
        let to = if tag_of(to).is_empty() { format!("{to};tag={tag}") } else { to.to_owned() };
        text += &format!("From: {}\r\nTo: {to}\r\nCall-ID: {}\r\n", self.header("from"), self.header("call-id"));
        text += &format!("CSeq: {}\r\nContact: <{contact}>\r\n", self.header("cseq"));
        finish(text, sdp)
    }
}

/// One side of a call as this phone keeps it.
#[derive(Clone, Debug)]
pub struct Dialog {
    /// `Call-ID`.
    pub call: String,
    /// Our name and tag, as it stands in `From` of our requests.
    pub local: String,
    /// The other side's name and (once known) tag.
    pub remote: String,
    /// Where our requests go.
    pub target: String,
    sequence: u32,
}

impl Dialog {
    /// The dialog that an INVITE opens at the phone it reaches.
    pub fn called(invite: &Message, tag: &str) -> Self {
        Self {
            call: invite.header("call-id").to_owned(),
            local: format!("{};tag={tag}", invite.header("to")),
            remote: invite.header("from").to_owned(),
            target: invite.contact().unwrap_or_default().to_owned(),
            sequence: 1,
        }
    }

    /// The dialog that this phone opens towards `extension`.
    pub fn calling(user: &str, extension: &str, pbx: SocketAddr) -> Self {
        let host = pbx.ip();
        Self {
            call: format!("{}@{user}", unique("call")),
            local: format!("<sip:{user}@{host}>;tag={}", unique("tag")),
            remote: format!("<sip:{extension}@{host}>"),
            target: format!("sip:{extension}@{pbx}"),
            sequence: 0,
        }
    }

    /// The next request of this dialog; `ACK` repeats the number it acknowledges, which is the last one sent.
    pub fn request(&mut self, method: &str, own: SocketAddr, user: &str, extra: &str, sdp: Option<&str>) -> String {
        if method != "ACK" {
            self.sequence += 1;
        }
        let text = format!(
            "{method} {} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\n\
             Call-ID: {}\r\nCSeq: {} {method}\r\nContact: <sip:{user}@{own}>\r\n{extra}",
            self.target,
            unique("b"),
            self.local,
            self.remote,
            self.call,
            self.sequence
        );
        finish(text, sdp)
    }

    /// The value of `Replaces` (RFC 3891) that names this dialog to the other side, escaped for a URI.
    pub fn replaces(&self) -> String {
        let call = self.call.replace('@', "%40");
        format!("{call}%3Bto-tag%3D{}%3Bfrom-tag%3D{}", tag_of(&self.remote), tag_of(&self.local))
    }
}

/// The tag of a `From` or `To` value, or an empty string.
pub fn tag_of(value: &str) -> &str {
    value.split_once(";tag=").map_or("", |(_, tag)| tag.split(';').next().unwrap_or(""))
}

/// An offer or answer of µ-law audio; `direction` is `sendrecv`, or `sendonly` to put the other side on hold.
pub fn sdp(own: SocketAddr, version: u32, direction: &str) -> String {
    let ip = own.ip();
    format!(
        "v=0\r\no=phone 1 {version} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {} RTP/AVP 0\r\n\
         a=rtpmap:0 PCMU/8000\r\na={direction}\r\n",
        own.port() + 400
    )
}

/// A name that no other dialog, tag or branch of this process has.
pub fn unique(prefix: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{prefix}{}x{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn finish(mut text: String, sdp: Option<&str>) -> String {
    if sdp.is_some() {
        text += "Content-Type: application/sdp\r\n";
    }
    let body = sdp.unwrap_or("");
    text + &format!("Content-Length: {}\r\n\r\n{body}", body.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &[u8] = b"INVITE sip:104@127.0.0.1:15104 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:15060;branch=z1\r\n\
        From: \"4930\" <sip:4930@127.0.0.1>;tag=abc\r\nTo: <sip:104@127.0.0.1>\r\nContact: <sip:asterisk@127.0.0.1:15060>\r\n\
        Call-ID: c1\r\nCSeq: 7 INVITE\r\nContent-Length: 0\r\n\r\n";

    #[test]
    fn an_answer_carries_the_way_back_and_our_tag() {
        let invite = Message::parse(INVITE).expect("a message");
        let ok = invite.answer("200 OK", "mine", "sip:104@127.0.0.1:15104", Some("v=0\r\n"));
        let ok = Message::parse(ok.as_bytes()).expect("a message");
        assert_eq!(ok.status(), Some(200));
        assert_eq!(tag_of(ok.header("to")), "mine");
        assert_eq!(ok.header("via"), "SIP/2.0/UDP 127.0.0.1:15060;branch=z1");
        assert_eq!(ok.header("content-length"), "5");
    }

    #[test]
    fn a_called_phone_sends_its_requests_to_the_contact_with_tags_swapped() {
        let invite = Message::parse(INVITE).expect("a message");
        let mut dialog = Dialog::called(&invite, "mine");
        let own = "127.0.0.1:15104".parse().expect("an address");
        let bye = Message::parse(dialog.request("BYE", own, "104", "", None).as_bytes()).expect("a message");
        assert!(bye.start.starts_with("BYE sip:asterisk@127.0.0.1:15060 "));
        assert_eq!((tag_of(bye.header("from")), tag_of(bye.header("to"))), ("mine", "abc"));
        assert_eq!(bye.sequence(), 2);
    }
}
