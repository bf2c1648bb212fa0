//! Time series of a run, from the state of its connections at each step.

use analysis::series::{ConnectionSample, Fixed, Millis, SubflowSample};
use mptcp_model::mptcp::{Mode, State, SubflowInfo};
use mptcp_model::tcp::TcpState;
use scenarios::run::{ConnectionSnapshot, FlowEnd, Recorder};
use sim_core::{Duration, Instant};

/// All samples of a run, in order of time.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    pub(crate) subflows: Vec<SubflowSample>,
    pub(crate) connections: Vec<ConnectionSample>,
    /// When the last samples were taken.
    last: Instant,
    /// What had been received by then.
    received: Vec<Received>,
}

/// What one end of a connection had received at the last sample.
#[derive(Debug)]
struct Received {
    flow: usize,
    end: FlowEnd,
    data: u64,
    /// By subflow, in order of creation.
    subflows: Vec<u64>,
}

impl Recorder for Samples {
    fn sample(&mut self, at: Instant, connections: &[ConnectionSnapshot]) {
        let span = at.saturating_since(self.last);
        self.last = at;
        for connection in connections {
            self.add(at, span, connection);
        }
    }
}

impl Samples {
    fn add(&mut self, at: Instant, span: Duration, connection: &ConnectionSnapshot) {
        let info = &connection.info;
        let before = position(&mut self.received, connection);
        let before = &mut self.received[before];
        before.subflows.resize(info.subflows.len().max(before.subflows.len()), 0);
        for (subflow, before) in info.subflows.iter().zip(&mut before.subflows) {
            let mut sample = subflow_sample(subflow);
            sample.time_s = Fixed(at.as_secs_f64());
            sample.connection = connection.name.to_string();
            sample.host = connection.host.to_string();
            sample.goodput_mbit_s = Fixed(rate(sample.received_bytes - *before, span));
            *before = sample.received_bytes;
            self.subflows.push(sample);
        }
        self.connections.push(ConnectionSample {
            time_s: Fixed(at.as_secs_f64()),
            connection: connection.name.to_string(),
            host: connection.host.to_string(),
            state: state(info.mode, info.state).to_owned(),
            subflows: info.subflows.iter().filter(|subflow| subflow.established).count() as u32,
            dsn_sent_bytes: info.bytes_sent,
            dsn_acked_bytes: info.bytes_acked,
            dsn_received_bytes: info.bytes_received,
            unsent_bytes: info.unsent_bytes,
            out_of_order_queue_bytes: info.out_of_order_bytes,
            send_window_bytes: info.send_window,
            receive_window_bytes: info.receive_window,
            reinjected_bytes: info.stats.reinjected_bytes,
            goodput_mbit_s: Fixed(rate(info.bytes_received - before.data, span)),
        });
        before.data = info.bytes_received;
    }
}

fn position(received: &mut Vec<Received>, connection: &ConnectionSnapshot) -> usize {
    let key = (connection.flow, connection.end);
    received.iter().position(|known| (known.flow, known.end) == key).unwrap_or_else(|| {
        received.push(Received { flow: connection.flow, end: connection.end, data: 0, subflows: Vec::new() });
        received.len() - 1
    })
}

/// What the subflow itself knows; name, time and rate are left for the caller.
fn subflow_sample(subflow: &SubflowInfo) -> SubflowSample {
    let flow = &subflow.flow;
    let millis = |span: Duration| -> Millis { Fixed(span.as_secs_f64() * 1e3) };
    SubflowSample {
        subflow: subflow.id,
        local: subflow.local.to_string(),
        remote: subflow.remote.to_string(),
        state: tcp_state(flow.state).to_owned(),
        cwnd_segments: flow.cwnd,
        ssthresh_segments: flow.ssthresh,
        srtt_ms: flow.srtt.map(millis),
        rttvar_ms: flow.rttvar.map(millis),
        rto_ms: Some(millis(flow.rto)),
        in_flight_segments: flow.in_flight,
        unacked_segments: flow.unacked,
        retransmitted_segments: flow.stats.retransmitted,
        acked_bytes: flow.stats.bytes_acked,
        received_bytes: flow.stats.bytes_received,
        send_window_bytes: flow.send_window,
        receive_window_bytes: flow.receive_window,
        out_of_order_queue_bytes: flow.out_of_order_bytes,
        ..SubflowSample::default()
    }
}

/// In Mbit/s.
fn rate(bytes: u64, span: Duration) -> f64 {
    if span.is_zero() { 0.0 } else { bytes as f64 * 8.0 / span.as_secs_f64() / 1e6 }
}

const fn tcp_state(state: TcpState) -> &'static str {
    match state {
        TcpState::SynSent => "SYN-SENT",
        TcpState::SynReceived => "SYN-RECEIVED",
        TcpState::Established => "ESTABLISHED",
        TcpState::FinWait1 => "FIN-WAIT-1",
        TcpState::FinWait2 => "FIN-WAIT-2",
        TcpState::CloseWait => "CLOSE-WAIT",
        TcpState::Closing => "CLOSING",
        TcpState::LastAck => "LAST-ACK",
        TcpState::TimeWait => "TIME-WAIT",
        TcpState::Closed => "CLOSED",
    }
}

/// In the words of RFC 8684, appendix D.
const fn state(mode: Mode, state: State) -> &'static str {
    match (mode, state) {
        (Mode::Plain, _) => "fallback",
        (_, State::Opening) => "M_INIT",
        (_, State::Established) => "M_ESTAB",
        (_, State::FinWait1) => "M_FIN_WAIT_1",
        (_, State::FinWait2) => "M_FIN_WAIT_2",
        (_, State::CloseWait) => "M_CLOSE_WAIT",
        (_, State::Closing) => "M_CLOSING",
        (_, State::LastAck) => "M_LAST_ACK",
        (_, State::Closed) => "M_CLOSED",
    }
}
