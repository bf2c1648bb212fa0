//! Plots of made-up samples.

use analysis::plot::{Chart, PlotError, cumulative_bytes, goodput, round_trip_times, windows};
use analysis::series::{ConnectionSample, Fixed, SubflowSample};

/// Two subflows with saw-tooth windows; the second starts after half a second.
fn samples() -> (Vec<SubflowSample>, Vec<ConnectionSample>) {
    let mut subflows = Vec::new();
    let mut connections = Vec::new();
    for step in 0..100u32 {
        let time_s = Fixed(f64::from(step) * 0.1);
        let mut acked = 0;
        for subflow in 0..2u32 {
            if subflow == 1 && step < 5 {
                continue;
            }
            let tooth = (step * (subflow + 2)) % 40;
            let bytes = u64::from(step) * u64::from(250_000 / (subflow + 1));
            acked += bytes;
            subflows.push(SubflowSample {
                time_s,
                connection: "f1".into(),
                host: "client".into(),
                subflow,
                cwnd_segments: 20 + tooth,
                ssthresh_segments: (step > 20).then_some(24 + subflow * 6),
                srtt_ms: Some(Fixed(20.0 + f64::from(tooth) * f64::from(subflow + 1))),
                acked_bytes: bytes,
                goodput_mbit_s: Fixed(if subflow == 0 { 17.0 } else { 7.0 } + f64::from(tooth) / 20.0),
                ..SubflowSample::default()
            });
        }
        connections.push(ConnectionSample {
            time_s,
            connection: "f1".into(),
            host: "client".into(),
            dsn_acked_bytes: acked,
            goodput_mbit_s: Fixed(25.0),
            ..ConnectionSample::default()
        });
    }
    (subflows, connections)
}

fn charts() -> [(&'static str, Chart); 4] {
    let (subflows, connections) = samples();
    [
        ("goodput", goodput("two-path: goodput", &subflows, &connections)),
        ("windows", windows("two-path: congestion windows", &subflows)),
        ("bytes", cumulative_bytes("two-path: progress", &subflows, &connections)),
        ("rtt", round_trip_times("two-path: round-trip times", &subflows)),
    ]
}

#[test]
fn equal_samples_give_equal_octets() {
    let folder = tempfile::tempdir().unwrap();
    for (name, chart) in charts() {
        assert_eq!(chart.to_svg().unwrap(), chart.to_svg().unwrap(), "{name}");
        let paths = ["a", "b"].map(|copy| folder.path().join(format!("{name}-{copy}.png")));
        for path in &paths {
            chart.write(path).unwrap();
        }
        let [a, b] = paths.map(|path| std::fs::read(path).unwrap());
        assert!(a.starts_with(b"\x89PNG") && a == b, "{name}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 8);
}

#[test]
fn axes_have_units_and_lines_a_legend() {
    let [(_, goodput), (_, windows), (_, bytes), (_, rtt)] = charts();
    for (chart, texts) in [
        (goodput, vec!["goodput (Mbit/s)", "time (s)", "subflow 0", "subflow 1", "connection f1"]),
        (windows, vec!["window (segments)", "subflow 0 cwnd", "subflow 1 ssthresh"]),
        (bytes, vec!["data acknowledged (MB)", "connection f1"]),
        (rtt, vec!["smoothed round-trip time (ms)", "subflow 1"]),
    ] {
        let svg = chart.to_svg().unwrap();
        for text in texts {
            assert!(svg.contains(text), "no `{text}`");
        }
    }
}

#[test]
fn ends_that_only_receive_have_no_window_line() {
    let (mut subflows, _) = samples();
    for sample in &mut subflows {
        if sample.subflow == 1 {
            sample.acked_bytes = 0;
        }
    }
    assert_eq!(windows("", &subflows).lines.len(), 2);
}

/// The samples of `samples` for each of several connections, each to a server of its own.
fn several(count: usize) -> (Vec<SubflowSample>, Vec<ConnectionSample>) {
    let (subflows, connections) = samples();
    let names: Vec<String> = (0..count).map(|number| format!("f{number}")).collect();
    let subflows = names.iter().flat_map(|name| {
        subflows.iter().map(|sample| SubflowSample { connection: name.clone(), ..sample.clone() })
    });
    let connections = names.iter().flat_map(|name| {
        connections.iter().map(|sample| ConnectionSample { connection: name.clone(), ..sample.clone() })
    });
    (subflows.collect(), connections.collect())
}

#[test]
fn totals_of_several_connections_can_be_told_apart() {
    let (subflows, connections) = several(3);
    for chart in [goodput("", &subflows, &connections), cumulative_bytes("", &subflows, &connections)] {
        assert_eq!(
            chart.lines.iter().map(|line| line.colour).collect::<Vec<_>>(),
            [1, 2, 3, 4, 5, 6, 7, 8, 9]
        );
        assert_eq!(chart.lines[8].label, "connection f2");
    }
    let (subflows, connections) = several(1);
    let lines = goodput("", &subflows, &connections).lines;
    assert_eq!(lines.iter().map(|line| line.colour).collect::<Vec<_>>(), [1, 2, 0]);
}

#[test]
fn a_connection_of_one_subflow_has_no_line_of_its_own() {
    let (mut subflows, connections) = several(2);
    subflows.retain(|sample| sample.subflow == 0);
    let labels: Vec<_> =
        goodput("", &subflows, &connections).lines.into_iter().map(|line| line.label).collect();
    assert_eq!(labels, ["f0 subflow 0", "f1 subflow 0"]);
}

#[test]
fn ends_that_receive_nothing_neither_have_a_line_nor_change_labels_and_colours() {
    let (subflows, connections) = samples();
    let idle = subflows.iter().map(|sample| SubflowSample {
        host: "server".into(),
        goodput_mbit_s: Fixed(0.0),
        ..sample.clone()
    });
    let both: Vec<_> = idle.chain(subflows.clone()).collect();
    assert_eq!(goodput("", &both, &connections), goodput("", &subflows, &connections));
}

#[test]
fn very_many_subflows_are_shown_by_connection_with_room_for_the_plot() {
    let (subflows, connections) = several(40);
    let chart = goodput("", &subflows, &connections);
    assert_eq!(chart.lines.len(), 40);
    let svg = chart.to_svg().unwrap();
    assert!(svg.contains("connection f0"), "the legend begins");
    assert!(!svg.contains("connection f39"), "the legend ends early");
    let windows = windows("", &subflows);
    assert_eq!(windows.lines.len(), 80, "no thresholds");
    assert!(windows.to_svg().unwrap().contains("more"), "the rest of the legend is counted");
}

#[test]
fn nothing_to_plot_gives_empty_axes() {
    assert!(windows("empty", &[]).to_svg().unwrap().contains("empty"));
}

#[test]
fn other_formats_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = Chart::default().write(&folder.path().join("plot.gif")).unwrap_err();
    assert!(matches!(error, PlotError::UnknownFormat(_)));
}
