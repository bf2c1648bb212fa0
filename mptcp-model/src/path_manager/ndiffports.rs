//! `ndiffports` of the out-of-tree kernel: the client opens further subflows between the addresses of
//! the initial one, on other source ports, until the connection has a number of them. A subflow that
//! ends is not replaced.

use sim_core::Instant;

use super::{ConnectionView, PathAction, PathEvent, PathManager, Side};

/// Several subflows between one pair of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NDiffPorts {
    subflows: u8,
}

impl NDiffPorts {
    /// A manager that opens subflows until there are `subflows` in total (kernel default 2).
    #[must_use]
    pub const fn new(subflows: u8) -> Self {
        Self { subflows }
    }
}

impl Default for NDiffPorts {
    fn default() -> Self {
        Self::new(2)
    }
}

impl PathManager for NDiffPorts {
    fn name(&self) -> &'static str {
        "ndiffports"
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
        for _ in 1..self.subflows {
            actions.push(PathAction::CreateSubflow {
                local: Some(view.initial_local.ip()),
                local_id: 0,
                local_port: None,
                remote: view.initial_remote,
                remote_id: 0,
                backup: false,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joins(side: Side, subflows: u8) -> Vec<PathAction> {
        let view = ConnectionView {
            side,
            initial_local: "10.0.0.1:40000".parse().unwrap(),
            initial_remote: "10.0.1.2:5001".parse().unwrap(),
            peer_denies_join: false,
            subflows: &[],
            local_addresses: &[],
            backup_addresses: &[],
        };
        let mut actions = Vec::new();
        NDiffPorts::new(subflows).on_event(Instant::ZERO, &PathEvent::Established, &view, &mut actions);
        actions
    }

    // PM-08
    #[test]
    fn the_client_opens_all_but_one_subflow_on_the_initial_addresses_with_id_zero() {
        let join = PathAction::CreateSubflow {
            local: Some("10.0.0.1".parse().unwrap()),
            local_id: 0,
            local_port: None,
            remote: "10.0.1.2:5001".parse().unwrap(),
            remote_id: 0,
            backup: false,
        };
        assert_eq!(joins(Side::Client, 5), vec![join; 4]);
        assert_eq!(joins(Side::Client, 2), vec![join]);
        assert_eq!(joins(Side::Client, 0), vec![]);
        assert_eq!(joins(Side::Server, 5), vec![]);
    }
}
