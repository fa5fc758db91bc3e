//! Live figures: the stream `views`, merged and painted as items onto the board.
//!
//! [`parts`] keeps the latest frame of each view and partition, [`sums`] sums rows, [`moving`] those of times that move with the clock, [`picture`] sorts by kind what
//! changed, [`paint`] writes the items, [`pace`] says how often. All pure; [`follow`] is the loop around them.

pub mod figures;
pub mod follow;
pub mod item;
pub mod moving;
pub mod pace;
pub mod paint;
pub mod parts;
pub mod picture;
pub mod sums;
