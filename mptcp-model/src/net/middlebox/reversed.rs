//! A box turned round: what is forward for the chain is backward for the box.

use sim_core::Instant;

use super::{Direction, Middlebox, Output, Verdict};
use crate::wire::Packet;

/// A box whose near side is the far side of the chain.
#[derive(Debug)]
pub struct Reversed(pub Box<dyn Middlebox>);

fn turn(out: &mut [Output]) {
    for output in out {
        output.direction = output.direction.reverse();
    }
}

impl Middlebox for Reversed {
    fn handle(
        &mut self,
        now: Instant,
        direction: Direction,
        packet: Packet,
        out: &mut Vec<Output>,
    ) -> Verdict {
        let before = out.len();
        let verdict = self.0.handle(now, direction.reverse(), packet, out);
        turn(&mut out[before..]);
        verdict
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.0.poll_timeout()
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Vec<Output>) {
        let before = out.len();
        self.0.handle_timeout(now, out);
        turn(&mut out[before..]);
    }

    fn details(&self) -> Vec<(&'static str, u64)> {
        self.0.details()
    }
}
