//! Big-endian fields at an offset of a slice. The caller has checked the length; an offset outside
//! the slice is a broken invariant of this crate and panics.

#[inline]
pub(crate) fn be16(octets: &[u8], at: usize) -> u16 {
    let mut field = [0; 2];
    field.copy_from_slice(&octets[at..at + 2]);
    u16::from_be_bytes(field)
}

#[inline]
pub(crate) fn be32(octets: &[u8], at: usize) -> u32 {
    let mut field = [0; 4];
    field.copy_from_slice(&octets[at..at + 4]);
    u32::from_be_bytes(field)
}

#[inline]
pub(crate) fn be64(octets: &[u8], at: usize) -> u64 {
    let mut field = [0; 8];
    field.copy_from_slice(&octets[at..at + 8]);
    u64::from_be_bytes(field)
}

#[inline]
pub(crate) fn put16(octets: &mut [u8], at: usize, value: u16) {
    octets[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

#[inline]
pub(crate) fn put32(octets: &mut [u8], at: usize, value: u32) {
    octets[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

#[inline]
pub(crate) fn put64(octets: &mut [u8], at: usize, value: u64) {
    octets[at..at + 8].copy_from_slice(&value.to_be_bytes());
}
