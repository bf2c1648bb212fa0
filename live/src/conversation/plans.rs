//! What both ends will do besides answering, and when.

use sim_core::Duration;

use super::{Conversation, Step};
use crate::theme::Theme;

impl Conversation {
    pub(super) fn plan(&mut self, after: Duration, step: Step) {
        self.planned_so_far += 1;
        self.planned.insert((self.now() + after, self.planned_so_far), step);
    }

    pub(super) fn span(&mut self, low: u64, high: u64) -> Duration {
        self.random.span_between(Duration::from_millis(low), Duration::from_millis(high))
    }

    /// The peer will look whether all was acknowledged, if it does not already.
    pub(super) fn plan_repetition(&mut self, subflow: usize, millis: u64) {
        if !std::mem::replace(&mut self.repeats[subflow], true) {
            self.plan(Duration::from_millis(millis), Step::Repeat(subflow));
        }
    }

    /// What both ends will do besides answering.
    pub(super) fn plan_calls(&mut self) {
        if self.choice.theme == Theme::Bulk {
            return self.plan_bulk();
        }
        let (writes, data) = (self.random.below(6), self.random.below(8));
        for _ in 0..writes {
            let after = self.span(0, 900);
            let len = match self.random.below(4) {
                0 => 1 + self.random.below(200),
                1 => 1 + self.random.below(3_000),
                2 => 1000 * (1 + self.random.below(10)),
                _ => 1 + self.random.below(60_000),
            };
            let more = self.random.bernoulli(0.06);
            self.plan(after, Step::Write(len, more));
        }
        for _ in 0..data {
            let after = self.span(0, 900);
            let len = self.random.below(4);
            let len = if len == 0 { 1 + self.random.below(500) } else { u64::from(self.peers[0].segment()) };
            let burst = 1 + self.random.below(4);
            for _ in 0..burst {
                self.plan(after, Step::Data(len as u32));
            }
        }
        for _ in 0..self.random.below(6) {
            let (after, len) = (self.span(0, 1200), 1 + self.random.below(8_000));
            self.plan(after, Step::Read(len));
        }
        for option in std::mem::take(&mut self.circumstances.later) {
            let after = self.span(0, 700);
            self.plan(after, Step::SetOption(option));
        }
        if self.random.bernoulli(0.1) {
            let after = self.span(0, 600);
            let window = if self.random.bernoulli(0.6) { 0 } else { 1 + self.random.below(3_000) as u32 };
            let before = self.peers[0].window;
            self.plan(after, Step::Window(0, window));
            if self.random.bernoulli(0.8) {
                let later = after + self.span(20, 900);
                self.plan(later, Step::Window(0, before));
            }
        }
        if self.choice.multipath {
            self.plan_signals();
        }
        self.plan_end();
    }

    pub(super) fn plan_signals(&mut self) {
        if self.circumstances.joins {
            let after = self.span(60, 600);
            self.plan(after, Step::Join);
        }
        if !self.random.bernoulli(0.35) {
            return;
        }
        let signal = match self.random.below(10) {
            0 => "mp_prio backup=1",
            1 => "mp_prio backup=0",
            2 => "add_address address_id=3 addr[peer3=inet_addr(\"192.0.2.9\")] hmac=auto",
            3 => "add_address address_id=3 addr[peer3=inet_addr(\"192.0.2.9\")] hmac=1",
            4 => "remove_address address_id=[1]",
            5 => "remove_address address_id=[3]",
            6 => "mp_fail dsn8=1",
            7 => "mp_fastclose",
            8 => "mp_fastclose hkey=42",
            _ => "dss dack8=1000000 nocs",
        };
        let after = self.span(100, 1200);
        self.plan(after, Step::Signal(signal.to_owned()));
    }

    pub(super) fn plan_end(&mut self) {
        let after = self.span(300, 1500);
        match self.random.below(12) {
            0 | 1 => self.plan(after, Step::Close),
            2 => self.plan(after, Step::Shutdown("SHUT_WR")),
            3 => {
                self.plan(after, Step::Shutdown("SHUT_WR"));
                let later = after + self.span(100, 900);
                self.plan(later, Step::PeerFin);
            }
            4 => self.plan(after, Step::Shutdown("SHUT_RD")),
            5 => self.plan(after, Step::Shutdown("SHUT_RDWR")),
            6 | 7 => self.plan(after, Step::PeerFin),
            8 => {
                self.plan(after, Step::PeerFin);
                let later = self.span(1000, 2000);
                self.plan(later, Step::Close);
            }
            9 => self.plan(after, Step::PeerReset),
            _ => {}
        }
    }
}
