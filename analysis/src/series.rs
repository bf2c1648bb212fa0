//! Time series as tidy CSV: one row per instant and subflow, or per instant and connection, with the
//! unit in every column name. The records are plain; whoever samples a run at a fixed step fills them.
//!
//! Numbers have one form whatever their size, so equal samples give equal octets: times with nine
//! decimals, milliseconds with six, rates in Mbit/s with six; counts are integers. A value that is
//! not known (an `ssthresh` never set, no round-trip sample yet) is an empty field.

use std::io::Write;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number written with `D` decimals, rounded to nearest (ties to even, by the decimal expansion).
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Fixed<const D: usize>(pub f64);

impl<const D: usize> Serialize for Fixed<D> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_finite() {
            serializer.collect_str(&format_args!("{:.*}", D, self.0))
        } else {
            serializer.serialize_str("")
        }
    }
}

impl<'de, const D: usize> Deserialize<'de> for Fixed<D> {
    fn deserialize<De: Deserializer<'de>>(deserializer: De) -> Result<Self, De::Error> {
        f64::deserialize(deserializer).map(Self)
    }
}

/// Seconds since the start of the run.
pub type Seconds = Fixed<9>;
/// Milliseconds.
pub type Millis = Fixed<6>;
/// Mbit/s.
pub type Mbit = Fixed<6>;

/// State of one subflow at one instant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SubflowSample {
    /// Time of the sample.
    pub time_s: Seconds,
    /// Name of the flow.
    pub connection: String,
    /// Which end was sampled, the name of its host.
    pub host: String,
    /// Index of the subflow in its connection, in order of creation.
    pub subflow: u32,
    /// Address and port of this end.
    pub local: String,
    /// Address and port of the other end.
    pub remote: String,
    /// TCP state, in the words of RFC 9293.
    pub state: String,
    /// Congestion window.
    pub cwnd_segments: u32,
    /// Slow start threshold, if set.
    pub ssthresh_segments: Option<u32>,
    /// Smoothed round-trip time.
    pub srtt_ms: Option<Millis>,
    /// Its mean deviation.
    pub rttvar_ms: Option<Millis>,
    /// Retransmission timeout.
    pub rto_ms: Option<Millis>,
    /// Segments taken to be in the network.
    pub in_flight_segments: u32,
    /// Segments sent and not acknowledged.
    pub unacked_segments: u32,
    /// Segments sent again, since the start.
    pub retransmitted_segments: u64,
    /// Octets acknowledged on the subflow, since the start.
    pub acked_bytes: u64,
    /// Octets received in order on the subflow, since the start.
    pub received_bytes: u64,
    /// Window announced by the peer.
    pub send_window_bytes: u64,
    /// Window announced to the peer.
    pub receive_window_bytes: u64,
    /// Octets in the subflow's out-of-order queue.
    pub out_of_order_queue_bytes: u64,
    /// Data received on this subflow since the sample before, by the receiver.
    pub goodput_mbit_s: Mbit,
}

/// State of one connection at one instant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConnectionSample {
    /// Time of the sample.
    pub time_s: Seconds,
    /// Name of the flow.
    pub connection: String,
    /// Which end was sampled, the name of its host.
    pub host: String,
    /// MPTCP state, or `fallback`.
    pub state: String,
    /// Subflows that are established.
    pub subflows: u32,
    /// Octets of data sent for the first time, since the start.
    pub dsn_sent_bytes: u64,
    /// Octets of data that a DATA_ACK covers, since the start.
    pub dsn_acked_bytes: u64,
    /// Octets of data received in order, since the start.
    pub dsn_received_bytes: u64,
    /// Octets waiting in the send buffer for their first transmission.
    pub unsent_bytes: u64,
    /// Octets in the out-of-order queue of the connection.
    pub out_of_order_queue_bytes: u64,
    /// Window announced by the peer, at the level of the connection.
    pub send_window_bytes: u64,
    /// Window announced to the peer.
    pub receive_window_bytes: u64,
    /// Octets sent on more than one subflow, since the start.
    pub reinjected_bytes: u64,
    /// Data that became available to the application since the sample before.
    pub goodput_mbit_s: Mbit,
}

/// Writes samples as CSV, a heading first.
#[derive(Debug)]
pub struct SeriesWriter<W: Write> {
    csv: csv::Writer<W>,
}

impl<W: Write> SeriesWriter<W> {
    /// Writes to `out`; lines end with a line feed.
    pub fn new(out: W) -> Self {
        Self { csv: csv::WriterBuilder::new().terminator(csv::Terminator::Any(b'\n')).from_writer(out) }
    }

    /// Writes one row. All rows of a file must be of one type.
    ///
    /// # Errors
    /// If the output fails.
    pub fn write(&mut self, sample: &impl Serialize) -> Result<(), csv::Error> {
        self.csv.serialize(sample)
    }

    /// Flushes and returns the output.
    ///
    /// # Errors
    /// If the output fails.
    pub fn finish(self) -> std::io::Result<W> {
        self.csv.into_inner().map_err(csv::IntoInnerError::into_error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(samples: &[impl Serialize]) -> String {
        let mut writer = SeriesWriter::new(Vec::new());
        for sample in samples {
            writer.write(sample).unwrap();
        }
        String::from_utf8(writer.finish().unwrap()).unwrap()
    }

    #[test]
    fn a_row_has_units_in_its_heading_and_empty_fields_for_the_unknown() {
        let sample = SubflowSample {
            time_s: Fixed(0.1),
            connection: "f1".into(),
            host: "client".into(),
            local: "10.0.1.2:40000".into(),
            remote: "10.0.9.2:5001".into(),
            state: "ESTABLISHED".into(),
            cwnd_segments: 10,
            srtt_ms: Some(Fixed(20.25)),
            goodput_mbit_s: Fixed(1.0 / 3.0),
            ..SubflowSample::default()
        };
        let text = written(&[sample]);
        let (heading, row) = text.split_once('\n').unwrap();
        assert!(heading.starts_with(
            "time_s,connection,host,subflow,local,remote,state,cwnd_segments,ssthresh_segments,srtt_ms"
        ));
        assert_eq!(
            row,
            "0.100000000,f1,client,0,10.0.1.2:40000,10.0.9.2:5001,ESTABLISHED,10,,20.250000,,,0,0,0,0,0,0,0,0,0.333333\n"
        );
    }

    #[test]
    fn rows_can_be_read_back() {
        let sample =
            ConnectionSample { time_s: Fixed(2.5), dsn_acked_bytes: 7, ..ConnectionSample::default() };
        let text = written(std::slice::from_ref(&sample));
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let rows: Vec<ConnectionSample> = reader.deserialize().map(Result::unwrap).collect();
        assert_eq!(rows, [sample]);
    }

    #[test]
    fn the_form_of_a_number_does_not_depend_on_its_size() {
        #[derive(Serialize)]
        struct Row {
            value: Fixed<3>,
        }
        let rows = [1e9, 1e-9, 0.0, f64::NAN].map(|value| Row { value: Fixed(value) });
        assert_eq!(written(&rows), "value\n1000000000.000\n0.000\n0.000\n\"\"\n");
    }
}
