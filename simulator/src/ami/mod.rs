//! The AMI side: what a listener of the PBX sees of the centre.

pub(crate) mod answer;
pub(crate) mod md5;
pub(crate) mod pattern;
pub(crate) mod session;
pub(crate) mod wire;

/// The banner of an Asterisk 22.
pub(crate) const BANNER: &str = "Asterisk Call Manager/11.0.0\r\n";
