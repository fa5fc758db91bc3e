//! Faults of our own making, in the harness: an oracle that cannot be shown to find a fault proves nothing.

/// What is broken on purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sabotage {
    /// Nothing.
    #[default]
    None,
    /// An append is answered before it is done.
    AnswersBeforeItIsDurable,
    /// The receiver's window of seen ids is not kept.
    ForgetsWhatWasSeen,
    /// Records first, positions and state a moment later.
    TearsCommits,
    /// Now and then a record is not what was written.
    ChangesAByte,
    /// The store writes states and positions, and no rows.
    WritesPositionsWithoutRows,
    /// The store lets a former owner of a partition write.
    LetsGhostsWrite,
    /// Now and then an event is acknowledged to the vendor that was never taken.
    AcknowledgesTooMuch,
    /// A live view, once told, is never taken back.
    KeepsViews,
}

impl Sabotage {
    /// Everything that can be broken.
    pub const ALL: [Sabotage; 8] = [
        Sabotage::AnswersBeforeItIsDurable,
        Sabotage::ForgetsWhatWasSeen,
        Sabotage::TearsCommits,
        Sabotage::ChangesAByte,
        Sabotage::WritesPositionsWithoutRows,
        Sabotage::LetsGhostsWrite,
        Sabotage::AcknowledgesTooMuch,
        Sabotage::KeepsViews,
    ];
}
