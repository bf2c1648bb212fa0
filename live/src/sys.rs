//! The system calls themselves, and the TUN device. The only place with `unsafe`: each block passes pointers to
//! buffers that live for the call, with their lengths.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::fs::{File, OpenOptions};
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd as _, IntoRawFd as _};
use std::ptr;

/// `TUNSETIFF` of `linux/if_tun.h`.
const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
/// A device of IP packets without a header of its own (`IFF_TUN | IFF_NO_PI`).
const TUN_WITHOUT_HEADER: u16 = 0x1001;
/// Room for the value of any socket option that scripts ask for.
const OPTION_ROOM: usize = 512;

/// What a call gave back: its result or the number of the error, and what it wrote.
#[derive(Clone, Debug, Default)]
pub(crate) struct Returned {
    pub(crate) result: i64,
    pub(crate) errno: i32,
    pub(crate) written: Vec<u8>,
}

impl Returned {
    fn of(result: i64) -> Self {
        let errno = if result < 0 { io::Error::last_os_error().raw_os_error().unwrap_or(0) } else { 0 };
        Self { result, errno, written: Vec::new() }
    }

    fn with(self, written: Vec<u8>) -> Self {
        Self { written, ..self }
    }
}

/// The calling thread, and those it starts from now on, get a network of their own.
pub(crate) fn unshare_network() -> io::Result<()> {
    // SAFETY: no pointers.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A new TUN device; what is written to the file arrives on it, what leaves by it can be read.
pub(crate) fn open_tun(name: &str) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
    let mut request = [0_u8; 40];
    request[..name.len()].copy_from_slice(name.as_bytes());
    request[16..18].copy_from_slice(&TUN_WITHOUT_HEADER.to_ne_bytes());
    // SAFETY: the kernel reads and writes a `struct ifreq`, which is 40 octets long.
    if unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF, request.as_mut_ptr()) } == 0 {
        Ok(file)
    } else {
        Err(io::Error::last_os_error())
    }
}

pub(crate) fn socket(domain: c_int, kind: c_int, protocol: c_int) -> Returned {
    // SAFETY: no pointers.
    Returned::of(unsafe { libc::socket(domain, kind, protocol) }.into())
}

pub(crate) fn bind(fd: c_int, address: &[u8]) -> Returned {
    // SAFETY: address and length belong together.
    Returned::of(unsafe { libc::bind(fd, address.as_ptr().cast(), address.len() as u32) }.into())
}

pub(crate) fn connect(fd: c_int, address: &[u8]) -> Returned {
    // SAFETY: address and length belong together.
    Returned::of(unsafe { libc::connect(fd, address.as_ptr().cast(), address.len() as u32) }.into())
}

pub(crate) fn listen(fd: c_int, backlog: c_int) -> Returned {
    // SAFETY: no pointers.
    Returned::of(unsafe { libc::listen(fd, backlog) }.into())
}

pub(crate) fn accept(fd: c_int) -> Returned {
    // SAFETY: null asks for no address.
    Returned::of(unsafe { libc::accept(fd, ptr::null_mut(), ptr::null_mut()) }.into())
}

pub(crate) fn close(fd: c_int) -> Returned {
    // SAFETY: descriptors of scripts are owned by nobody else.
    Returned::of(unsafe { libc::close(fd) }.into())
}

pub(crate) fn shutdown(fd: c_int, how: c_int) -> Returned {
    // SAFETY: no pointers.
    Returned::of(unsafe { libc::shutdown(fd, how) }.into())
}

pub(crate) fn read(fd: c_int, len: usize) -> Returned {
    let mut buffer = vec![0_u8; len];
    // SAFETY: the buffer has `len` octets.
    Returned::of(unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), len) } as i64)
}

pub(crate) fn receive(fd: c_int, len: usize, flags: c_int) -> Returned {
    let mut buffer = vec![0_u8; len];
    // SAFETY: the buffer has `len` octets.
    Returned::of(unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), len, flags) } as i64)
}

/// Sends zeros; to nowhere in particular if the address is empty.
pub(crate) fn send(fd: c_int, len: usize, flags: c_int, address: &[u8]) -> Returned {
    let buffer = vec![0_u8; len];
    let to = if address.is_empty() { ptr::null() } else { address.as_ptr().cast() };
    let flags = flags | libc::MSG_NOSIGNAL;
    // SAFETY: buffer and address go with their lengths.
    let sent = unsafe { libc::sendto(fd, buffer.as_ptr().cast(), len, flags, to, address.len() as u32) };
    Returned::of(sent as i64)
}

/// Opens a file to send from, whatever its name in the script.
pub(crate) fn open_zeros() -> Returned {
    match File::open("/dev/zero") {
        Ok(file) => Returned { result: file.into_raw_fd().into(), ..Returned::default() },
        Err(error) => {
            Returned { result: -1, errno: error.raw_os_error().unwrap_or(0), ..Returned::default() }
        }
    }
}

/// Sends zeros from a file that the kernel reads itself.
pub(crate) fn send_file(fd: c_int, from: c_int, len: usize) -> Returned {
    // SAFETY: null stands for the position of the file.
    Returned::of(unsafe { libc::sendfile(fd, from, ptr::null_mut(), len) } as i64)
}

pub(crate) fn fcntl(fd: c_int, command: c_int, argument: c_int) -> Returned {
    // SAFETY: F_GETFL and F_SETFL take a number.
    Returned::of(unsafe { libc::fcntl(fd, command, argument) }.into())
}

/// An `ioctl` that answers with one number.
pub(crate) fn ioctl_number(fd: c_int, command: u64) -> Returned {
    let mut number: c_int = 0;
    // SAFETY: SIOCINQ and SIOCOUTQ write one int.
    let result = unsafe { libc::ioctl(fd, command, &mut number) };
    Returned::of(result.into()).with(number.to_ne_bytes().to_vec())
}

pub(crate) fn set_option(fd: c_int, level: c_int, name: c_int, value: &[u8]) -> Returned {
    // SAFETY: value and length belong together.
    let result = unsafe { libc::setsockopt(fd, level, name, value.as_ptr().cast(), value.len() as u32) };
    Returned::of(result.into())
}

pub(crate) fn option(fd: c_int, level: c_int, name: c_int) -> Returned {
    let mut value = vec![0_u8; OPTION_ROOM];
    let mut len = OPTION_ROOM as u32;
    // SAFETY: the kernel writes at most `len` octets.
    let result = unsafe { libc::getsockopt(fd, level, name, value.as_mut_ptr().cast(), &mut len) };
    value.truncate(len as usize);
    Returned::of(result.into()).with(value)
}

/// Polls descriptors for events; the events found are written as 16 bits each.
pub(crate) fn poll(entries: &[(c_int, i16)], timeout: c_int) -> Returned {
    let mut entries: Vec<_> =
        entries.iter().map(|&(fd, events)| libc::pollfd { fd, events, revents: 0 }).collect();
    // SAFETY: the entries go with their number.
    let result = unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, timeout) };
    let found = entries.iter().flat_map(|entry| entry.revents.to_ne_bytes()).collect();
    Returned::of(result.into()).with(found)
}

pub(crate) fn epoll_create() -> Returned {
    // SAFETY: no pointers.
    Returned::of(unsafe { libc::epoll_create1(0) }.into())
}

pub(crate) fn epoll_ctl(epoll: c_int, operation: c_int, fd: c_int, events: u32, data: u64) -> Returned {
    let mut event = libc::epoll_event { events, u64: data };
    // SAFETY: the kernel reads one event.
    Returned::of(unsafe { libc::epoll_ctl(epoll, operation, fd, &mut event) }.into())
}

/// Waits for events; those found are written as 32 bits each.
pub(crate) fn epoll_wait(epoll: c_int, most: usize, timeout: c_int) -> Returned {
    let mut events = vec![libc::epoll_event { events: 0, u64: 0 }; most.clamp(1, 1024)];
    // SAFETY: the events go with their number.
    let result = unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), events.len() as c_int, timeout) };
    let found = usize::try_from(result).unwrap_or(0);
    let written = events[..found].iter().flat_map(|event| { event.events }.to_ne_bytes()).collect();
    Returned::of(result.into()).with(written)
}

/// Own and remote address of a socket as the kernel writes them; `None` if it is not connected.
pub(crate) fn ends(fd: c_int) -> Option<(Vec<u8>, Vec<u8>)> {
    let room = size_of::<libc::sockaddr_storage>();
    let (mut own, mut remote) = (vec![0_u8; room], vec![0_u8; room]);
    let (mut own_len, mut remote_len) = (room as u32, room as u32);
    // SAFETY: both buffers have room for any address.
    let named = unsafe {
        libc::getsockname(fd, own.as_mut_ptr().cast(), &mut own_len) == 0
            && libc::getpeername(fd, remote.as_mut_ptr().cast(), &mut remote_len) == 0
    };
    named.then_some((own, remote))
}
