//! The state machines of a connection as tables: what it speaks, its states (RFC 8684, appendix D), and the steps
//! of the MPTCP handshake and fallback of a subflow. The code changes states by looking here, and by nothing
//! else; `mptcp-sim list states` prints the tables. The states of TCP itself are `tcp::TcpState`.

use super::subflow::Stage;
use super::{Connection, Mode, State, Subflow};

/// What changes the state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The handshake of the initial subflow is complete.
    Opened,
    /// The application closes or shuts down writing: a DATA_FIN (TCP: FIN) follows the data.
    Close,
    /// The peer acknowledged it.
    FinAcked,
    /// The DATA_FIN (TCP: FIN) of the peer, everything before it having come.
    FinReceived,
    /// Aborted, reset, given up, or TCP came to its end.
    Over,
}

/// What changes what a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Both ends showed MP_CAPABLE with their keys.
    Agreed,
    /// The answer had no acceptable MP_CAPABLE, or the offer was taken back.
    Declined,
    /// Fallback on a connection in progress (RFC 8684, section 3.7).
    FellBack,
}

/// What changes the stage of a subflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// An acceptable SYN/ACK came; the third ACK is due.
    Answered,
    /// An acceptable third ACK came.
    ThirdAck,
    /// The peer confirmed the third ACK: a DATA_ACK, or an ADD_ADDR with HMAC.
    Confirmed,
    /// TCP from here on.
    Plain,
    /// A checksum failed: MP_FAIL is due.
    ChecksumFailed,
    /// An infinite mapping is due.
    Announce,
    /// Data behind the infinite mapping was acknowledged.
    Acknowledged,
    /// Closed, reset or given up.
    Ended,
}

/// A row: in a state an event leads to another state.
type Row<S, E> = (S, E, S);

const STATES: [Row<State, Event>; 16] = {
    use Event::{Close, FinAcked, FinReceived, Opened, Over};
    use State::{CloseWait, Closed, Closing, Established, FinWait1, FinWait2, LastAck, Opening};
    [
        (Opening, Opened, Established),
        (Opening, Over, Closed),
        (Established, Close, FinWait1),
        (Established, FinReceived, CloseWait),
        (Established, Over, Closed),
        (FinWait1, FinAcked, FinWait2),
        (FinWait1, FinReceived, Closing),
        (FinWait1, Over, Closed),
        (FinWait2, FinReceived, Closed),
        (FinWait2, Over, Closed),
        (CloseWait, Close, LastAck),
        (CloseWait, Over, Closed),
        (Closing, FinAcked, Closed),
        (Closing, Over, Closed),
        (LastAck, FinAcked, Closed),
        (LastAck, Over, Closed),
    ]
};

const MODES: [Row<Mode, Turn>; 4] = {
    use Mode::{Multipath, Offered, Plain};
    use Turn::{Agreed, Declined, FellBack};
    [
        (Offered, Agreed, Multipath),
        (Offered, Declined, Plain),
        (Offered, FellBack, Plain),
        (Multipath, FellBack, Plain),
    ]
};

const STAGES: [Row<Stage, Step>; 15] = {
    use Stage::{Confirmed as Established, Failing, Gone, Infinite, Opening, Unconfirmed};
    use Step::{Acknowledged, Announce, Answered, ChecksumFailed, Confirmed, Ended, Plain, ThirdAck};
    [
        (Opening, Answered, Unconfirmed),
        (Opening, ThirdAck, Established),
        (Opening, Plain, Established),
        (Opening, Ended, Gone),
        (Unconfirmed, Confirmed, Established),
        (Unconfirmed, Plain, Established),
        (Unconfirmed, Ended, Gone),
        (Established, ChecksumFailed, Failing),
        (Established, Announce, Infinite),
        (Established, Ended, Gone),
        (Failing, Plain, Established),
        (Failing, Ended, Gone),
        (Infinite, Acknowledged, Established),
        (Infinite, Plain, Established),
        (Infinite, Ended, Gone),
    ]
};

fn look_up<S: Copy + PartialEq, E: PartialEq>(table: &[Row<S, E>], state: S, event: E) -> Option<S> {
    table.iter().find(|(from, when, _)| *from == state && *when == event).map(|&(_, _, next)| next)
}

impl Connection {
    /// Change the state by `event`. Returns whether the table has it.
    pub(super) fn advance(&mut self, event: Event) -> bool {
        let next = look_up(&STATES, self.state, event);
        self.state = next.unwrap_or(self.state);
        next.is_some()
    }

    /// Change what is spoken by `turn`.
    pub(super) fn turn(&mut self, turn: Turn) {
        self.mode = look_up(&MODES, self.mode, turn).unwrap_or(self.mode);
    }
}

impl Subflow {
    /// Change the stage by `step`. Returns whether the table has it.
    pub(super) fn step(&mut self, step: Step) -> bool {
        let next = look_up(&STAGES, self.stage, step);
        self.stage = next.unwrap_or(self.stage);
        next.is_some()
    }
}

/// A row of a state machine, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The state.
    pub state: &'static str,
    /// The event.
    pub event: &'static str,
    /// The state after it.
    pub next: &'static str,
}

/// A state machine: its name and its rows.
pub type Machine = (&'static str, Vec<Transition>);

/// The state machines of a connection, as the code runs on them.
#[must_use]
pub fn machines() -> [Machine; 3] {
    fn rows<S: Copy, E: Copy>(
        table: &[Row<S, E>],
        state: fn(S) -> &'static str,
        event: fn(E) -> &'static str,
    ) -> Vec<Transition> {
        let row = |&(from, when, next): &Row<S, E>| Transition {
            state: state(from),
            event: event(when),
            next: state(next),
        };
        table.iter().map(row).collect()
    }
    [
        ("connection", rows(&STATES, state_name, event_name)),
        ("protocol", rows(&MODES, mode_name, turn_name)),
        ("subflow", rows(&STAGES, stage_name, step_name)),
    ]
}

const fn state_name(state: State) -> &'static str {
    match state {
        State::Opening => "OPENING",
        State::Established => "ESTABLISHED",
        State::FinWait1 => "FIN_WAIT_1",
        State::FinWait2 => "FIN_WAIT_2",
        State::CloseWait => "CLOSE_WAIT",
        State::Closing => "CLOSING",
        State::LastAck => "LAST_ACK",
        State::Closed => "CLOSED",
    }
}

const fn event_name(event: Event) -> &'static str {
    match event {
        Event::Opened => "handshake complete",
        Event::Close => "close: DATA_FIN sent",
        Event::FinAcked => "DATA_ACK of DATA_FIN",
        Event::FinReceived => "DATA_FIN received",
        Event::Over => "abort, reset, timeout",
    }
}

const fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Offered => "MPTCP offered",
        Mode::Multipath => "MPTCP",
        Mode::Plain => "TCP",
    }
}

const fn turn_name(turn: Turn) -> &'static str {
    match turn {
        Turn::Agreed => "both keys seen",
        Turn::Declined => "no MP_CAPABLE",
        Turn::FellBack => "fallback",
    }
}

const fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Opening => "OPENING",
        Stage::Unconfirmed => "PRE_ESTABLISHED",
        Stage::Confirmed => "ESTABLISHED",
        Stage::Failing => "MP_FAIL SENT",
        Stage::Infinite => "INFINITE MAPPING",
        Stage::Gone => "CLOSED",
    }
}

const fn step_name(step: Step) -> &'static str {
    match step {
        Step::Answered => "SYN/ACK accepted",
        Step::ThirdAck => "third ACK accepted",
        Step::Confirmed => "DATA_ACK or ADD_ADDR",
        Step::Plain => "TCP from here",
        Step::ChecksumFailed => "checksum wrong",
        Step::Announce => "infinite mapping due",
        Step::Acknowledged => "data behind it acknowledged",
        Step::Ended => "FIN, RST or timeout",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_table_answers_one_event_in_two_ways() {
        // CLOSE-07
        fn unique<S: Copy + PartialEq + std::fmt::Debug, E: PartialEq + std::fmt::Debug>(
            table: &[Row<S, E>],
        ) {
            for (index, (state, event, next)) in table.iter().enumerate() {
                let earlier = &table[..index];
                let twice = earlier.iter().any(|(from, when, _)| from == state && when == event);
                assert!(!twice, "{state:?} {event:?} {next:?}");
            }
        }
        unique(&STATES);
        unique(&MODES);
        unique(&STAGES);
    }

    #[test]
    fn an_event_without_a_row_changes_nothing() {
        // FSM-08 to FSM-16, CLOSE-07
        let mut seen = 0;
        for state in STATES.map(|(state, ..)| state) {
            for event in [Event::Opened, Event::Close, Event::FinAcked, Event::FinReceived, Event::Over] {
                let next = look_up(&STATES, state, event);
                let row = STATES.iter().find(|(from, when, _)| *from == state && *when == event);
                assert_eq!(next, row.map(|&(_, _, next)| next));
                seen += usize::from(next.is_none());
            }
        }
        assert!(seen > 0);
        assert_eq!(look_up(&STATES, State::Closed, Event::Close), None, "closing twice");
        assert_eq!(look_up(&STATES, State::LastAck, Event::Close), None);
    }
}
