//! What a flow has to do when it is its turn to send, in one octet: nearly always nothing, which one look tells. A wider
//! word could not be read just after one of its octets is written.

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutputDue(u8);

impl OutputDue {
    /// A SYN, or the answer to one.
    pub(crate) const HANDSHAKE: Self = Self(1);
    /// A reset.
    pub(crate) const RESET: Self = Self(2);
    /// A segment without data, before any data.
    pub(crate) const BARE_ACK: Self = Self(4);
    /// Something happened since the queue was last looked at that may let data or the FIN leave.
    pub(crate) const PUSH: Self = Self(8);
    /// What an acknowledgment freed of the send buffer is to be looked at.
    pub(crate) const SPACE: Self = Self(16);
    /// Data left: did the congestion window limit it?
    pub(crate) const VALIDATE: Self = Self(32);
    /// A segment that leaves whatever the windows say.
    pub(crate) const FORCED: Self = Self(64);
    /// What the last acknowledgment asks for (`tcp_xmit_recovery`).
    pub(crate) const REPAIR: Self = Self(128);
    /// What is looked at when no more data leaves.
    pub(crate) const LOOKS: Self = Self(Self::PUSH.0 | Self::SPACE.0 | Self::VALIDATE.0);
    /// What goes before data.
    pub(crate) const URGENT: Self = Self(Self::HANDSHAKE.0 | Self::RESET.0 | Self::BARE_ACK.0);

    /// Whether any of `these` is due.
    #[inline(always)]
    pub(crate) const fn has(self, these: Self) -> bool {
        self.0 & these.0 != 0
    }

    /// Whether anything is due.
    #[inline(always)]
    pub(crate) const fn any(self) -> bool {
        self.0 != 0
    }

    #[inline(always)]
    pub(crate) const fn add(&mut self, these: Self) {
        self.0 |= these.0;
    }

    #[inline(always)]
    pub(crate) const fn clear(&mut self, these: Self) {
        self.0 &= !these.0;
    }

    #[inline(always)]
    pub(crate) const fn set(&mut self, these: Self, due: bool) {
        self.clear(these);
        if due {
            self.add(these);
        }
    }

    /// The flow is over: of what it would have said, a reset may be left.
    pub(crate) const fn end(&mut self) {
        self.clear(Self::HANDSHAKE);
        self.clear(Self::FORCED);
        self.clear(Self::REPAIR);
    }

    /// Whether any of `these` was due; it is no more.
    #[inline(always)]
    pub(crate) const fn take(&mut self, these: Self) -> bool {
        let due = self.has(these);
        if due {
            self.clear(these);
        }
        due
    }
}
