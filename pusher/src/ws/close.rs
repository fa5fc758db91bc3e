//! Close codes: each tells the client what to do next.

/// Why the server closes a connection. 4000 to 4499: reconnect (with backoff). 4500 to 4999: stop, a person must act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// The server stops; another, or the same, will be there soon.
    GoingAway,
    /// The client took longer than the write timeout to accept what was sent.
    TooSlow,
    /// The client answered no ping.
    Silent,
    /// The server has as many connections as it may have.
    Full,
    /// No token came within the time for it.
    AuthTimeout,
    /// The token is unknown.
    BadToken,
    /// Too many messages that could not be understood.
    TooManyErrors,
    /// A binary message, or one beyond the size limit.
    BadFrame,
    /// More messages than the rate limit allows.
    TooFast,
}

impl Close {
    /// Every reason.
    pub const ALL: [Close; 9] = [
        Close::GoingAway,
        Close::TooSlow,
        Close::Silent,
        Close::Full,
        Close::AuthTimeout,
        Close::BadToken,
        Close::TooManyErrors,
        Close::BadFrame,
        Close::TooFast,
    ];

    /// The code on the wire.
    pub const fn code(self) -> u16 {
        match self {
            Close::GoingAway => 4000,
            Close::TooSlow => 4001,
            Close::Silent => 4002,
            Close::Full => 4003,
            Close::AuthTimeout => 4500,
            Close::BadToken => 4501,
            Close::TooManyErrors => 4502,
            Close::BadFrame => 4503,
            Close::TooFast => 4504,
        }
    }

    /// The reason on the wire.
    pub const fn reason(self) -> &'static str {
        match self {
            Close::GoingAway => "going_away",
            Close::TooSlow => "too_slow",
            Close::Silent => "silent",
            Close::Full => "full",
            Close::AuthTimeout => "auth_timeout",
            Close::BadToken => "bad_token",
            Close::TooManyErrors => "too_many_errors",
            Close::BadFrame => "bad_frame",
            Close::TooFast => "too_fast",
        }
    }

    /// Whether the client is to come back by itself.
    pub const fn reconnect(self) -> bool {
        self.code() < 4500
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_close_code_stands_in_the_specification() {
        let spec = include_str!("../../../docs/spec/websocket.md");
        for close in Close::ALL {
            let row = format!("| {} | `{}` |", close.code(), close.reason());
            assert!(spec.contains(&row), "docs/spec/websocket.md lacks {row}");
            assert!((4000..5000).contains(&close.code()));
        }
    }
}
