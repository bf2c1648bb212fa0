//! When an event is due, and how far off it may be.

use sim_core::{Duration, Instant};

use super::ast::{Script, Setting, Time};
use super::environment::Setup;

/// The times of the events so far.
#[derive(Clone, Debug)]
pub struct Timeline {
    start: Instant,
    /// When the last event was finished, and when the script said it would be.
    live: Instant,
    scripted: Instant,
    last_inbound: bool,
    tolerance: Duration,
}

/// When an event is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// When it begins, or the earliest time of a span.
    pub from: Instant,
    /// The latest time of a span, or when a blocking call returns; `from` otherwise.
    pub until: Instant,
    /// How far off it may be, either way; `None` if any time will do.
    pub tolerance: Option<Duration>,
}

/// Tolerance where a script sets none.
const DEFAULT_TOLERANCE: Duration = Duration::from_micros(4000);

impl Script {
    /// How far off an event may be, at least.
    #[must_use]
    pub fn tolerance(&self) -> Duration {
        let stated = self.settings.iter().rev().find_map(|setting| match setting {
            Setting::Tolerance(span) => Some(*span),
            _ => None,
        });
        stated.unwrap_or(DEFAULT_TOLERANCE)
    }

    /// The usual setup with the addresses that the script states.
    #[must_use]
    pub fn setup(&self) -> Setup {
        let mut setup = Setup::default();
        for setting in &self.settings {
            match setting {
                Setting::LocalIp(address) => setup.local = *address,
                Setting::RemoteIp(address) => setup.remote = *address,
                _ => {}
            }
        }
        setup
    }
}

impl Due {
    /// Whether something at `seen` is in time for the span from `from` to `until`.
    #[must_use]
    pub fn allows(&self, seen: Instant) -> bool {
        match self.tolerance {
            None => true,
            Some(tolerance) => seen + tolerance >= self.from && seen <= self.until + tolerance,
        }
    }

    /// Whether a blocking call may return at `seen`.
    #[must_use]
    pub fn allows_return(&self, seen: Instant) -> bool {
        Self { from: self.until, ..*self }.allows(seen)
    }

    /// When there is no more use in waiting; `None` if any time will do.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.tolerance.map(|tolerance| self.until + tolerance)
    }
}

impl Timeline {
    /// A script that starts at `start`.
    #[must_use]
    pub const fn new(start: Instant, tolerance: Duration) -> Self {
        Self { start, live: start, scripted: start, last_inbound: false, tolerance }
    }

    /// When the event at `time` is due. Relative times count from the end of the event before; between two
    /// inbound packets, from the time that the script gave the first.
    #[must_use]
    pub fn due(&self, time: &Time, inbound: bool) -> Due {
        let base = if inbound && self.last_inbound { self.scripted } else { self.live };
        let (from, until) = match *time {
            Time::Absolute(at) => (self.start + at, self.start + at),
            Time::Relative(at) => (base + at, base + at),
            Time::AbsoluteRange(from, to) | Time::AbsoluteBlocking(from, to) => {
                (self.start + from, self.start + to)
            }
            Time::RelativeRange(from, to) | Time::RelativeBlocking(from, to) => (base + from, base + to),
            Time::Any => return Due { from: self.live, until: self.live, tolerance: None },
        };
        let gap = until.saturating_since(self.live);
        let share = Duration::from_nanos(gap.as_nanos() / 8);
        Due { from, until, tolerance: Some(self.tolerance.max(share)) }
    }

    /// The event that was `due` came to its end at `seen`.
    pub fn happened(&mut self, due: &Due, seen: Instant, inbound: bool) {
        self.scripted = if due.tolerance.is_some() { due.from } else { seen };
        self.live = seen;
        self.last_inbound = inbound;
    }
}
