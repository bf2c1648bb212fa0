//! What the two ends of a flow do with their sockets: a list of steps each, as a small script. The
//! named applications (bulk, request/response, ...) are short forms that expand to steps.
//!
//! Left out: applications whose steps depend on what they receive.

use core::fmt;
use core::str::FromStr;

use sim_core::{Bytes, Duration, Instant, Rate};

use crate::units::{self, Complaint};

/// One step of one end of a flow; the next begins when it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Write so many bytes, in writes of [`WRITE`] on a blocking socket; done when the last is in the
    /// send buffer.
    Send(Bytes),
    /// Write so many bytes at a given rate, in writes of a given size.
    SendRate {
        /// How much.
        bytes: Bytes,
        /// How fast, averaged from the beginning of the step.
        rate: Rate,
        /// Size of a write.
        write: Bytes,
    },
    /// Write as fast as the socket takes it until an instant.
    SendUntil(Instant),
    /// Write as fast as the socket takes it for a time.
    SendFor(Duration),
    /// Read so many bytes.
    Recv(Bytes),
    /// Read until the peer has shut down writing.
    RecvEof,
    /// Do nothing for a time; do not read.
    Sleep(Duration),
    /// Do nothing until an instant.
    SleepUntil(Instant),
    /// `shutdown(SHUT_WR)`.
    Shutwr,
    /// `close()`.
    Close,
    /// `connect(AF_UNSPEC)`: abort.
    Disconnect,
    /// Record the state of the connection.
    Snapshot,
}

/// Size of a write of [`Step::Send`].
pub const WRITE: Bytes = Bytes(65_536);
/// Size of a write of [`Step::SendRate`] when none is given.
pub const RATE_WRITE: Bytes = Bytes(4_096);
/// Payload of a datagram of UDP when none is given.
pub const DATAGRAM: Bytes = Bytes(1_400);

const STEPS: [&str; 12] = [
    "send",
    "send_rate",
    "send_until",
    "send_for",
    "recv",
    "recv_eof",
    "sleep",
    "sleep_until",
    "shutwr",
    "close",
    "disconnect",
    "snapshot",
];

impl FromStr for Step {
    type Err = Complaint;
    fn from_str(text: &str) -> Result<Self, Complaint> {
        let text = text.trim();
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let at = |rest| units::duration(rest).map(|since| Instant::ZERO + since);
        let plain = |step| {
            if rest.is_empty() {
                Ok(step)
            } else {
                Err(Complaint::new(
                    format!("unexpected \"{rest}\" after \"{word}\""),
                    format!("write \"{word}\" alone"),
                ))
            }
        };
        match word {
            "send" => units::size(rest).map(Self::Send),
            "recv" => units::size(rest).map(Self::Recv),
            "sleep" => units::duration(rest).map(Self::Sleep),
            "send_for" => units::duration(rest).map(Self::SendFor),
            "sleep_until" => at(rest).map(Self::SleepUntil),
            "send_until" => at(rest).map(Self::SendUntil),
            "send_rate" => {
                let Some((bytes, rest)) = rest.split_once(" at ") else {
                    return Err(Complaint::new(
                        format!("\"{text}\" gives no rate"),
                        "write \"send_rate 2 MB at 4 Mbit/s\"",
                    ));
                };
                let (rate, write) = match rest.split_once(" in ") {
                    Some((rate, write)) => (rate, units::size(write)?),
                    None => (rest, RATE_WRITE),
                };
                if write == Bytes(0) {
                    return Err(Complaint::new("a write of 0 bytes", "write at least \"1 B\""));
                }
                Ok(Self::SendRate { bytes: units::size(bytes)?, rate: units::rate(rate)?, write })
            }
            "recv_eof" => plain(Self::RecvEof),
            "shutwr" => plain(Self::Shutwr),
            "close" => plain(Self::Close),
            "disconnect" => plain(Self::Disconnect),
            "snapshot" => plain(Self::Snapshot),
            _ => {
                let help = match mptcp_model::suggest::closest(word, STEPS) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("steps: {}", STEPS.join(", ")),
                };
                Err(Complaint::new(format!("\"{word}\" is not a step"), help))
            }
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = |at: &Instant| at.saturating_since(Instant::ZERO);
        match self {
            Self::Send(bytes) => write!(f, "send {}", units::print_size(*bytes)),
            Self::SendRate { bytes, rate, write } => {
                write!(
                    f,
                    "send_rate {} at {rate} in {}",
                    units::print_size(*bytes),
                    units::print_size(*write)
                )
            }
            Self::SendUntil(at) => write!(f, "send_until {}", since(at)),
            Self::SendFor(span) => write!(f, "send_for {span}"),
            Self::Recv(bytes) => write!(f, "recv {}", units::print_size(*bytes)),
            Self::RecvEof => f.write_str("recv_eof"),
            Self::Sleep(span) => write!(f, "sleep {span}"),
            Self::SleepUntil(at) => write!(f, "sleep_until {}", since(at)),
            Self::Shutwr => f.write_str("shutwr"),
            Self::Close => f.write_str("close"),
            Self::Disconnect => f.write_str("disconnect"),
            Self::Snapshot => f.write_str("snapshot"),
        }
    }
}

/// Which end sends the bulk of the data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// The client.
    #[default]
    Upload,
    /// The server.
    Download,
}

/// Sending for a time, then silence for a time, and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bursts {
    /// How long it sends, above zero.
    pub on: Duration,
    /// How long it is silent.
    pub off: Duration,
}

impl Bursts {
    /// For how long of `span` it sends.
    #[must_use]
    pub fn sending(&self, span: Duration) -> Duration {
        let (on, cycle) = (self.on.as_nanos(), self.on.as_nanos().saturating_add(self.off.as_nanos()).max(1));
        let (cycles, rest) = (span.as_nanos() / cycle, span.as_nanos() % cycle);
        Duration::from_nanos(cycles * on + rest.min(on))
    }
}

/// How much a flow sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// So many bytes.
    Bytes(Bytes),
    /// As much as fits into a time.
    For(Duration),
}

/// What a flow does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Application {
    /// One end sends as fast as it can and shuts down writing; both close.
    Bulk {
        /// How much.
        amount: Amount,
        /// Who sends.
        direction: Direction,
    },
    /// The client sends requests, each answered by the server, one after the other.
    RequestResponse {
        /// Size of a request.
        request: Bytes,
        /// Size of a response.
        response: Bytes,
        /// How many, 1 to [`MAX_ROUNDS`].
        count: u32,
        /// Pause of the client after each response.
        pause: Duration,
    },
    /// The server returns what the client sends.
    Echo {
        /// Size of a message.
        size: Bytes,
        /// How many, 1 to [`MAX_ROUNDS`].
        count: u32,
        /// Pause of the client after each answer.
        interval: Duration,
    },
    /// One end writes at a constant rate. Over UDP each write is a datagram.
    RateLimited {
        /// How much.
        bytes: Bytes,
        /// How fast.
        rate: Rate,
        /// Size of a write, at least one byte.
        write: Bytes,
        /// Who sends.
        direction: Direction,
        /// Times of sending and of silence, of UDP only.
        bursts: Option<Bursts>,
    },
    /// Steps written out.
    Steps {
        /// Of the client, after `connect()`.
        client: Vec<Step>,
        /// Of the server, after `accept()`.
        server: Vec<Step>,
    },
}

/// Most rounds of a request/response or echo application.
pub const MAX_ROUNDS: u32 = 100_000;

impl Application {
    /// The steps of client and server.
    #[must_use]
    pub fn steps(&self) -> (Vec<Step>, Vec<Step>) {
        match self {
            Self::Bulk { amount, direction } => {
                let send = match *amount {
                    Amount::Bytes(bytes) => Step::Send(bytes),
                    Amount::For(span) => Step::SendFor(span),
                };
                one_way(send, *direction)
            }
            Self::RateLimited { bytes, rate, write, direction, .. } => {
                one_way(Step::SendRate { bytes: *bytes, rate: *rate, write: *write }, *direction)
            }
            Self::RequestResponse { request, response, count, pause } => {
                rounds(*request, *response, *count, *pause)
            }
            Self::Echo { size, count, interval } => rounds(*size, *size, *count, *interval),
            Self::Steps { client, server } => (client.clone(), server.clone()),
        }
    }
}

fn one_way(send: Step, direction: Direction) -> (Vec<Step>, Vec<Step>) {
    let sender = vec![send, Step::Shutwr, Step::RecvEof, Step::Close];
    let receiver = vec![Step::RecvEof, Step::Close];
    match direction {
        Direction::Upload => (sender, receiver),
        Direction::Download => (receiver, sender),
    }
}

fn rounds(request: Bytes, response: Bytes, count: u32, pause: Duration) -> (Vec<Step>, Vec<Step>) {
    let (mut client, mut server) = (Vec::new(), Vec::new());
    for _ in 0..count {
        client.extend([Step::Send(request), Step::Recv(response)]);
        if !pause.is_zero() {
            client.push(Step::Sleep(pause));
        }
        server.extend([Step::Recv(request), Step::Send(response)]);
    }
    client.extend([Step::Shutwr, Step::RecvEof, Step::Close]);
    server.extend([Step::RecvEof, Step::Close]);
    (client, server)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_and_printed_alike() {
        for text in [
            "send 20 kB",
            "recv 5 B",
            "recv_eof",
            "sleep 300 ms",
            "sleep_until 1 s",
            "send_until 20 s",
            "send_for 10 s",
            "send_rate 2 MB at 4 Mbit/s in 1400 B",
            "shutwr",
            "close",
            "disconnect",
            "snapshot",
        ] {
            assert_eq!(text.parse::<Step>().map(|step| step.to_string()), Ok(text.to_owned()));
        }
        assert_eq!(
            "send_rate 2 MB at 4 Mbit/s".parse::<Step>().unwrap().to_string(),
            "send_rate 2 MB at 4 Mbit/s in 4 KiB"
        );
        assert!("sned 5 B".parse::<Step>().unwrap_err().help.contains("\"send\""));
        assert!("send 5".parse::<Step>().unwrap_err().message.contains("no unit"));
    }

    #[test]
    fn what_one_end_of_an_echo_sends_the_other_receives() {
        let (client, server) =
            Application::Echo { size: Bytes(5), count: 2, interval: Duration::ZERO }.steps();
        assert_eq!(client[..2], [Step::Send(Bytes(5)), Step::Recv(Bytes(5))]);
        assert_eq!(server[..2], [Step::Recv(Bytes(5)), Step::Send(Bytes(5))]);
        assert_eq!((client.len(), server.len()), (7, 6));
    }
}
