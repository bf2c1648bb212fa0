//! A line chart with legend and axes, drawn the same on every machine.

use std::path::Path;

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::picture::{self, Area, COLOURS, FONT, Picture, PlotError, drawing};

/// A line chart. Coordinates are in the units of the axis labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chart {
    /// Title above the chart.
    pub title: String,
    /// Label of the horizontal axis, with its unit.
    pub x_label: String,
    /// Label of the vertical axis, with its unit.
    pub y_label: String,
    /// Lines in the order of the legend.
    pub lines: Vec<Line>,
    /// Whether the room between a line and the one before it, or the axis, is filled: a stack.
    pub stacked: bool,
}

/// One line of a chart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line {
    /// Name in the legend.
    pub label: String,
    /// Look: lines of one number share a colour, 0 is black.
    pub colour: usize,
    /// Whether it accompanies another line: thin, dotted and without marks.
    pub secondary: bool,
    /// Whether it is no line but a mark at each point.
    pub points_only: bool,
    /// Points in order of x; a value that is not finite leaves a gap.
    pub points: Vec<(f64, f64)>,
}

const WIDTH: u32 = 960;
const HEIGHT: u32 = 540;
const TITLE_SIZE: i32 = 20;
const TEXT_SIZE: i32 = 15;
/// About so many marks on a line.
const MARKS: usize = 12;
/// Rows of a legend; lines that find no place are counted in one more.
const LEGEND_ROWS: usize = 6;

/// Lengths of dashes and gaps in pixels, by the number of the colour.
const DASHES: [&[i32]; 4] = [&[], &[], &[9, 4], &[2, 3]];
const DOTS: &[i32] = &[1, 3];

type Plane = Cartesian2d<RangedCoordf64, RangedCoordf64>;

impl Chart {
    /// Writes the chart to `path`, whose ending chooses SVG or PNG. The file appears complete or not
    /// at all.
    ///
    /// # Errors
    /// If the ending is another, or writing fails.
    pub fn write(&self, path: &Path) -> Result<(), PlotError> {
        picture::write(self, path)
    }

    /// The chart as SVG.
    ///
    /// # Errors
    /// If drawing fails.
    pub fn to_svg(&self) -> Result<String, PlotError> {
        picture::to_svg(self)
    }

    /// Draws the legend from left to right in as many rows as it takes, if these are not too many; returns its height.
    fn legend<B: DrawingBackend>(&self, area: &Area<B>) -> Result<i32, PlotError> {
        const ROW: i32 = 24;
        const SAMPLE: i32 = 34;
        let style = TextStyle::from((FONT, TEXT_SIZE)).pos(Pos::new(HPos::Left, VPos::Center));
        let (mut x, mut y) = (16, 56);
        for (index, line) in self.lines.iter().enumerate() {
            let (width, _) = area.estimate_text_size(&line.label, &style).map_err(drawing)?;
            let needed = SAMPLE + 8 + width as i32 + 24;
            if x > 16 && x + needed > WIDTH as i32 {
                x = 16;
                y += ROW;
                if y == 56 + LEGEND_ROWS as i32 * ROW {
                    let rest = format!("and {} more", self.lines.len() - index);
                    area.draw_text(&rest, &style, (x, y)).map_err(drawing)?;
                    break;
                }
            }
            let sample = line.dashed(vec![(x, y), (x + SAMPLE, y)]);
            for path in sample.into_iter().filter(|_| !line.points_only) {
                area.draw(&PathElement::new(path, line.stroke())).map_err(drawing)?;
            }
            if !line.secondary {
                area.draw(&line.mark((x + SAMPLE / 2, y))).map_err(drawing)?;
            }
            area.draw_text(&line.label, &style, (x + SAMPLE + 8, y)).map_err(drawing)?;
            x += needed;
        }
        Ok(y - 56 + if self.lines.is_empty() { 0 } else { ROW })
    }

    fn x_range(&self) -> std::ops::Range<f64> {
        let (low, high) = self.bounds(|&(x, _)| x);
        if low < high { low..high } else { low..low + 1.0 }
    }

    /// From 0, or from the lowest value if that is below, with some air above.
    fn y_range(&self) -> std::ops::Range<f64> {
        let (low, high) = self.bounds(|&(_, y)| y);
        let low = low.min(0.0);
        if high > low { low..high + (high - low) * 0.06 } else { low..low + 1.0 }
    }

    fn bounds(&self, of: impl Fn(&(f64, f64)) -> f64) -> (f64, f64) {
        let values =
            self.lines.iter().flat_map(|line| &line.points).map(of).filter(|value| value.is_finite());
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
        if low <= high { (low, high) } else { (0.0, 0.0) }
    }
}

impl Picture for Chart {
    fn size(&self) -> (u32, u32) {
        (WIDTH, HEIGHT)
    }

    fn draw<B: DrawingBackend>(&self, area: &Area<B>) -> Result<(), PlotError> {
        let title = TextStyle::from((FONT, TITLE_SIZE)).pos(Pos::new(HPos::Left, VPos::Top));
        area.draw_text(&self.title, &title, (16, 12)).map_err(drawing)?;
        let legend_height = self.legend(area)?;
        let (_, plot) = area.split_vertically(44 + legend_height);
        let (x, y) = (self.x_range(), self.y_range());
        let (x_decimals, y_decimals) = (decimals(&x), decimals(&y));
        let mut chart = ChartBuilder::on(&plot)
            .margin_right(24)
            .margin_bottom(8)
            .margin_left(8)
            .margin_top(8)
            .x_label_area_size(48)
            .y_label_area_size(72)
            .build_cartesian_2d(x, y)
            .map_err(drawing)?;
        chart
            .configure_mesh()
            .x_labels(9)
            .y_labels(7)
            .x_desc(&self.x_label)
            .y_desc(&self.y_label)
            .label_style((FONT, TEXT_SIZE))
            .axis_desc_style((FONT, TEXT_SIZE))
            .x_label_formatter(&|value| format!("{value:.x_decimals$}"))
            .y_label_formatter(&|value| format!("{value:.y_decimals$}"))
            .bold_line_style(RGBColor(205, 205, 205))
            .light_line_style(RGBColor(240, 240, 240))
            .max_light_lines(2)
            .draw()
            .map_err(drawing)?;
        if self.stacked {
            let mut below: Option<&Line> = None;
            for line in &self.lines {
                line.fill(below, &mut chart)?;
                below = Some(line);
            }
        }
        for line in &self.lines {
            line.draw(&mut chart)?;
        }
        Ok(())
    }
}

impl Line {
    fn draw<B: DrawingBackend>(&self, chart: &mut ChartContext<'_, B, Plane>) -> Result<(), PlotError> {
        let plane = chart.plotting_area();
        let area = plane.strip_coord_spec();
        let (left, top) = area.get_base_pixel();
        let pixel = |point: &(f64, f64)| {
            let (x, y) = plane.map_coordinate(point);
            (x - left, y - top)
        };
        if self.points_only {
            // Marks that fall on one another are one.
            let mut last = None;
            for point in self.points.iter().filter(|point| point.0.is_finite() && point.1.is_finite()) {
                let at = pixel(point);
                if last.replace(at) != Some(at) {
                    area.draw(&self.mark(at)).map_err(drawing)?;
                }
            }
            return Ok(());
        }
        for run in self.points.split(|point| !(point.0.is_finite() && point.1.is_finite())) {
            for path in self.dashed(thinned(run.iter().map(pixel))) {
                area.draw(&PathElement::new(path, self.stroke())).map_err(drawing)?;
            }
        }
        if !self.secondary {
            let step = self.points.len().div_ceil(MARKS).max(1);
            // Marks of different lines stand at different places where lines coincide.
            let first = (self.colour * step / 4) % step;
            let marked = self.points.iter().skip(first).step_by(step);
            for point in marked.filter(|point| point.0.is_finite() && point.1.is_finite()) {
                area.draw(&self.mark(pixel(point))).map_err(drawing)?;
            }
        }
        Ok(())
    }

    /// Fills the room down to `below`, a line with points at the same places, or to the axis.
    fn fill<B: DrawingBackend>(
        &self,
        below: Option<&Self>,
        chart: &mut ChartContext<'_, B, Plane>,
    ) -> Result<(), PlotError> {
        let plane = chart.plotting_area();
        let area = plane.strip_coord_spec();
        let (left, top) = area.get_base_pixel();
        let pixel = |point: (f64, f64)| {
            let (x, y) = plane.map_coordinate(&point);
            (x - left, y - top)
        };
        let floor = |&(x, _): &(f64, f64)| (x, 0.0);
        let lower: Vec<_> = match below {
            Some(below) => below.points.clone(),
            None => self.points.iter().map(floor).collect(),
        };
        let outline = self.points.iter().copied().chain(lower.into_iter().rev());
        let outline: Vec<_> = outline.filter(|point| point.1.is_finite()).map(pixel).collect();
        let colour = self.colour().mix(0.35).filled();
        area.draw(&Polygon::new(outline, colour)).map_err(drawing)
    }

    const fn colour(&self) -> RGBColor {
        COLOURS[if self.colour == 0 { 0 } else { (self.colour - 1) % (COLOURS.len() - 1) + 1 }]
    }

    fn stroke(&self) -> ShapeStyle {
        self.colour().stroke_width(if self.secondary { 1 } else { 2 })
    }

    /// The mark of this line: square, triangle, diamond, triangle upside down.
    fn mark(&self, (x, y): (i32, i32)) -> Polygon<(i32, i32)> {
        let corners: &[(i32, i32)] = match self.colour % 4 {
            0 => &[(-4, -4), (4, -4), (4, 4), (-4, 4)],
            1 => &[(-5, 4), (5, 4), (0, -5)],
            2 => &[(-5, 0), (0, -5), (5, 0), (0, 5)],
            _ => &[(-5, -4), (5, -4), (0, 5)],
        };
        let corners: Vec<_> = corners.iter().map(|&(dx, dy)| (x + dx, y + dy)).collect();
        Polygon::new(corners, self.colour().filled())
    }

    /// Cuts a path into the dashes of this line.
    fn dashed(&self, path: Vec<(i32, i32)>) -> Vec<Vec<(i32, i32)>> {
        let pattern = if self.secondary { DOTS } else { DASHES[self.colour % DASHES.len()] };
        if pattern.is_empty() { vec![path] } else { dashes(&path, pattern) }
    }
}

/// Leaves out points that fall on the pixel column of both neighbours and between them, so that a long
/// series costs as much as a short one.
fn thinned(path: impl IntoIterator<Item = (i32, i32)>) -> Vec<(i32, i32)> {
    let mut thin: Vec<(i32, i32)> = Vec::new();
    for point in path {
        if let [.., a, b] = thin.as_slice()
            && a.0 == b.0
            && b.0 == point.0
            && (a.1 <= b.1) == (b.1 <= point.1)
        {
            thin.pop();
        }
        if thin.last() != Some(&point) {
            thin.push(point);
        }
    }
    thin
}

/// Dashes along a path: the lengths in `pattern` are drawn and left out in turn.
fn dashes(path: &[(i32, i32)], pattern: &[i32]) -> Vec<Vec<(i32, i32)>> {
    let mut drawn = Vec::new();
    let mut current: Vec<(i32, i32)> = path.first().copied().into_iter().collect();
    let (mut index, mut left) = (0, f64::from(pattern[0]));
    for pair in path.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        let (dx, dy) = (f64::from(to.0 - from.0), f64::from(to.1 - from.1));
        let length = (dx * dx + dy * dy).sqrt();
        let mut done = 0.0;
        while length - done > left {
            done += left;
            let at = |start: i32, delta: f64| (f64::from(start) + delta * done / length + 0.5).floor() as i32;
            let point = (at(from.0, dx), at(from.1, dy));
            if index % 2 == 0 {
                current.push(point);
                drawn.push(std::mem::take(&mut current));
            } else {
                current = vec![point];
            }
            index = (index + 1) % pattern.len();
            left = f64::from(pattern[index]);
        }
        left -= length - done;
        if index % 2 == 0 {
            current.push(to);
        }
    }
    if index % 2 == 0 && current.len() > 1 {
        drawn.push(current);
    }
    drawn
}

/// Decimals that tell the labels of an axis apart.
fn decimals(range: &std::ops::Range<f64>) -> usize {
    match range.end - range.start {
        span if span < 0.05 => 4,
        span if span < 0.5 => 3,
        span if span < 2.0 => 2,
        span if span < 12.0 => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_keep_their_lengths_round_corners() {
        let path = [(0, 0), (6, 0), (6, 6)];
        assert_eq!(dashes(&path, &[4, 4]), [vec![(0, 0), (4, 0)], vec![(6, 2), (6, 6)]]);
    }

    #[test]
    fn thinning_keeps_what_can_be_seen() {
        let path = vec![(0, 0), (0, 1), (0, 5), (0, 2), (1, 2), (1, 2), (2, 0)];
        assert_eq!(thinned(path), [(0, 0), (0, 5), (0, 2), (1, 2), (2, 0)]);
    }
}
