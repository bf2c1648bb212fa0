//! A box that forges resets, as censors and some shapers do. Which of them an end obeys is the subject
//! of RFC 5961 section 3.2: only the one with exactly the next sequence number.

use sim_core::Instant;

use super::flow::{answer, segment, seq_end};
use super::{Direction, Matcher, Middlebox, Output, Verdict};
use crate::wire::{Body, Packet, Payload, TcpFlags, TcpOptions};

/// Whom a forged reset is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// The receiver of the chosen packet.
    Receiver,
    /// Its sender.
    Sender,
    /// Both.
    Both,
}

/// Configuration of a [`ResetInjector`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResetConfig {
    /// Whom the resets are for.
    pub victim: Victim,
    /// Distance from the sequence number the victim expects next: 0 is exact, a few hundred lies in the
    /// window, a negative number or one beyond the window outside.
    pub offset: i32,
    /// Whether the reset for the receiver carries the options of the chosen packet.
    pub copy_options: bool,
    /// Whether the chosen packet is dropped; then the receiver expects it and not what follows it.
    pub swallow: bool,
}

impl Default for ResetConfig {
    fn default() -> Self {
        Self { victim: Victim::Both, offset: 0, copy_options: false, swallow: false }
    }
}

/// Sends resets when it sees chosen packets. Resets are never chosen.
#[derive(Debug)]
pub struct ResetInjector {
    matcher: Matcher,
    config: ResetConfig,
}

impl ResetInjector {
    /// Forges resets about what `matcher` chooses.
    #[must_use]
    pub const fn new(matcher: Matcher, config: ResetConfig) -> Self {
        Self { matcher, config }
    }

    /// The reset for the receiver of `packet`, in the name of its sender.
    fn for_receiver(&self, packet: &Packet) -> Option<Packet> {
        let segment = segment(packet)?;
        let next = if self.config.swallow { segment.seq } else { seq_end(segment) };
        let mut forged = packet.clone();
        if let Body::Tcp(reset) = &mut forged.body {
            reset.seq = super::flow::shifted(next, self.config.offset);
            reset.flags = TcpFlags::RST.with(TcpFlags(reset.flags.0 & TcpFlags::ACK.0));
            reset.payload = Payload::Empty;
            reset.window = 0;
            if !self.config.copy_options {
                reset.options = TcpOptions::EMPTY;
            }
        }
        Some(forged)
    }

    /// The reset for the sender of `packet`, in the name of its receiver.
    fn for_sender(&self, packet: &Packet) -> Option<Packet> {
        let segment = segment(packet)?;
        let seq = super::flow::shifted(segment.ack, self.config.offset);
        answer(packet, seq, seq_end(segment), TcpFlags::RST.with(TcpFlags::ACK))
    }
}

impl Middlebox for ResetInjector {
    fn handle(
        &mut self,
        now: Instant,
        direction: Direction,
        packet: Packet,
        out: &mut Vec<Output>,
    ) -> Verdict {
        let is_reset = segment(&packet).is_none_or(|segment| segment.flags.rst());
        if !self.matcher.matches(now, direction, &packet) || is_reset {
            out.push(Output::now(direction, packet));
            return Verdict::Passed;
        }
        let to_receiver = matches!(self.config.victim, Victim::Receiver | Victim::Both);
        let to_sender = matches!(self.config.victim, Victim::Sender | Victim::Both);
        let forward = to_receiver.then(|| self.for_receiver(&packet)).flatten();
        let backward = to_sender.then(|| self.for_sender(&packet)).flatten();
        if !self.config.swallow {
            out.push(Output::now(direction, packet));
        }
        out.extend(forward.map(|reset| Output::now(direction, reset)));
        out.extend(backward.map(|reset| Output::now(direction.reverse(), reset)));
        if self.config.swallow { Verdict::Dropped("reset") } else { Verdict::Passed }
    }
}
