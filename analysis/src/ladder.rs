//! Sequence diagrams of set-up, signalling and close of a connection: a column for each end of a subflow, an
//! arrow for each packet of interest; data in between is summed up.
//!
//! As text for terminals, as SVG and PNG for papers. Time runs downwards, but not to scale.

use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::path::Path;

use mptcp_model::wire::MpOption;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::plot::PlotError;
use crate::plot::picture::{self, Area, COLOURS, FONT, Picture, drawing};
use crate::reconstruct::{Connection, Event};
use crate::trace::FlowDirection;
use crate::vantage::View;

/// One diagram.
#[derive(Clone, Debug, PartialEq)]
pub struct Ladder {
    /// What it shows.
    pub title: String,
    /// Names of the columns: addresses of the initiator, then of the responder.
    pub columns: Vec<String>,
    /// Arrows from the top.
    pub steps: Vec<Step>,
    /// Packets of interest beyond those kept.
    pub left_out: u64,
}

/// One arrow.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Time, in seconds from the begin of the view.
    pub time_s: f64,
    /// Number of the packet.
    pub packet: u64,
    /// Column it comes from.
    pub from: usize,
    /// Column it goes to.
    pub to: usize,
    /// What it carries.
    pub label: String,
}

impl Ladder {
    /// The diagram of connection `number` of a view.
    #[must_use]
    pub fn new(view: &View, number: usize, connection: &Connection) -> Self {
        let flows = view.reconstruction.flows();
        let mut ends: [Vec<IpAddr>; 2] = [Vec::new(), Vec::new()];
        for &id in &connection.flows {
            let flow = &flows[id.index()];
            let sides = if flow.reversed { [flow.server, flow.client] } else { [flow.client, flow.server] };
            for (known, end) in ends.iter_mut().zip(sides) {
                if !known.contains(&end.ip()) {
                    known.push(end.ip());
                }
            }
        }
        let responders = ends[0].len();
        let column = |address: IpAddr, side: usize| {
            let within = ends[side].iter().position(|known| *known == address).unwrap_or(0);
            if side == 0 { within } else { responders + within }
        };
        let steps = connection.events.iter().map(|event| {
            let flow = &flows[event.flow.index()];
            let (source, destination) = match event.direction {
                FlowDirection::ClientToServer => (flow.client, flow.server),
                FlowDirection::ServerToClient => (flow.server, flow.client),
            };
            let side = event.direction as usize ^ usize::from(flow.reversed);
            Step {
                time_s: event.nanos.saturating_sub(view.start()) as f64 / 1e9,
                packet: event.number,
                from: column(source.ip(), side),
                to: column(destination.ip(), 1 - side),
                label: label(event, source.port(), destination.port()),
            }
        });
        let steps = steps.collect();
        Self {
            title: format!("{}, connection {number}", view.name),
            columns: ends.iter().flatten().map(ToString::to_string).collect(),
            steps,
            left_out: connection.events_left_out,
        }
    }

    /// The first `steps` steps; the others count as left out.
    #[must_use]
    pub fn shortened(mut self, steps: usize) -> Self {
        self.left_out += self.steps.len().saturating_sub(steps) as u64;
        self.steps.truncate(steps);
        self
    }

    /// The diagram as SVG, without fonts or anything else from outside.
    ///
    /// # Errors
    /// If drawing fails.
    pub fn to_svg(&self) -> Result<String, PlotError> {
        picture::to_svg(self)
    }

    /// Writes the diagram to `path`, whose ending chooses SVG or PNG. The file appears complete or not at all.
    ///
    /// # Errors
    /// If the ending is another, or writing fails.
    pub fn write(&self, path: &Path) -> Result<(), PlotError> {
        picture::write(self, path)
    }

    /// Steps that are drawn: a picture has its limits.
    fn drawn(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| step.from.max(step.to) < COLUMNS).take(DRAWN)
    }
}

/// The most steps and columns in a picture; text shows all.
const DRAWN: usize = 600;
const COLUMNS: usize = 24;
const MARGIN: i32 = 110;
/// Between columns and between steps.
const GAP: i32 = 320;
const STEP: i32 = 30;
const TOP: i32 = 70;

impl Picture for Ladder {
    fn size(&self) -> (u32, u32) {
        let width = MARGIN + self.columns.len().clamp(1, COLUMNS) as i32 * GAP;
        let height = TOP + (self.drawn().count() as i32 + 2) * STEP;
        (width.unsigned_abs(), height.unsigned_abs())
    }

    fn draw<B: DrawingBackend>(&self, area: &Area<B>) -> Result<(), PlotError> {
        let column = |column: usize| MARGIN + GAP / 2 + column as i32 * GAP;
        let style =
            |size: i32, across: HPos| TextStyle::from((FONT, size)).pos(Pos::new(across, VPos::Bottom));
        let text = |words: &str, size: i32, across: HPos, at: (i32, i32)| {
            area.draw_text(words, &style(size, across), at).map_err(drawing)
        };
        text(&self.title, 17, HPos::Left, (10, 24))?;
        let count = self.drawn().count();
        let bottom = TOP + count as i32 * STEP + 10;
        for (number, name) in self.columns.iter().take(COLUMNS).enumerate() {
            let x = column(number);
            text(name, 15, HPos::Center, (x, 52))?;
            let line = PathElement::new([(x, 56), (x, bottom)], RGBColor(136, 136, 136).stroke_width(1));
            area.draw(&line).map_err(drawing)?;
        }
        for (index, step) in self.drawn().enumerate() {
            let y = TOP + index as i32 * STEP + STEP / 2;
            let (from, to) = (column(step.from), column(step.to));
            // A colour for each path of the initiator, as in the plots.
            let colour = COLOURS[1 + step.from.min(step.to) % (COLOURS.len() - 1)];
            text(&format!("{:.6} s", step.time_s), 13, HPos::Left, (8, y + 6))?;
            area.draw(&PathElement::new([(from, y), (to, y)], colour.stroke_width(1))).map_err(drawing)?;
            let back = if to > from { -9 } else { 9 };
            let head = [(to, y), (to + back, y - 4), (to + back, y + 4)];
            area.draw(&Polygon::new(head, colour.filled())).map_err(drawing)?;
            text(&step.label, 13, HPos::Center, (i32::midpoint(from, to), y - 3))?;
        }
        let left_out = self.left_out + (self.steps.len() - count) as u64;
        if left_out > 0 {
            text(&format!("and {left_out} more"), 13, HPos::Left, (8, bottom + 24))?;
        }
        Ok(())
    }
}

impl fmt::Display for Ladder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let longest = self.steps.iter().map(|step| step.label.chars().count()).max().unwrap_or(0);
        let gap = longest.clamp(18, 76) + 6;
        writeln!(f, "{}", self.title)?;
        let mut heading = format!("{:>12}  ", "s");
        for name in &self.columns {
            let _ = write!(heading, "{name:<gap$}");
        }
        writeln!(f, "{}", heading.trim_end())?;
        let width = gap * self.columns.len().saturating_sub(1) + 1;
        for step in &self.steps {
            let mut line: Vec<char> = vec![' '; width];
            for column in 0..self.columns.len() {
                line[column * gap] = '|';
            }
            let (left, right) = (step.from.min(step.to) * gap, step.from.max(step.to) * gap);
            for place in line.iter_mut().take(right).skip(left + 1) {
                *place = '-';
            }
            if right > left {
                if step.from < step.to {
                    line[right - 1] = '>';
                } else {
                    line[left + 1] = '<';
                }
                let room = (right - left).saturating_sub(5);
                let text: Vec<char> = format!(" {} ", step.label).chars().take(room).collect();
                let at = left + 2 + (room - text.len()) / 2;
                line[at..at + text.len()].copy_from_slice(&text);
            }
            let line: String = line.into_iter().collect();
            writeln!(f, "{:>12.6}  {line}  #{}", step.time_s, step.packet)?;
        }
        if self.left_out > 0 {
            writeln!(f, "and {} more", self.left_out)?;
        }
        Ok(())
    }
}

/// What a packet carries, in the words of the RFC.
fn label(event: &Event, from: u16, to: u16) -> String {
    let flags = event.flags;
    let mut parts = Vec::new();
    for (set, name) in
        [(flags.syn(), "SYN"), (flags.fin(), "FIN"), (flags.rst(), "RST"), (flags.ack(), "ACK")]
    {
        if set {
            parts.push(name.to_owned());
        }
    }
    let mut text = parts.join("+");
    for option in &event.options {
        text.push_str(", ");
        text.push_str(&option_label(option));
    }
    if event.data_fin {
        text.push_str(", DATA_FIN");
    }
    if event.data_fin_acknowledged {
        text.push_str(", DATA_ACK of DATA_FIN");
    }
    if event.payload > 0 {
        let _ = write!(text, ", {} octets", event.payload);
    }
    if flags.syn() && !flags.ack() {
        let _ = write!(text, " ({from} > {to})");
    }
    text
}

fn option_label(option: &MpOption) -> String {
    match option {
        MpOption::Capable { version, sender_key, receiver_key, .. } => {
            let keys = match (sender_key, receiver_key) {
                (Some(_), Some(_)) => ", both keys",
                (Some(_), None) => ", key",
                _ => "",
            };
            format!("MP_CAPABLE v{version}{keys}")
        }
        MpOption::JoinSyn { backup, address_id, token, .. } => {
            let backup = if *backup { ", backup" } else { "" };
            format!("MP_JOIN id {address_id}, token {token:08x}{backup}")
        }
        MpOption::JoinSynAck { address_id, .. } => format!("MP_JOIN id {address_id}, HMAC"),
        MpOption::JoinAck { .. } => "MP_JOIN HMAC".to_owned(),
        MpOption::AddAddr { address_id, address, port, hmac, nibble } => {
            let port = port.map_or_else(String::new, |port| format!(" port {port}"));
            let echo = if hmac.is_none() && nibble & 1 == 1 { " echo" } else { "" };
            format!("ADD_ADDR id {address_id} {address}{port}{echo}")
        }
        MpOption::RemoveAddr { ids } => {
            let ids: Vec<_> = ids.iter().map(|id| id.to_string()).collect();
            format!("REMOVE_ADDR id {}", ids.join(" "))
        }
        MpOption::Prio { backup, .. } => format!("MP_PRIO backup {}", u8::from(*backup)),
        MpOption::Fail { .. } => "MP_FAIL".to_owned(),
        MpOption::FastClose { .. } => "MP_FASTCLOSE".to_owned(),
        MpOption::TcpRst { reason, .. } => format!("MP_TCPRST reason {reason}"),
        MpOption::Dss(_) => "DSS".to_owned(),
        MpOption::Unknown { subtype, .. } => format!("MPTCP subtype {subtype}"),
    }
}

/// Text in XML.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
