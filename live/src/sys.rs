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
/// `TUNSETOFFLOAD` of `linux/if_tun.h`, and that checksums may be left open, as what is sent without copying needs.
const TUNSETOFFLOAD: libc::c_ulong = 0x4004_54d0;
const OPEN_CHECKSUMS: libc::c_ulong = 1;
/// Room for the value of any socket option that scripts ask for.
const OPTION_ROOM: usize = 512;
/// Room for the control messages of one call, aligned as their headers are.
const CONTROL_ROOM: usize = 64;

/// What a call gave back: its result or the number of the error, and what it wrote.
#[derive(Clone, Debug, Default)]
pub(crate) struct Returned {
    pub(crate) result: i64,
    pub(crate) errno: i32,
    pub(crate) written: Vec<u8>,
    pub(crate) message: Received,
}

/// What `recvmsg` tells besides the data: `msg_flags`, and the control messages by level, type and octets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Received {
    pub(crate) flags: i32,
    pub(crate) control: Vec<(c_int, c_int, Vec<u8>)>,
}

impl Returned {
    fn of(result: i64) -> Self {
        let errno = if result < 0 { io::Error::last_os_error().raw_os_error().unwrap_or(0) } else { 0 };
        Self { result, errno, ..Self::default() }
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
    // SAFETY: the kernel reads and writes a `struct ifreq`, which is 40 octets long, and takes a number.
    let made = unsafe {
        libc::ioctl(file.as_raw_fd(), TUNSETIFF, request.as_mut_ptr()) == 0
            && libc::ioctl(file.as_raw_fd(), TUNSETOFFLOAD, OPEN_CHECKSUMS) == 0
    };
    if made { Ok(file) } else { Err(io::Error::last_os_error()) }
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

/// Buffers of zeros, each of its own, and what points to them.
fn buffers(lens: &[usize]) -> (Vec<Vec<u8>>, Vec<libc::iovec>) {
    let mut buffers: Vec<_> = lens.iter().map(|len| vec![0_u8; *len]).collect();
    let pointers = buffers
        .iter_mut()
        .map(|buffer| libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() })
        .collect();
    (buffers, pointers)
}

fn message(pointers: &mut [libc::iovec], control: &mut [u64]) -> libc::msghdr {
    // SAFETY: a message of nothing but zeros is valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = pointers.as_mut_ptr();
    message.msg_iovlen = pointers.len();
    if !control.is_empty() {
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(control);
    }
    message
}

/// Sends zeros from buffers of these sizes, with a control message of 32 bits if there is one: level, type, value.
pub(crate) fn send_message(
    fd: c_int,
    lens: &[usize],
    flags: c_int,
    address: &[u8],
    control: Option<(c_int, c_int, u32)>,
) -> Returned {
    let (_buffers, mut pointers) = buffers(lens);
    let mut room = [0_u64; 3];
    let room: &mut [u64] = if control.is_some() { &mut room } else { &mut [] };
    let mut message = message(&mut pointers, room);
    let mut address = address.to_vec();
    if !address.is_empty() {
        message.msg_name = address.as_mut_ptr().cast();
        message.msg_namelen = address.len() as u32;
    }
    if let Some((level, kind, value)) = control {
        // SAFETY: the room has place for one header and eight octets.
        unsafe {
            let header = libc::CMSG_FIRSTHDR(&message);
            (*header).cmsg_level = level;
            (*header).cmsg_type = kind;
            (*header).cmsg_len = libc::CMSG_LEN(4) as usize;
            libc::CMSG_DATA(header).cast::<u32>().write_unaligned(value);
        }
    }
    // SAFETY: everything the message points to lives until the call returns.
    Returned::of(unsafe { libc::sendmsg(fd, &message, flags | libc::MSG_NOSIGNAL) } as i64)
}

/// Receives into buffers of these sizes, with control messages if there is to be room for them.
pub(crate) fn receive_message(fd: c_int, lens: &[usize], flags: c_int, with_control: bool) -> Returned {
    let (_buffers, mut pointers) = buffers(lens);
    let mut room = [0_u64; CONTROL_ROOM];
    let room: &mut [u64] = if with_control { &mut room } else { &mut [] };
    let mut message = message(&mut pointers, room);
    // SAFETY: everything the message points to lives until the call returns.
    let mut returned = Returned::of(unsafe { libc::recvmsg(fd, &mut message, flags) } as i64);
    returned.message.flags = message.msg_flags;
    if returned.result < 0 {
        return returned;
    }
    // SAFETY: the kernel wrote headers with their lengths into the room.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&message);
        while let Some(found) = header.as_ref() {
            let len = found.cmsg_len - libc::CMSG_LEN(0) as usize;
            let data = std::slice::from_raw_parts(libc::CMSG_DATA(header), len).to_vec();
            returned.message.control.push((found.cmsg_level, found.cmsg_type, data));
            header = libc::CMSG_NXTHDR(&message, header);
        }
    }
    returned
}

/// A pipe; the descriptors of its ends are written as 32 bits each.
pub(crate) fn pipe() -> Returned {
    let mut ends: [c_int; 2] = [0; 2];
    // SAFETY: the kernel writes two descriptors.
    let result = unsafe { libc::pipe(ends.as_mut_ptr()) };
    Returned::of(result.into()).with(ends.iter().flat_map(|fd| fd.to_ne_bytes()).collect())
}

/// Moves data between a pipe and a socket.
pub(crate) fn splice(from: c_int, to: c_int, len: usize, flags: u32) -> Returned {
    // SAFETY: null stands for no offset.
    Returned::of(unsafe { libc::splice(from, ptr::null_mut(), to, ptr::null_mut(), len, flags) } as i64)
}

/// Sends or receives where there is no memory.
pub(crate) fn without_buffer(fd: c_int, len: usize, flags: c_int, reads: bool, address: &[u8]) -> Returned {
    let to = if address.is_empty() { ptr::null() } else { address.as_ptr().cast() };
    let flags = flags | libc::MSG_NOSIGNAL;
    // SAFETY: the kernel finds out that there is nothing at address 0.
    let moved = unsafe {
        if reads {
            libc::recv(fd, ptr::null_mut(), len, flags)
        } else {
            libc::sendto(fd, ptr::null(), len, flags, to, address.len() as u32)
        }
    };
    Returned::of(moved as i64)
}

/// Writes zeros.
pub(crate) fn write(fd: c_int, len: usize) -> Returned {
    let buffer = vec![0_u8; len];
    // SAFETY: the buffer has `len` octets.
    Returned::of(unsafe { libc::write(fd, buffer.as_ptr().cast(), len) } as i64)
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
