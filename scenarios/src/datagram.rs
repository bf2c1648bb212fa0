//! UDP traffic at a constant rate, without pause or in bursts: the sender and the receiver, which checks and
//! counts what arrives.
//!
//! The sender writes datagrams of equal size, each when it is due; it does not react to losses. The receiver
//! knows the plan of the sender, which stands in for the number and the time stamp in the header of a real
//! generator's datagrams: datagram number `n` is the stretch of the flow's content from octet `n * size` on, and
//! it was sent when it was due. Left out: traffic at a variable rate, answers, congestion control, receivers that
//! read slowly.

use std::net::{IpAddr, SocketAddr};

use mptcp_model::host::{Application, Datagram, Host, SocketId};
use mptcp_model::mptcp::{Integrity, SocketError, SocketEvents};
use mptcp_model::wire::Payload;
use sim_core::{Bytes, Duration, Instant, Rate};

use crate::application::Bursts;
use crate::program::{ProgramError, Record, time_of};

/// What is sent when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// When the first datagram leaves.
    pub start: Instant,
    /// Payload in all.
    pub bytes: Bytes,
    /// Payload of a datagram, above zero; the last may have less.
    pub size: Bytes,
    /// Payload per second while sending.
    pub rate: Rate,
    /// Times of sending and of silence; `None` sends without pause.
    pub bursts: Option<Bursts>,
}

impl Plan {
    /// How many datagrams.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.bytes.0.div_ceil(self.size.0)
    }

    /// Number, offset and length of the datagram `number`.
    fn datagram(&self, seed: u32, number: u64) -> Payload {
        let offset = number * self.size.0;
        let len = self.size.0.min(self.bytes.0 - offset);
        Payload::pattern(seed, offset, u32::try_from(len).unwrap_or(u32::MAX))
    }

    /// When datagram `number` is due.
    #[must_use]
    pub fn due(&self, number: u64) -> Instant {
        let sending = time_of(number * self.size.0, self.rate);
        let silent = self.bursts.map_or(Duration::ZERO, |Bursts { on, off }| {
            Duration::from_nanos((sending.as_nanos() / on.as_nanos().max(1)).saturating_mul(off.as_nanos()))
        });
        self.start + sending + silent
    }
}

/// What a receiver counted. Times are those from sending to reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reception {
    /// Datagrams that arrived, copies not counted.
    pub delivered: u64,
    /// Copies of datagrams that had arrived before.
    pub duplicated: u64,
    /// Datagrams that arrived after one that was sent later (RFC 4737, section 3).
    pub reordered: u64,
    /// Datagrams whose octets are none the sender sent.
    pub corrupted: u64,
    /// Interarrival jitter after the last datagram (RFC 3550, sections 6.4.1 and A.8).
    pub jitter: Duration,
    /// Least delay.
    pub delay_min: Duration,
    /// Sum of the delays of all that were delivered.
    pub delay_sum: Duration,
    /// Largest delay.
    pub delay_max: Duration,
}

/// The end that sends.
#[derive(Debug)]
pub struct Sender {
    plan: Plan,
    source: Option<IpAddr>,
    remote: SocketAddr,
    seed: u32,
    socket: Option<SocketId>,
    next: u64,
    /// Datagrams that the socket refused.
    failed: u64,
    wake: Option<Instant>,
    record: Record,
}

impl Sender {
    /// Sends the content `seed` to `remote`, from `source` if that is given.
    #[must_use]
    pub fn new(plan: Plan, source: Option<IpAddr>, remote: SocketAddr, seed: u32) -> Self {
        let (wake, record) = (Some(plan.start), Record::default());
        Self { plan, source, remote, seed, socket: None, next: 0, failed: 0, wake, record }
    }

    /// What it did so far.
    #[must_use]
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// Datagrams it handed to the socket, and those that the socket refused.
    #[must_use]
    pub const fn datagrams(&self) -> (u64, u64) {
        (self.next - self.failed, self.failed)
    }

    /// Whether everything was sent, or nothing can be.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.record.finished.is_some()
    }

    fn end(&mut self, now: Instant, error: Option<(&str, SocketError)>) {
        let error = error.map(|(during, error)| ProgramError { at: now, during: during.to_owned(), error });
        self.record.error = error;
        self.record.finished = Some(now);
        self.wake = None;
    }

    fn open(&mut self, now: Instant, host: &mut Host) -> Option<SocketId> {
        self.record.connect_begin = Some(now);
        match host.connect_datagram(self.source, self.remote) {
            Ok(socket) => {
                self.socket = Some(socket);
                Some(socket)
            }
            Err(error) => {
                self.end(now, Some(("connect", error)));
                None
            }
        }
    }

    /// Send whatever is due. What the socket refuses is counted and not repeated, as by a program that takes no
    /// notice of errors.
    fn send(&mut self, now: Instant, host: &mut Host) {
        let Some(socket) = self.socket.or_else(|| self.open(now, host)) else { return };
        while self.next < self.plan.count() {
            let due = self.plan.due(self.next);
            if due > now {
                self.wake = Some(due);
                return;
            }
            let payload = self.plan.datagram(self.seed, self.next);
            let len = u64::from(payload.len());
            match host.send_datagram(socket, payload) {
                Ok(()) => self.record.sent += len,
                Err(_) => self.failed += 1,
            }
            self.next += 1;
        }
        self.end(now, None);
    }
}

impl Application for Sender {
    fn start(&mut self, now: Instant, host: &mut Host) {
        if self.plan.start <= now {
            self.send(now, host);
        }
    }

    fn on_event(&mut self, _now: Instant, _socket: SocketId, _events: SocketEvents, _host: &mut Host) {}

    fn poll_timeout(&self) -> Option<Instant> {
        self.wake
    }

    fn handle_timeout(&mut self, now: Instant, host: &mut Host) {
        if self.wake.is_some_and(|wake| wake <= now) {
            self.send(now, host);
        }
    }
}

/// The end that receives.
#[derive(Debug)]
pub struct Receiver {
    plan: Plan,
    local: SocketAddr,
    seed: u32,
    socket: Option<SocketId>,
    /// Bit `n` is set when datagram `n` has arrived.
    arrived: Vec<u64>,
    /// Number after the largest that arrived.
    end: u64,
    /// Delay of the datagram before.
    last_delay: Option<Duration>,
    /// Jitter in sixteenths of a nanosecond.
    jitter: u64,
    reception: Reception,
    integrity: Integrity,
    record: Record,
}

impl Receiver {
    /// Receives on `local` what a [`Sender`] of this plan and seed sends.
    #[must_use]
    pub fn new(plan: Plan, local: SocketAddr, seed: u32) -> Self {
        Self {
            plan,
            local,
            seed,
            socket: None,
            arrived: Vec::new(),
            end: 0,
            last_delay: None,
            jitter: 0,
            reception: Reception::default(),
            integrity: Integrity::default(),
            record: Record::default(),
        }
    }

    /// What it did so far.
    #[must_use]
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// What it counted so far.
    #[must_use]
    pub const fn reception(&self) -> &Reception {
        &self.reception
    }

    /// Verification of what arrived.
    #[must_use]
    pub const fn integrity(&self) -> &Integrity {
        &self.integrity
    }

    /// The number of a datagram; `None` if it is not what the sender sent.
    fn number(&self, payload: &Payload) -> Option<u64> {
        let Payload::Pattern { offset, .. } = payload else { return None };
        let number = offset / self.plan.size.0;
        (number < self.plan.count() && *payload == self.plan.datagram(self.seed, number)).then_some(number)
    }

    fn take(&mut self, now: Instant, Datagram { payload, .. }: &Datagram) {
        let len = u64::from(payload.len());
        self.integrity.verified += len;
        let Some(number) = self.number(payload) else {
            self.integrity.corrupted += len;
            self.reception.corrupted += 1;
            return;
        };
        self.integrity.seed = Some(self.seed);
        let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
        if word >= self.arrived.len() {
            self.arrived.resize(word + 1, 0);
        }
        if self.arrived[word] & bit != 0 {
            self.reception.duplicated += 1;
            return;
        }
        self.arrived[word] |= bit;
        self.record.first_rx.get_or_insert(now);
        self.record.last_rx = Some(now);
        self.record.received += len;
        let delay = now.saturating_since(self.plan.due(number));
        let reception = &mut self.reception;
        if number < self.end {
            reception.reordered += 1;
        }
        self.end = self.end.max(number + 1);
        reception.delay_min = if reception.delivered == 0 { delay } else { reception.delay_min.min(delay) };
        reception.delay_max = reception.delay_max.max(delay);
        reception.delay_sum += delay;
        reception.delivered += 1;
        if let Some(last) = self.last_delay.replace(delay) {
            let difference = delay.as_nanos().abs_diff(last.as_nanos());
            self.jitter = self.jitter + difference - ((self.jitter + 8) >> 4);
        }
        reception.jitter = Duration::from_nanos(self.jitter >> 4);
    }
}

impl Application for Receiver {
    fn start(&mut self, now: Instant, host: &mut Host) {
        match host.bind_datagram(self.local) {
            Ok(socket) => self.socket = Some(socket),
            Err(error) => {
                self.record.error = Some(ProgramError { at: now, during: "bind".to_owned(), error });
            }
        }
    }

    fn on_event(&mut self, now: Instant, socket: SocketId, _events: SocketEvents, host: &mut Host) {
        while let Some(datagram) = host.receive_datagram(socket) {
            self.take(now, &datagram);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn handle_timeout(&mut self, _now: Instant, _host: &mut Host) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// 1000 octets every 8 ms, from 1 s on.
    const PLAN: Plan = Plan {
        start: Instant::from_nanos(1_000_000_000),
        bytes: Bytes(4_500),
        size: Bytes(1_000),
        rate: match Rate::from_bps(1_000_000) {
            Some(rate) => rate,
            None => panic!(),
        },
        bursts: None,
    };

    fn receiver() -> Receiver {
        Receiver::new(PLAN, "10.0.0.2:9".parse().unwrap(), 7)
    }

    fn arrive(receiver: &mut Receiver, number: u64, delay: Duration) {
        let from = "10.0.0.1:9".parse().unwrap();
        let datagram = Datagram { from, payload: PLAN.datagram(7, number) };
        receiver.take(PLAN.due(number) + delay, &datagram);
    }

    #[test]
    fn datagrams_are_due_at_the_rate_and_silence_is_inserted() {
        assert_eq!(PLAN.count(), 5);
        let offsets = |plan: &Plan| {
            (0..5)
                .map(|n| plan.due(n).saturating_since(plan.start).as_nanos() / 1_000_000)
                .collect::<Vec<_>>()
        };
        assert_eq!(offsets(&PLAN), [0, 8, 16, 24, 32]);
        let bursts = Some(Bursts { on: ms(16), off: ms(100) });
        assert_eq!(offsets(&Plan { bursts, ..PLAN }), [0, 8, 116, 124, 232]);
        assert_eq!(PLAN.datagram(7, 4), Payload::pattern(7, 4_000, 500));
    }

    #[test]
    fn a_receiver_tells_loss_copies_and_overtaking_apart() {
        let mut receiver = receiver();
        for (number, delay) in [(0, 10), (2, 10), (1, 20), (2, 30), (4, 10)] {
            arrive(&mut receiver, number, ms(delay));
        }
        let Reception { delivered, duplicated, reordered, corrupted, .. } = receiver.reception;
        assert_eq!((delivered, duplicated, reordered, corrupted), (4, 1, 1, 0));
        assert_eq!(receiver.record.received, 3_500);
        assert_eq!(receiver.integrity, Integrity { seed: Some(7), verified: 4_500, corrupted: 0 });
    }

    #[test]
    fn jitter_is_that_of_rfc_3550() {
        let mut receiver = receiver();
        for (number, delay) in [10, 26, 10, 10].into_iter().enumerate() {
            arrive(&mut receiver, number as u64, ms(delay));
        }
        // J = J + (|D| - J) / 16 with D of 16, 16 and 0 ms: 1, 1.9375, 1.81640625 ms.
        assert_eq!(receiver.reception.jitter.as_nanos(), 1_816_406);
        let Reception { delay_min, delay_max, delay_sum, .. } = receiver.reception;
        assert_eq!((delay_min, delay_max, delay_sum), (ms(10), ms(26), ms(56)));
    }

    #[test]
    fn octets_of_another_flow_are_corrupt() {
        let mut receiver = receiver();
        let from = "10.0.0.1:9".parse().unwrap();
        for payload in [
            Payload::pattern(8, 0, 1_000),
            Payload::pattern(7, 0, 999),
            Payload::pattern(7, 5_000, 1_000),
            Payload::from(&[1, 2, 3][..]),
        ] {
            receiver.take(PLAN.start, &Datagram { from, payload });
        }
        assert_eq!((receiver.reception.corrupted, receiver.reception.delivered), (4, 0));
        assert_eq!(receiver.integrity.corrupted, 1_000 + 999 + 1_000 + 3);
    }
}
