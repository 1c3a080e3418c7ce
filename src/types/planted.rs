//! Bugs planted on purpose, one per rule of the lease protocol: a simulator that does not find them finds nothing. No
//! build without debug assertions has them.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// The ledger drops records of an older epoch.
    OlderEpochDropped,
    /// The ledger takes a silent lease back as soon as it has lasted.
    ReclaimedWithoutMargin,
    /// A sidecar answers a commit whose record is not on disk.
    AcknowledgedBeforeDurable,
    /// The ledger takes a recall as answered once it is sent.
    RecallCountedEarly,
    /// What a recall brings goes to whoever asks next.
    RecallGivenToAnother,
    /// A sidecar settles a handle that it does not know by itself.
    UnknownHandleCharged,
    /// After an unclean stop nothing is sealed.
    MarkUnsealed,
}

impl Planted {
    pub const ALL: [Self; 7] = [
        Self::OlderEpochDropped,
        Self::ReclaimedWithoutMargin,
        Self::AcknowledgedBeforeDurable,
        Self::RecallCountedEarly,
        Self::RecallGivenToAnother,
        Self::UnknownHandleCharged,
        Self::MarkUnsealed,
    ];

    /// Whether this bug is planted in this thread.
    #[cfg(debug_assertions)]
    pub fn is_here(self) -> bool {
        HERE.with(|here| here.get() == Some(self))
    }

    /// Never, in a build that people run.
    #[cfg(not(debug_assertions))]
    pub const fn is_here(self) -> bool {
        false
    }

    /// Does something with the bug planted in this thread, and takes it out again.
    #[cfg(debug_assertions)]
    pub fn during<T>(self, act: impl FnOnce() -> T) -> T {
        HERE.with(|here| here.set(Some(self)));
        let done = act();
        HERE.with(|here| here.set(None));
        done
    }
}

#[cfg(debug_assertions)]
thread_local! {
    static HERE: std::cell::Cell<Option<Planted>> = const { std::cell::Cell::new(None) };
}
