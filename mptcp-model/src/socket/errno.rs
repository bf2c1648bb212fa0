//! Error numbers of system calls, as far as sockets give them.

use core::fmt;

use crate::mptcp::SocketError;

macro_rules! errnos {
    ($($name:ident $code:ident $text:literal,)*) => {
        /// An error number.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Errno {
            $(#[doc = concat!(stringify!($code), ": ", $text)] $name,)*
        }

        impl Errno {
            /// Name as in `errno.h`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($code),)* }
            }

            const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

errnos! {
    BadFd EBADF "bad file descriptor",
    NotSocket ENOTSOCK "not a socket",
    Again EAGAIN "resource temporarily unavailable",
    InProgress EINPROGRESS "operation now in progress",
    Already EALREADY "operation already in progress",
    IsConnected EISCONN "is connected already",
    NotConnected ENOTCONN "not connected",
    Fault EFAULT "bad address",
    Invalid EINVAL "invalid argument",
    MessageTooLong EMSGSIZE "message too long",
    BrokenPipe EPIPE "broken pipe",
    Exists EEXIST "exists already",
    NoEntry ENOENT "no such entry",
    OptionUnknown ENOPROTOOPT "protocol not available",
    NotSupported EOPNOTSUPP "operation not supported",
    FamilyNotSupported EAFNOSUPPORT "address family not supported",
    AddressInUse EADDRINUSE "address already in use",
    AddressNotAvailable EADDRNOTAVAIL "cannot assign requested address",
    ConnectionRefused ECONNREFUSED "connection refused",
    ConnectionAborted ECONNABORTED "software caused connection abort",
    ConnectionReset ECONNRESET "connection reset by peer",
    TimedOut ETIMEDOUT "connection timed out",
    NetworkUnreachable ENETUNREACH "network is unreachable",
    HostUnreachable EHOSTUNREACH "no route to host",
    AccessDenied EACCES "permission denied",
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.text())
    }
}

impl std::error::Error for Errno {}

impl From<SocketError> for Errno {
    fn from(error: SocketError) -> Self {
        match error {
            SocketError::ConnectionRefused => Self::ConnectionRefused,
            SocketError::ConnectionReset => Self::ConnectionReset,
            SocketError::TimedOut => Self::TimedOut,
            SocketError::NetworkUnreachable => Self::NetworkUnreachable,
            SocketError::HostUnreachable => Self::HostUnreachable,
            SocketError::ProtocolUnreachable => Self::OptionUnknown,
            SocketError::SourceRouteFailed => Self::NotSupported,
            SocketError::Prohibited => Self::AccessDenied,
            SocketError::BrokenPipe => Self::BrokenPipe,
            SocketError::MessageTooLong => Self::MessageTooLong,
            SocketError::NotConnected => Self::NotConnected,
            SocketError::AddressInUse => Self::AddressInUse,
            SocketError::AddressNotAvailable => Self::AddressNotAvailable,
        }
    }
}
