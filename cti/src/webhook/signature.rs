//! The signature of a hand-over, so that whoever receives it knows that it is ours and not an old one.
//!
//! `Tidegate-Signature: t=SECONDS,v1=HEX`: HMAC-SHA256 under the shared secret over `SECONDS.BODY`. The time is signed with the body, so
//! that neither can be taken for another one's; who receives it refuses what is older than [`WINDOW_S`], and an id that it knows.

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The header.
pub const HEADER: &str = "tidegate-signature";
/// A signature that is further off than this, seconds, is refused.
pub const WINDOW_S: i64 = 300;

/// Why a signature is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is not of the form `t=…,v1=…`.
    #[error("this is no signature")]
    Malformed,
    /// It is too old, or of the future.
    #[error("the signature is not of now")]
    Late,
    /// It is not that of this body under this secret.
    #[error("the signature is of another body or secret")]
    Wrong,
}

/// Signs a body at a time, seconds since the epoch.
pub fn sign(secret: &[u8], at_s: i64, body: &[u8]) -> String {
    format!("t={at_s},v1={}", hex::encode(mac(secret, at_s, body).finalize().into_bytes()))
}

/// Judges a signature as a receiver does; in constant time.
///
/// # Errors
/// Why it is not believed.
pub fn verify(secret: &[u8], header: &str, now_s: i64, body: &[u8]) -> Result<(), Error> {
    let (t, v1) = header.split_once(',').ok_or(Error::Malformed)?;
    let at_s: i64 = t.strip_prefix("t=").and_then(|t| t.parse().ok()).ok_or(Error::Malformed)?;
    let told = v1.strip_prefix("v1=").and_then(|v1| hex::decode(v1).ok()).ok_or(Error::Malformed)?;
    mac(secret, at_s, body).verify_slice(&told).map_err(|_| Error::Wrong)?;
    let off_s = now_s.checked_sub(at_s).and_then(i64::checked_abs).unwrap_or(i64::MAX);
    if off_s > WINDOW_S { Err(Error::Late) } else { Ok(()) }
}

fn mac(secret: &[u8], at_s: i64, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(format!("{at_s}.").as_bytes());
    mac.update(body);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_body_under_this_secret_at_this_time_is_believed() {
        let header = sign(b"secret", 1_000, b"{}");
        // printf '1000.{}' | openssl dgst -sha256 -hmac secret
        assert_eq!(header, "t=1000,v1=026360fb6284f077f1148b1ae7c62679730497810a6a0321574de01e8b009e7a");
        assert_eq!(verify(b"secret", &header, 1_300, b"{}"), Ok(()));
        assert_eq!(verify(b"secret", &header, 1_301, b"{}"), Err(Error::Late));
        assert_eq!(verify(b"secret", &header, 699, b"{}"), Err(Error::Late));
        assert_eq!(verify(b"secret", &header, 1_000, b"{ }"), Err(Error::Wrong));
        assert_eq!(verify(b"other", &header, 1_000, b"{}"), Err(Error::Wrong));
        assert_eq!(verify(b"secret", &header.replace("t=1000", "t=1300"), 1_300, b"{}"), Err(Error::Wrong));
        for bad in ["", "t=1", "t=x,v1=00", "v1=00,t=1", "t=1,v1=zz"] {
            assert_eq!(verify(b"secret", bad, 1, b""), Err(Error::Malformed), "{bad:?}");
        }
    }
}
