//! A box that splits segments, as network cards and tunnels do: RFC 8684 section 3.3.1 has the mapping
//! copied to all pieces or left on one.

use sim_core::Instant;

use super::filter::OptionSet;
use super::flow::segment;
use super::options::{OptionAction, edit};
use super::{Direction, Matcher, Middlebox, Output, Verdict};
use crate::wire::{Body, Packet, TcpFlags, TcpOptions};

/// Which pieces keep the MPTCP options. Other options are copied to all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PiecesWithOptions {
    /// All of them.
    All,
    /// The first only.
    First,
    /// The last only.
    Last,
}

/// Splits chosen segments.
#[derive(Debug)]
pub struct Splitter {
    matcher: Matcher,
    piece: u32,
    keep: PiecesWithOptions,
}

impl Splitter {
    /// Splits what `matcher` chooses into pieces of at most `piece` octets of payload, at least 1.
    #[must_use]
    pub const fn new(matcher: Matcher, piece: u32, keep: PiecesWithOptions) -> Self {
        Self { matcher, piece: if piece == 0 { 1 } else { piece }, keep }
    }
}

impl Middlebox for Splitter {
    fn handle(
        &mut self,
        now: Instant,
        direction: Direction,
        packet: Packet,
        out: &mut Vec<Output>,
    ) -> Verdict {
        let chosen = self.matcher.matches(now, direction, &packet);
        let Some(whole) = segment(&packet).filter(|whole| chosen && whole.payload.len() > self.piece) else {
            out.push(Output::now(direction, packet));
            return Verdict::Passed;
        };
        let stripped = without_mptcp(whole.options);
        let (len, mut at, mut number) = (whole.payload.len(), 0, 0);
        while at < len {
            let is_last = len - at <= self.piece;
            let has_options = match self.keep {
                PiecesWithOptions::All => true,
                PiecesWithOptions::First => at == 0,
                PiecesWithOptions::Last => is_last,
            };
            let mut piece = whole.clone();
            piece.seq = whole.seq.wrapping_add(at);
            piece.payload = whole.payload.slice(at, self.piece);
            if !is_last {
                piece.flags = piece.flags.without(TcpFlags::FIN.with(TcpFlags::PSH));
            }
            if at > 0 {
                piece.flags = piece.flags.without(TcpFlags::CWR);
            }
            if !has_options {
                piece.options = stripped;
            }
            let mut ip = packet.ip;
            ip.id = if ip.is_ipv4() { ip.id.wrapping_add(number) } else { 0 };
            out.push(Output::now(direction, Packet { ip, body: Body::Tcp(piece) }));
            at += self.piece.min(len - at);
            number += 1;
        }
        Verdict::Changed
    }
}

fn without_mptcp(mut options: TcpOptions) -> TcpOptions {
    edit(&mut options, OptionSet::Mptcp, OptionAction::Remove);
    options
}
