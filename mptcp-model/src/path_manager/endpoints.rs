//! The endpoint list of a host (`ip mptcp endpoint`): identifiers, duplicates and flags are checked
//! as the upstream kernel does (`net/mptcp/pm_kernel.c`). The list is kept in the order in which the
//! kernel tries the endpoints.
//!
//! Left out: implicit endpoints, which the kernel adds for addresses that joins leave from.

use std::net::IpAddr;

use super::{Endpoint, Limits};

/// Most endpoints a host may have, and the highest value of a limit.
pub const MAX_ENDPOINTS: u8 = 8;

impl Default for Limits {
    /// Those of Linux.
    fn default() -> Self {
        Self { subflows: 2, add_addr_accepted: 0 }
    }
}

/// Why an endpoint was refused, with the errno of Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// ERANGE.
    #[error("more than {MAX_ENDPOINTS} endpoints")]
    TooMany,
    /// EBUSY.
    #[error("endpoint id {0} is in use")]
    IdInUse(u8),
    /// EEXIST.
    #[error("endpoint {0} exists already")]
    Exists(IpAddr),
    /// EINVAL.
    #[error("endpoint {0}: a port needs `signal` and excludes `subflow`")]
    PortWithoutSignal(IpAddr),
    /// EINVAL.
    #[error("endpoint {0}: `signal` and `fullmesh` exclude each other")]
    SignalFullmesh(IpAddr),
    /// EINVAL.
    #[error("no endpoint has id {0}")]
    UnknownId(u8),
}

/// The endpoints of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointTable {
    endpoints: Vec<Endpoint>,
    next_id: u8,
}

impl Default for EndpointTable {
    fn default() -> Self {
        Self { endpoints: Vec::new(), next_id: 1 }
    }
}

impl EndpointTable {
    /// The endpoints in the order the kernel tries them: those with a port first, newest first, then
    /// the others, oldest first.
    #[must_use]
    pub fn as_slice(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Adds `endpoint`; an id of 0 asks for the next free one. Returns it as added.
    ///
    /// # Errors
    /// If its flags contradict each other, its id or address is taken, or the list is full.
    pub fn add(&mut self, endpoint: Endpoint) -> Result<Endpoint, EndpointError> {
        let Endpoint { id, address, port, signal, subflow, backup: _, fullmesh } = endpoint;
        if port.is_some() && (!signal || subflow) {
            return Err(EndpointError::PortWithoutSignal(address));
        }
        if signal && fullmesh {
            return Err(EndpointError::SignalFullmesh(address));
        }
        if self.endpoints.len() >= usize::from(MAX_ENDPOINTS) {
            return Err(EndpointError::TooMany);
        }
        if id != 0 && self.position(id).is_some() {
            return Err(EndpointError::IdInUse(id));
        }
        if self.endpoints.iter().any(|other| other.address == address && other.port == port) {
            return Err(EndpointError::Exists(address));
        }
        let id = if id == 0 { self.free_id() } else { id };
        // The kernel goes on from the highest id given so far, and starts again at 1 after 255.
        self.next_id = if id == u8::MAX { 1 } else { self.next_id.max(id) };
        let endpoint = Endpoint { id, ..endpoint };
        insert(&mut self.endpoints, endpoint);
        Ok(endpoint)
    }

    /// Removes the endpoint with this id.
    ///
    /// # Errors
    /// If there is none.
    pub fn remove(&mut self, id: u8) -> Result<Endpoint, EndpointError> {
        let position = self.position(id).ok_or(EndpointError::UnknownId(id))?;
        Ok(self.endpoints.remove(position))
    }

    /// Changes the flags that may change; returns the endpoint after the change.
    ///
    /// # Errors
    /// If there is no endpoint with this id, or `fullmesh` is asked for one with `signal`.
    pub fn change(&mut self, id: u8, backup: bool, fullmesh: bool) -> Result<Endpoint, EndpointError> {
        let position = self.position(id).ok_or(EndpointError::UnknownId(id))?;
        let endpoint = &mut self.endpoints[position];
        if fullmesh && endpoint.signal {
            return Err(EndpointError::SignalFullmesh(endpoint.address));
        }
        endpoint.backup = backup;
        endpoint.fullmesh = fullmesh;
        Ok(*endpoint)
    }

    /// Removes all endpoints; returns them.
    pub fn flush(&mut self) -> Vec<Endpoint> {
        core::mem::take(self).endpoints
    }

    fn position(&self, id: u8) -> Option<usize> {
        self.endpoints.iter().position(|endpoint| endpoint.id == id)
    }

    fn free_id(&self) -> u8 {
        (self.next_id..=u8::MAX)
            .chain(1..self.next_id)
            .find(|&id| self.position(id).is_none())
            .expect("8 endpoints cannot use 255 ids")
    }
}

/// Puts `endpoint` where the kernel puts it in its list.
pub(super) fn insert(endpoints: &mut Vec<Endpoint>, endpoint: Endpoint) {
    let position = if endpoint.port.is_some() { 0 } else { endpoints.len() };
    endpoints.insert(position, endpoint);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(id: u8, address: &str) -> Endpoint {
        Endpoint {
            id,
            address: address.parse().unwrap(),
            port: None,
            signal: false,
            subflow: true,
            backup: false,
            fullmesh: false,
        }
    }

    // PM-13
    #[test]
    fn ids_are_given_or_allocated_in_order() {
        let mut table = EndpointTable::default();
        let mut add = |id, address| table.add(endpoint(id, address)).map(|added| added.id);
        assert_eq!(add(0, "10.0.0.1"), Ok(1));
        assert_eq!(add(0, "10.0.0.2"), Ok(2));
        assert_eq!(add(7, "10.0.0.3"), Ok(7));
        assert_eq!(add(0, "10.0.0.4"), Ok(8));
        assert_eq!(add(255, "10.0.0.5"), Ok(255));
        assert_eq!(add(0, "10.0.0.6"), Ok(3));
    }

    // PM-12, PM-13
    #[test]
    fn the_kernel_refuses_clashes_a_ninth_endpoint_and_contradicting_flags() {
        let mut table = EndpointTable::default();
        let first = table.add(endpoint(1, "10.0.0.1")).unwrap();
        assert_eq!(table.add(endpoint(1, "10.0.0.2")), Err(EndpointError::IdInUse(1)));
        assert_eq!(table.add(endpoint(2, "10.0.0.1")), Err(EndpointError::Exists(first.address)));
        let port = Endpoint { port: Some(100), ..endpoint(2, "10.0.0.2") };
        assert_eq!(table.add(port), Err(EndpointError::PortWithoutSignal(port.address)));
        let both = Endpoint { signal: true, fullmesh: true, ..endpoint(2, "10.0.0.2") };
        assert_eq!(table.add(both), Err(EndpointError::SignalFullmesh(both.address)));
        for n in 2..=8 {
            table.add(endpoint(0, &format!("10.0.0.{n}"))).unwrap();
        }
        assert_eq!(table.add(endpoint(0, "10.0.0.9")), Err(EndpointError::TooMany));
        assert_eq!(table.remove(1), Ok(first));
        assert_eq!(table.remove(1), Err(EndpointError::UnknownId(1)));
        assert_eq!(table.flush().len(), 7);
        assert!(table.as_slice().is_empty());
    }

    #[test]
    fn only_backup_and_fullmesh_can_change_later() {
        let mut table = EndpointTable::default();
        table.add(endpoint(5, "10.0.0.1")).unwrap();
        let changed = table.change(5, true, true).unwrap();
        assert_eq!(changed, Endpoint { backup: true, fullmesh: true, ..endpoint(5, "10.0.0.1") });
        assert_eq!(table.as_slice(), [changed]);
        let signal = Endpoint { signal: true, subflow: false, ..endpoint(6, "10.0.0.2") };
        table.add(signal).unwrap();
        assert_eq!(table.change(6, false, true), Err(EndpointError::SignalFullmesh(signal.address)));
        assert_eq!(table.change(9, false, true), Err(EndpointError::UnknownId(9)));
    }
}
