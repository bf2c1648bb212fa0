//! What sockets tell of MPTCP, and what they can be asked to do: the options of upstream Linux at level
//! `SOL_MPTCP`, the options of the out-of-tree kernel at the level of TCP, and the enhanced socket interface,
//! by which programs list, open and close subflows.
//!
//! Left out: the octets of the structures; values have the names of their members.

use std::net::SocketAddr;

use sim_core::Instant;

use super::{Errno, Fd, Socket, Sockets, State, TcpInfo};
use crate::config::TcpConfig;
use crate::host::Host;
use crate::mptcp::{Connection, Mode, Stage, Subflow};
use crate::path_manager::{SubflowId, registry};
use crate::scheduler;

/// Options of MPTCP: name, level and number. `SOL_MPTCP` is upstream's, 6 is `SOL_TCP`, where the out-of-tree
/// kernel has its own.
pub const OPTION_NUMBERS: [(&str, i32, i32); 15] = [
    ("MPTCP_INFO", 284, 1),
    ("MPTCP_TCPINFO", 284, 2),
    ("MPTCP_SUBFLOW_ADDRS", 284, 3),
    ("MPTCP_FULL_INFO", 284, 4),
    ("MPTCP_ENABLED", 6, 42),
    ("MPTCP_SCHEDULER", 6, 43),
    ("MPTCP_PATH_MANAGER", 6, 44),
    ("MPTCP_INFO", 6, 45),
    ("MPTCP_GET_SUB_IDS", 6, 66),
    ("MPTCP_CLOSE_SUB_ID", 6, 67),
    ("MPTCP_GET_SUB_TUPLE", 6, 68),
    ("MPTCP_OPEN_SUB_TUPLE", 6, 69),
    ("MPTCP_SUB_GETINFO", 6, 70),
    ("MPTCP_SUB_GETSOCKOPT", 6, 71),
    ("MPTCP_SUB_SETSOCKOPT", 6, 72),
];

/// `struct mptcp_info`, as far as the model knows it. Octets unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MptcpInfo {
    /// `mptcpi_subflows`: subflows besides the initial one.
    pub subflows: u8,
    /// `mptcpi_subflows_total`: all that live.
    pub subflows_total: u8,
    /// `mptcpi_token`: the token of this host.
    pub token: u32,
    /// `mptcpi_csum_enabled`
    pub csum_enabled: bool,
    /// `mptcpi_retransmits`: connection-level timeouts that sent data again.
    pub retransmits: u64,
    /// `mptcpi_bytes_retrans`
    pub bytes_retrans: u64,
    /// `mptcpi_bytes_sent`
    pub bytes_sent: u64,
    /// `mptcpi_bytes_received`
    pub bytes_received: u64,
    /// `mptcpi_bytes_acked`
    pub bytes_acked: u64,
}

/// `struct mptcp_subflow_data`: stands at the beginning of the buffer of `MPTCP_TCPINFO`,
/// `MPTCP_SUBFLOW_ADDRS` and `MPTCP_FULL_INFO`, filled in by the caller and by the kernel. Sizes in octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubflowData {
    /// Size of this structure as the caller knows it, at least 16.
    pub size_subflow_data: u32,
    /// Must be 0; becomes the number of subflows there are.
    pub num_subflows: u32,
    /// Must be 0; becomes the size of an entry as the kernel knows it.
    pub size_kernel: u32,
    /// Size of an entry as the caller knows it.
    pub size_user: u32,
}

impl SubflowData {
    const LEAST: u32 = 16;

    /// Checks what the caller filled in and fills in the rest; `room` is the size of the whole buffer. Returns how
    /// many entries fit.
    fn answer(&mut self, room: usize, size_kernel: u32, subflows: usize) -> Result<usize, Errno> {
        let wrong = self.size_subflow_data < Self::LEAST || self.num_subflows != 0 || self.size_kernel != 0;
        let room = room.checked_sub(self.size_subflow_data as usize).filter(|_| !wrong);
        let room = room.ok_or(Errno::Invalid)?;
        self.num_subflows = subflows as u32;
        self.size_kernel = size_kernel;
        self.size_user = self.size_user.min(size_kernel);
        Ok(room.checked_div(self.size_user as usize).unwrap_or(0).min(subflows))
    }
}

/// Size of `struct tcp_info` of Linux 6.18.
const TCP_INFO_SIZE: u32 = 280;
/// Size of `struct mptcp_subflow_addrs`.
const SUBFLOW_ADDRS_SIZE: u32 = 256;

impl Sockets {
    /// The connection of a socket that speaks or may come to speak MPTCP. Fallback, and a socket of TCP, have
    /// no options of MPTCP.
    fn multipath<'a>(&self, host: &'a Host, fd: Fd) -> Result<Option<&'a Connection>, Errno> {
        let socket = self.get(fd)?;
        if socket.options.mptcp.is_none() {
            return Err(Errno::NotSupported);
        }
        match self.connection(host, fd) {
            Some(connection) if connection.mode() == Mode::Plain => Err(Errno::NotSupported),
            other => Ok(other),
        }
    }

    /// `MPTCP_INFO`; the caller takes as many octets of it as it has room for.
    ///
    /// # Errors
    /// EOPNOTSUPP on a socket of TCP and after a fallback, EBADF.
    pub fn mptcp_info(&self, host: &Host, fd: Fd) -> Result<MptcpInfo, Errno> {
        let Some(connection) = self.multipath(host, fd)? else {
            return Ok(MptcpInfo {
                subflows: 0,
                subflows_total: 0,
                token: 0,
                csum_enabled: false,
                retransmits: 0,
                bytes_retrans: 0,
                bytes_sent: 0,
                bytes_received: 0,
                bytes_acked: 0,
            });
        };
        let info = connection.info();
        let total = live(connection).count() as u8;
        Ok(MptcpInfo {
            subflows: live(connection).filter(|subflow| subflow.id() != SubflowId(0)).count() as u8,
            subflows_total: total,
            token: connection.local_token(),
            csum_enabled: connection.uses_checksums(),
            retransmits: info.stats.retransmits,
            bytes_retrans: info.stats.reinjected_bytes,
            bytes_sent: info.bytes_sent,
            bytes_received: info.bytes_received,
            bytes_acked: info.bytes_acked,
        })
    }

    /// `MPTCP_TCPINFO`: `TCP_INFO` of as many subflows as a buffer of `room` octets has room for.
    ///
    /// # Errors
    /// EINVAL if `data` is not as [`SubflowData`] says; as [`mptcp_info`](Self::mptcp_info).
    pub fn subflow_tcp_info<'a>(
        &self,
        now: Instant,
        host: &'a Host,
        fd: Fd,
        data: &mut SubflowData,
        room: usize,
    ) -> Result<Vec<TcpInfo<'a>>, Errno> {
        let subflows: Vec<_> = self.multipath(host, fd)?.into_iter().flat_map(live).collect();
        let count = data.answer(room, TCP_INFO_SIZE, subflows.len())?;
        Ok(subflows[..count].iter().map(|subflow| TcpInfo::new(&subflow.flow, now)).collect())
    }

    /// `MPTCP_SUBFLOW_ADDRS`: local and remote ends.
    ///
    /// # Errors
    /// As [`subflow_tcp_info`](Self::subflow_tcp_info).
    pub fn subflow_addresses(
        &self,
        host: &Host,
        fd: Fd,
        data: &mut SubflowData,
        room: usize,
    ) -> Result<Vec<(SocketAddr, SocketAddr)>, Errno> {
        let subflows: Vec<_> = self.multipath(host, fd)?.into_iter().flat_map(live).collect();
        let count = data.answer(room, SUBFLOW_ADDRS_SIZE, subflows.len())?;
        Ok(subflows[..count].iter().map(|subflow| (subflow.flow.local(), subflow.flow.remote())).collect())
    }

    /// Setting an option at level `SOL_MPTCP`: there is none to set.
    ///
    /// # Errors
    /// ENOPROTOOPT always, EBADF.
    pub fn set_mptcp_option(&self, fd: Fd) -> Result<(), Errno> {
        self.get(fd).and(Err(Errno::OptionUnknown))
    }

    /// `MPTCP_ENABLED` of the out-of-tree kernel.
    ///
    /// # Errors
    /// EPERM is EINVAL here: once connected or listening it is too late. EBADF.
    pub fn enable_mptcp(
        &mut self,
        fd: Fd,
        config: Option<std::sync::Arc<crate::config::MptcpConfig>>,
    ) -> Result<(), Errno> {
        let socket = self.fresh(fd)?;
        socket.options.mptcp = config;
        Ok(())
    }

    /// `MPTCP_SCHEDULER`: the scheduler of the connection to come.
    ///
    /// # Errors
    /// ENOENT if there is none of that name; EINVAL, EBADF as [`enable_mptcp`](Self::enable_mptcp).
    pub fn set_scheduler(&mut self, fd: Fd, name: &str) -> Result<(), Errno> {
        let name = scheduler::list().iter().find(|info| info.name == name).ok_or(Errno::NoEntry)?.name;
        let socket = self.fresh(fd)?;
        socket.options.scheduler =
            std::sync::Arc::new(move || scheduler::create(name).expect("the name is from the list"));
        Ok(())
    }

    /// `MPTCP_PATH_MANAGER`: the path manager of the connection to come, with its defaults.
    ///
    /// # Errors
    /// As [`set_scheduler`](Self::set_scheduler).
    pub fn set_path_manager(&mut self, fd: Fd, name: &str) -> Result<(), Errno> {
        let entry = registry::find(name).ok_or(Errno::NoEntry)?;
        let socket = self.fresh(fd)?;
        socket.options.path_manager =
            std::sync::Arc::new(move || (entry.build)(&registry::PathManagerConfig::default()));
        Ok(())
    }

    fn fresh(&mut self, fd: Fd) -> Result<&mut Socket, Errno> {
        self.get_mut(fd).and_then(|socket| match socket.state {
            State::Fresh => Ok(socket),
            _ => Err(Errno::Invalid),
        })
    }

    /// A subflow by the number programs know it by.
    fn subflow<'a>(&self, host: &'a Host, fd: Fd, id: u8) -> Result<&'a Subflow, Errno> {
        let connection = self.multipath(host, fd)?.ok_or(Errno::NotConnected)?;
        live(connection).find(|subflow| number(subflow) == id).ok_or(Errno::Invalid)
    }

    /// `MPTCP_GET_SUB_IDS`: numbers of the subflows, newest first, each with its low-priority flag, into a list
    /// of `room` entries. The initial one has number 1.
    ///
    /// # Errors
    /// EINVAL if there are more; ENOTCONN, EOPNOTSUPP, EBADF.
    pub fn subflow_ids(&self, host: &Host, fd: Fd, room: usize) -> Result<Vec<(u8, bool)>, Errno> {
        let connection = self.multipath(host, fd)?.ok_or(Errno::NotConnected)?;
        let mut ids: Vec<_> =
            live(connection).map(|subflow| (number(subflow), subflow.is_backup())).collect();
        ids.reverse();
        if ids.len() > room { Err(Errno::Invalid) } else { Ok(ids) }
    }

    /// `MPTCP_GET_SUB_TUPLE`: local and remote end of a subflow.
    ///
    /// # Errors
    /// EINVAL for an unknown number; ENOTCONN, EOPNOTSUPP, EBADF.
    pub fn subflow_tuple(&self, host: &Host, fd: Fd, id: u8) -> Result<(SocketAddr, SocketAddr), Errno> {
        self.subflow(host, fd, id).map(|subflow| (subflow.flow.local(), subflow.flow.remote()))
    }

    /// `MPTCP_CLOSE_SUB_ID`: close one subflow; what it carried and the peer has not goes on the others.
    ///
    /// # Errors
    /// As [`subflow_tuple`](Self::subflow_tuple).
    pub fn close_subflow(&self, now: Instant, host: &mut Host, fd: Fd, id: u8) -> Result<(), Errno> {
        let subflow = self.subflow(host, fd, id)?.id();
        let State::Connection(socket) = self.get(fd)?.state else { return Err(Errno::NotConnected) };
        host.configure(now, socket, |connection| connection.end_subflow(now, subflow));
        Ok(())
    }

    /// `MPTCP_OPEN_SUB_TUPLE`: open a subflow from `local` (port 0 for any) to `remote`. Returns its number.
    ///
    /// # Errors
    /// EADDRINUSE if the four-tuple is in use, EADDRNOTAVAIL if the address is not the host's or no port is
    /// left, ENETUNREACH or EHOSTUNREACH without a route, ENOTCONN before the connection is confirmed;
    /// EOPNOTSUPP, EBADF.
    pub fn open_subflow(
        &self,
        now: Instant,
        host: &mut Host,
        fd: Fd,
        (local, remote): (SocketAddr, SocketAddr),
        low_priority: bool,
    ) -> Result<u8, Errno> {
        let connection = self.multipath(host, fd)?.ok_or(Errno::NotConnected)?;
        if !connection.may_be_joined() {
            return Err(Errno::NotConnected);
        }
        let State::Connection(socket) = self.get(fd)?.state else { return Err(Errno::NotConnected) };
        let id = host.open_subflow(now, socket, local, remote, low_priority)?;
        Ok((id.0 + 1) as u8)
    }

    /// `MPTCP_SUB_SETSOCKOPT`: change settings of TCP on one subflow only.
    ///
    /// # Errors
    /// As [`subflow_tuple`](Self::subflow_tuple).
    pub fn change_subflow(
        &self,
        now: Instant,
        host: &mut Host,
        fd: Fd,
        id: u8,
        change: impl FnOnce(&mut TcpConfig),
    ) -> Result<(), Errno> {
        let subflow = self.subflow(host, fd, id)?.id();
        let State::Connection(socket) = self.get(fd)?.state else { return Err(Errno::NotConnected) };
        host.configure(now, socket, |connection| connection.change_subflow(subflow, change));
        Ok(())
    }

    /// `MPTCP_SUB_GETSOCKOPT`: the settings of TCP of one subflow.
    ///
    /// # Errors
    /// As [`subflow_tuple`](Self::subflow_tuple).
    pub fn subflow_settings<'a>(&self, host: &'a Host, fd: Fd, id: u8) -> Result<&'a TcpConfig, Errno> {
        self.subflow(host, fd, id).map(|subflow| subflow.flow.settings())
    }
}

/// Subflows that live, in order of creation.
fn live(connection: &Connection) -> impl Iterator<Item = &Subflow> {
    connection.subflows().iter().filter(|subflow| subflow.stage != Stage::Gone && !subflow.retired)
}

fn number(subflow: &Subflow) -> u8 {
    (subflow.id().0 + 1) as u8
}
