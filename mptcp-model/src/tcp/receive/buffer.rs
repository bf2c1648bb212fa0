//! How much window the receive buffer backs: memory of frames, the bound of the window and its growth
//! (`rcv_ssthresh`), the round trip as a receiver sees it, and the right-sizing of the buffer.

use sim_core::{Duration, Instant};

use super::{ReceiveSpace, Receiver};
use crate::config::{FrameMemory, TcpConfig};
use crate::wire::TcpSegment;

const HEADERS: u32 = 20 + 20;
const HEADROOM: u32 = 64;
/// `struct skb_shared_info`
const SHARED: u32 = 320;
/// `struct sk_buff`
const BUFFER: u32 = 256;

/// The room behind the last frame of a receive queue. A frame that fits in is copied there and costs no memory of its
/// own (`tcp_try_coalesce`); frames of a network device have their data in pages and no such room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TailRoom {
    copies: bool,
    /// Octets of options that a segment with data has.
    options: u64,
    left: u64,
}

impl TailRoom {
    pub(crate) fn new(memory: FrameMemory, options: u64) -> Self {
        Self { copies: memory == FrameMemory::Tun, options, left: 0 }
    }

    /// Memory charged for `len` octets in a frame of `truesize`, behind `waiting` ones.
    #[inline]
    pub(crate) fn charge(&mut self, waiting: u64, len: u64, truesize: u64) -> u64 {
        if !self.copies {
            return truesize;
        }
        if waiting > 0 && len <= self.left {
            self.left -= len;
            return 0;
        }
        let headers = u64::from(HEADROOM + HEADERS + SHARED + BUFFER) + self.options;
        self.left = truesize.saturating_sub(headers + len);
        truesize
    }
}

/// Memory the kernel charges for the frame of a segment with so many octets of options and payload: the frame with its
/// headers (those of IPv4) and room before them, rounded up, and what describes it. Gives the 2176 octets measured for full
/// frames of a network device.
#[inline(always)]
pub(crate) fn truesize(memory: FrameMemory, options: u32, payload: u32) -> u32 {
    const ETHERNET: u32 = 14;
    // The least head of a buffer (`skb_small_head_cache`).
    const SMALL_HEAD: u32 = 640;
    let frame = HEADROOM + HEADERS + options + payload;
    match memory {
        FrameMemory::Network => (frame + ETHERNET).next_multiple_of(64) + SHARED + BUFFER,
        FrameMemory::Tun => match frame.next_multiple_of(64) + SHARED {
            ..=SMALL_HEAD => SMALL_HEAD + BUFFER,
            larger => larger.next_power_of_two() + BUFFER,
        },
    }
}

/// [`truesize`] of a segment.
pub(crate) fn truesize_of(memory: FrameMemory, segment: &TcpSegment) -> u32 {
    truesize(memory, segment.options.len() as u32, segment.payload.len())
}

/// Buffer for twice the `copied` octets of the last RTT and sixteen segments, more if it was not `old` as
/// before; each segment with its headers such that the share of payload is met (`tcp_rcv_space_adjust` before
/// Linux 6.6).
pub(crate) fn fixed_ratio_buffer(copied: u64, old: u64, mss: u64, ratio: u64) -> u64 {
    /// Room for headers (`MAX_TCP_HEADER`) and the descriptors of a buffer.
    const OVERHEAD: u64 = 256 + 576;
    let mut window = (copied << 1) + 16 * mss;
    window += (window * copied.saturating_sub(old) / old.max(1)) << 1;
    let mut memory = mss + OVERHEAD;
    while (memory * ratio) >> 8 < mss {
        memory += 128;
    }
    window / mss.max(1) * memory
}

/// The next multiple of `unit`, a power of two.
const fn round_up(value: u64, unit: u64) -> u64 {
    (value + unit - 1) & !(unit - 1)
}

impl Receiver {
    /// Window that `memory` bytes of buffer can back.
    pub(crate) fn window_of(&self, memory: u64) -> u64 {
        (memory * u64::from(self.scaling_ratio)) >> 8
    }

    pub(super) fn memory_for(&self, window: u64) -> u64 {
        (window << 8) / u64::from(self.scaling_ratio.max(1))
    }

    /// Scale to ask for: such that the largest buffer fits (`tcp_select_initial_window`).
    pub(crate) fn wanted_scale(&self, config: &TcpConfig) -> u8 {
        if !config.window_scaling {
            return 0;
        }
        let bound = u64::from(config.window_clamp.unwrap_or(u32::MAX));
        let space = match config.rmem {
            // A buffer that the application chose bounds the window.
            [least, initial, most] if least == most => self.window_of(initial.into()),
            [.., most] => most.max(config.core_rmem_max).into(),
        };
        let space = space.min(bound);
        let bits = 64 - space.leading_zeros() as i32;
        (bits - 16).clamp(0, 14) as u8
    }

    /// Own buffer space (`tcp_space`, `tcp_full_space`).
    pub(crate) fn space(&self) -> ReceiveSpace {
        let used = self.unread_truesize + self.ooo_memory();
        ReceiveSpace {
            free: self.window_of(self.rcvbuf.saturating_sub(used)),
            full: self.window_of(self.rcvbuf),
        }
    }

    pub(super) fn ooo_memory(&self) -> u64 {
        // Nearly always; a division is dear.
        if self.ooo_bytes == 0 {
            return 0;
        }
        (self.ooo_bytes << 8) / u64::from(self.scaling_ratio.max(1))
    }

    /// Current right edge relative to `rcv_nxt` (`tcp_receive_window`).
    pub(crate) fn receive_window(&self) -> u64 {
        (self.rcv_wup + self.rcv_wnd).saturating_sub(self.rcv_nxt)
    }

    /// Grow the bound of the window by two segments for each one received, while the buffer allows
    /// (`tcp_grow_window`).
    #[inline(always)]
    pub(super) fn grow_window(&mut self, len: u32, truesize: u32, space: ReceiveSpace) {
        if self.ssthresh >= self.window_clamp {
            return;
        }
        let free = if self.fixed_ratio {
            space.free
        } else {
            // Later kernels look at the buffer of the subflow itself, which hands its data on at once.
            let used = self.unread_truesize + self.ooo_memory() + u64::from(truesize);
            self.window_of(self.rcvbuf.saturating_sub(used))
        };
        let room = self.window_clamp.min(free).saturating_sub(self.ssthresh);
        if room == 0 {
            return;
        }
        let charged = self.window_of(u64::from(truesize));
        let mut grow = 0;
        if charged <= u64::from(len) {
            grow = 2 * u64::from(self.advmss);
        } else {
            // Small segments: only if the buffer would still do at a fraction of its size.
            let (mut memory, mut window) = (charged, self.window_of(self.rmem_max) / 2);
            while self.ssthresh <= window {
                if memory <= u64::from(len) {
                    grow = 2 * u64::from(self.rcv_mss);
                    break;
                }
                memory >>= 1;
                window >>= 1;
            }
        }
        if grow > 0 {
            self.ssthresh += room.min(grow.max(2 * u64::from(len)));
            self.quick |= 1;
        }
    }

    /// RTT of the receiver, from the timestamps echoed (`tcp_rcv_rtt_measure_ts`).
    #[inline(always)]
    pub(crate) fn measure_rtt(&mut self, now_ms: u32, tsecr: u32, len: u32) {
        if tsecr == 0 || tsecr == self.rtt_tsecr {
            return;
        }
        self.rtt_tsecr = tsecr;
        let ms = now_ms.wrapping_sub(tsecr);
        if len < self.rcv_mss || ms > i32::MAX as u32 {
            return;
        }
        let us = u64::from(ms.max(1)) * 1000;
        let older = self.rtt_us8;
        self.rtt_us8 = if older == 0 || (self.latches_rtt && us << 3 < older) {
            us << 3
        } else if self.latches_rtt && self.unread > 0 {
            // The application is late, not the data.
            older
        } else {
            older - (older >> 3) + us
        };
    }

    /// A window takes no less than a round trip to arrive (`tcp_rcv_rtt_measure`).
    #[inline(always)]
    pub(super) fn measure_window(&mut self, now: Instant) {
        if let Some((end, start)) = self.rtt_window {
            if self.rcv_nxt < end {
                return;
            }
            let us8 = now.saturating_since(start).as_micros().max(1) << 3;
            self.rtt_us8 = if self.rtt_us8 == 0 { us8 } else { self.rtt_us8.min(us8) };
        }
        self.rtt_window = Some((self.rcv_nxt + self.rcv_wnd, now));
    }

    pub(crate) fn rtt(&self) -> Duration {
        Duration::from_micros(self.rtt_us8 >> 3)
    }

    /// The application read `len` octets in total so far: once per RTT, make the buffer hold twice what was
    /// read in the last one (`tcp_rcv_space_adjust`).
    pub(crate) fn adjust_space(&mut self, now: Instant, len: u64) {
        self.drs_copied += len;
        if self.drs_space == 0 {
            return;
        }
        let rtt = self.rtt();
        if rtt.is_zero() || now.saturating_since(self.drs_time) < rtt {
            return;
        }
        let copied = self.drs_copied - self.drs_mark;
        if copied > self.drs_space {
            self.grow_buffer(copied);
        }
        self.drs_mark = self.drs_copied;
        self.drs_time = now;
    }

    pub(crate) fn start_right_sizing(&mut self, now: Instant, initial: u64) {
        self.drs_space = initial;
        self.drs_time = now;
        self.drs_mark = self.drs_copied;
    }

    /// Start with a buffer that is not yet grown, for segments of `mss` octets.
    pub(crate) fn settle(&mut self, mss: u32) {
        self.advmss = mss;
        self.window_clamp = self.window_of(self.rcvbuf);
        self.ssthresh = self.rcv_wnd;
        self.reserve_segment();
    }

    /// The application chooses the size of the buffer.
    pub(crate) fn fix_buffer(&mut self, bytes: u64) {
        self.rcvbuf = bytes;
        self.rcvbuf_max = bytes;
    }

    /// The application bounds the window (`tcp_set_window_clamp`).
    pub(crate) fn set_user_clamp(&mut self, clamp: u64) {
        if clamp < self.window_clamp {
            self.ssthresh = self.ssthresh.min(clamp);
        } else {
            self.ssthresh = self.ssthresh.max(self.rcv_wnd.min(clamp));
        }
        self.window_clamp = clamp;
    }

    /// What the buffer backs has changed (`tcp_set_window_clamp`): what was offered already counts as granted.
    pub(super) fn set_window_clamp(&mut self) {
        self.window_clamp = self.window_of(self.rcvbuf);
        self.ssthresh = self.ssthresh.max(self.rcv_wnd).min(self.window_clamp);
    }

    /// One segment of the buffer is not offered at first (`tcp_init_buffer_space`).
    pub(crate) fn reserve_segment(&mut self) {
        let mss = u64::from(self.advmss);
        let full = self.window_of(self.rcvbuf);
        self.window_clamp = self.window_clamp.min(full);
        if self.window_clamp > 2 * mss && self.window_clamp + mss > full {
            self.window_clamp = (2 * mss).max(full - mss);
        }
        self.ssthresh = self.ssthresh.min(self.window_clamp);
    }

    /// Let the buffer back twice `copied`, plus the growth of the sender's rate (`tcp_rcvbuf_grow`).
    pub(crate) fn grow_buffer(&mut self, copied: u64) {
        let old = self.drs_space.max(1);
        self.drs_space = copied;
        let rcvbuf = if self.fixed_ratio {
            fixed_ratio_buffer(copied, old, u64::from(self.advmss), u64::from(self.scaling_ratio))
        } else {
            let mut window = copied << 1;
            if copied > old {
                window += (window * (copied - old) / old) << 1;
            }
            if let Some(last) = self.ranges.last() {
                window += last.1 - self.rcv_nxt.min(last.1);
            }
            self.memory_for(window)
        };
        let rcvbuf = rcvbuf.min(self.rcvbuf_max);
        if rcvbuf > self.rcvbuf {
            self.rcvbuf = rcvbuf;
            self.window_clamp = self.window_of(rcvbuf);
        }
    }

    /// The window to advertise now (`tcp_select_window`); never moves the right edge left.
    pub(crate) fn select_window(&mut self, space: ReceiveSpace, scale: u8) -> u64 {
        let current = self.receive_window();
        let window = self.new_window(space, scale);
        let window = if window < current { round_up(current, 1u64 << scale) } else { window };
        self.offer_window(window, scale)
    }

    /// As [`select_window`](Self::select_window), but with no regard to what this subflow offered before: the
    /// edge that must not move left is the connection's, as the captures of upstream Linux show.
    #[inline(always)]
    pub(crate) fn fresh_window(&mut self, space: ReceiveSpace, scale: u8) -> u64 {
        let window = self.new_window(space, scale);
        self.offer_window(window, scale)
    }

    /// What the field can say of it is what is offered; what arrives beyond that is taken all the same.
    pub(super) fn offer_window(&mut self, window: u64, scale: u8) -> u64 {
        self.rcv_wnd = window;
        self.rcv_wup = self.rcv_nxt;
        window.min(65_535u64 << scale)
    }

    /// `__tcp_select_window`.
    #[inline(always)]
    pub(crate) fn new_window(&self, space: ReceiveSpace, scale: u8) -> u64 {
        let full = self.window_clamp.max(1).min(space.full);
        let mss = u64::from(self.rcv_mss).min(full);
        let unit = 1u64 << scale;
        let mut free = space.free;
        if free < full >> 1 {
            free &= !(unit - 1);
            if free < space.full >> 4 || free < mss {
                return 0;
            }
        }
        free = free.min(self.ssthresh);
        if scale > 0 {
            round_up(free, unit)
        } else {
            let window = self.rcv_wnd;
            if window + mss <= free || window > free {
                free / mss.max(1) * mss
            } else if mss == full && free > window + (full >> 1) {
                free
            } else {
                window
            }
        }
    }
}
