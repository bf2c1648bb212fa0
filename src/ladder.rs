//! `mptcp-sim ladder`: the sequence of set-up, signalling and close.

use std::path::PathBuf;

use analysis::ladder::Ladder;
use clap::Args;

use crate::failure::Failure;
use crate::{analyze, print};

/// Arguments of `ladder`.
#[derive(Clone, Debug, Args)]
pub(crate) struct LadderArguments {
    /// Capture file, pcap or pcapng, gzipped or not
    #[arg(value_name = "CAPTURE")]
    pub(crate) capture: PathBuf,
    /// Only the connection of this number, as `analyze` counts them
    #[arg(long, value_name = "N")]
    pub(crate) connection: Option<usize>,
    /// Only what this host saw, if the capture holds several
    #[arg(long, value_name = "HOST")]
    pub(crate) view: Option<String>,
    /// Write SVG to a file instead of text
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Write PNG to a file instead of text
    #[arg(long, value_name = "FILE")]
    pub(crate) png: Option<PathBuf>,
}

/// Prints or draws the ladders of a capture.
///
/// # Errors
/// If the file is no capture, has no such connection, or the output cannot be written.
pub(crate) fn ladder(arguments: &LadderArguments) -> Result<(), Failure> {
    let path = &arguments.capture;
    let (views, warnings) = analyze::read(path, &mut ())?;
    for warning in &warnings {
        crate::report(&[format!("{}: {warning}\n", path.display())]);
    }
    let mut ladders = Vec::new();
    for view in views.iter().filter(|view| arguments.view.as_ref().is_none_or(|name| *name == view.name)) {
        let all = view.reconstruction.connections().iter().filter(|connection| !connection.flows.is_empty());
        let chosen = all.enumerate().filter(|(number, _)| arguments.connection.is_none_or(|n| n == *number));
        ladders.extend(chosen.map(|(number, connection)| Ladder::new(view, number, connection)));
    }
    if ladders.is_empty() {
        let names: Vec<_> = views.iter().map(|view| view.name.as_str()).collect();
        let help = format!("views: {}; `analyze` lists the connections", names.join(", "));
        return Err(Failure::message(format!("{}: no such connection", path.display()), help));
    }
    let pictures: Vec<_> = [(&arguments.svg, "svg"), (&arguments.png, "png")]
        .into_iter()
        .filter_map(|(file, ending)| Some((file.as_ref()?, ending)))
        .collect();
    if pictures.is_empty() {
        return ladders.iter().enumerate().try_for_each(|(index, ladder)| {
            let separator = if index == 0 { "" } else { "\n" };
            print(&format!("{separator}{ladder}"))
        });
    }
    let [ladder] = ladders.as_slice() else {
        let help = "choose one with --connection, and with --view if the capture holds several hosts";
        let count = ladders.len();
        return Err(Failure::message(
            format!("a picture shows one connection, not {count}"),
            help.to_owned(),
        ));
    };
    for (file, ending) in pictures {
        if file.extension().is_none_or(|own| own != ending) {
            let help = format!("end the name in .{ending}");
            return Err(Failure::message(format!("{} is no name for this picture", file.display()), help));
        }
        ladder.write(file).map_err(|error| Failure::message(error.to_string(), None))?;
    }
    Ok(())
}
