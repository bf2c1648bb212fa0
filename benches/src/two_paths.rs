//! W3: one MPTCP connection over two links between two hosts.

use std::net::Ipv4Addr;
use std::sync::Arc;

use mptcp_model::mptcp::PathManagerFactory;
use mptcp_model::path_manager::{ConnectionView, PathAction, PathEvent, PathManager, Side};
use mptcp_model::wire::Packet;
use sim_core::{Agenda, Duration, Instant, Observer};

use crate::network::{Line, MPTCP_PAYLOAD, Network, Sockets};
use crate::threshold;

const LINES: [Line; 2] = [
    Line { rate: 100_000_000, delay: Duration::from_millis(10) },
    Line { rate: 50_000_000, delay: Duration::from_millis(30) },
];
/// Packets of the queues in the way of the data; slow start ends at as many.
const QUEUES: [u32; 2] = [166, 250];
const REVERSE_QUEUE: u32 = 1000;
const CLIENT: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 1, 1), Ipv4Addr::new(10, 0, 2, 1)];
const SERVER: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 1, 2), Ipv4Addr::new(10, 0, 2, 2)];

/// One join to each of a list of addresses, as soon as the connection is established.
#[derive(Debug)]
pub(crate) struct Joins {
    /// Local and remote address, each with its id.
    pub(crate) paths: Arc<[[(u8, Ipv4Addr); 2]]>,
}

impl Joins {
    pub(crate) fn factory(paths: Vec<[(u8, Ipv4Addr); 2]>) -> PathManagerFactory {
        let paths: Arc<[_]> = paths.into();
        Arc::new(move || Box::new(Self { paths: Arc::clone(&paths) }))
    }
}

impl PathManager for Joins {
    fn name(&self) -> &'static str {
        "joins"
    }

    fn accepts_join(&self, _: &ConnectionView<'_>) -> bool {
        true
    }

    fn on_event(
        &mut self,
        _: Instant,
        event: &PathEvent,
        view: &ConnectionView<'_>,
        actions: &mut Vec<PathAction>,
    ) {
        if *event != PathEvent::Established || view.side == Side::Server {
            return;
        }
        let port = view.initial_remote.port();
        actions.extend(self.paths.iter().map(|&[(local_id, local), (remote_id, remote)]| {
            PathAction::CreateSubflow {
                local: Some(local.into()),
                local_id,
                local_port: None,
                remote: (remote, port).into(),
                remote_id,
                backup: false,
            }
        }));
    }
}

pub(crate) fn build<A: Agenda, O: Observer<Packet>>(observer: O) -> Network<A, O> {
    let mut network = Network::new(MPTCP_PAYLOAD, observer);
    // Each end counts the subflows it gives thresholds to.
    let [client, server] = [(); 2].map(|()| {
        Sockets::new(
            64 << 20,
            QUEUES[0],
            threshold::with_thresholds("lia", &QUEUES),
            Some(Joins::factory(vec![[(1, CLIENT[1]), (1, SERVER[1])]])),
        )
    });
    let (source, sink) = (client.source(CLIENT[0], SERVER[0], Instant::ZERO), server.sink());
    let client = network.add_host(
        "client",
        &[&[CLIENT[0]], &[CLIENT[1]]],
        &[(SERVER[0], 0), (SERVER[1], 1)],
        vec![source],
    );
    let server = network.add_host(
        "server",
        &[&[SERVER[0]], &[SERVER[1]]],
        &[(CLIENT[0], 0), (CLIENT[1], 1)],
        vec![sink],
    );
    for (line, queue) in LINES.into_iter().zip(QUEUES) {
        network.connect(client, server, line, [queue, REVERSE_QUEUE]);
    }
    network
}
