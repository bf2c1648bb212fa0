//! What happens to a connection that its owner should look at: noted by the connection, taken by the host.

/// What the owner of a socket should look at. Flags add up until taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketEvents {
    /// The handshake completed, or a listener has a connection to accept.
    pub connected: bool,
    /// Data or the end of the stream can be read.
    pub readable: bool,
    /// The send buffer has room again after it was full.
    pub writable: bool,
    /// The connection failed.
    pub failed: bool,
}

impl SocketEvents {
    /// Whether there is anything.
    #[must_use]
    #[inline]
    pub const fn any(self) -> bool {
        self.connected | self.readable | self.writable | self.failed
    }
}

/// Events that were not yet taken, in one octet: a wider word could not be read just after one of its octets is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Happened(u8);

impl Happened {
    pub(crate) const CONNECTED: u8 = 1;
    pub(crate) const READABLE: u8 = 2;
    pub(crate) const WRITABLE: u8 = 4;
    pub(crate) const FAILED: u8 = 8;

    #[inline]
    pub(crate) const fn note(&mut self, event: u8) {
        self.0 |= event;
    }

    pub(super) const fn has(self, events: u8) -> bool {
        self.0 & events != 0
    }

    #[inline]
    pub(super) const fn all(self) -> SocketEvents {
        SocketEvents {
            connected: self.has(Self::CONNECTED),
            readable: self.has(Self::READABLE),
            writable: self.has(Self::WRITABLE),
            failed: self.has(Self::FAILED),
        }
    }
}
