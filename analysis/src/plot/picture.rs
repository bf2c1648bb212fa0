//! Anything drawn, as SVG and PNG, the same on every machine.

use std::io;
use std::path::Path;
use std::sync::OnceLock;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};

/// Why a plot could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlotError {
    /// The file name ends in neither `.svg` nor `.png`.
    #[error("`{0}`: plots are written as .svg or .png")]
    UnknownFormat(String),
    /// Writing failed.
    #[error("writing `{path}` failed: {error}")]
    Io {
        /// The file.
        path: String,
        /// What failed.
        #[source]
        error: io::Error,
    },
    /// Drawing failed.
    #[error("drawing failed: {0}")]
    Drawing(String),
}

pub(crate) const FONT: &str = "sans-serif";

/// Black and the colours of Okabe and Ito, darkest contrast first; yellow is left out as too faint on
/// white.
pub(crate) const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 0, 0),
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

pub(crate) type Area<B> = DrawingArea<B, Shift>;

/// What can be drawn.
pub(crate) trait Picture {
    /// Width and height in pixels.
    fn size(&self) -> (u32, u32);

    /// Draws on an empty area of that size.
    fn draw<B: DrawingBackend>(&self, area: &Area<B>) -> Result<(), PlotError>;
}

/// Writes a picture to `path`, whose ending chooses SVG or PNG. The file appears complete or not at all.
pub(crate) fn write(picture: &impl Picture, path: &Path) -> Result<(), PlotError> {
    let name = path.display().to_string();
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
    // The ending stays last, as it chooses the format of the picture.
    let temporary = path.with_extension(format!("part.{ending}"));
    let io = |error| PlotError::Io { path: name.clone(), error };
    match ending.as_str() {
        "svg" => std::fs::write(&temporary, to_svg(picture)?).map_err(io)?,
        "png" => {
            let area = BitMapBackend::new(&temporary, picture.size()).into_drawing_area();
            on(picture, &area)?;
        }
        _ => return Err(PlotError::UnknownFormat(name)),
    }
    std::fs::rename(&temporary, path).map_err(io)
}

/// A picture as SVG.
pub(crate) fn to_svg(picture: &impl Picture) -> Result<String, PlotError> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, picture.size()).into_drawing_area();
        on(picture, &area)?;
    }
    Ok(svg)
}

fn on<B: DrawingBackend>(picture: &impl Picture, area: &Area<B>) -> Result<(), PlotError> {
    fonts()?;
    area.fill(&WHITE).map_err(drawing)?;
    picture.draw(area)?;
    area.present().map_err(drawing)
}

fn fonts() -> Result<(), PlotError> {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    let registered = REGISTERED.get_or_init(|| {
        let font = include_bytes!("../../assets/DejaVuSans.ttf");
        register_font(FONT, FontStyle::Normal, font).is_ok()
    });
    if *registered { Ok(()) } else { Err(PlotError::Drawing("the font is damaged".into())) }
}

/// What the drawing library complains of.
pub(crate) fn drawing(error: impl std::fmt::Display) -> PlotError {
    PlotError::Drawing(error.to_string())
}
