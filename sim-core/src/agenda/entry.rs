//! An entry of the agenda as one number, so that one comparison decides what comes first.

use super::ActorId;
use crate::time::Instant;

/// In place of an entry where there is none: later than all.
pub(super) const NEVER: u128 = u128::MAX;
const ACTOR_BITS: u32 = ActorId::LIMIT.trailing_zeros();
const ORDER_BITS: u32 = 64 - ACTOR_BITS;

/// Whether this is [`NEVER`]: no other has such an order and actor.
#[inline(always)]
pub(super) const fn is_never(entry: u128) -> bool {
    entry as u64 == u64::MAX
}

/// Instant (64 bits), order (40), actor (24).
#[inline(always)]
pub(super) const fn entry(actor: ActorId, at: Instant, order: u64) -> u128 {
    debug_assert!(order < (1 << ORDER_BITS) - 1, "the order exceeds 40 bits");
    let low = order << ACTOR_BITS | actor.0 as u64;
    (at.as_nanos() as u128) << 64 | low as u128
}

#[inline(always)]
pub(super) const fn actor_of(entry: u128) -> ActorId {
    ActorId(entry as u32 & (ActorId::LIMIT - 1))
}

#[inline(always)]
pub(super) const fn instant_of(entry: u128) -> Instant {
    Instant::from_nanos((entry >> 64) as u64)
}
