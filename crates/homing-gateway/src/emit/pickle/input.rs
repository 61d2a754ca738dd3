//! The bytes of a pickle and how far they are read.

use super::What;

pub(super) struct Input<'a> {
    bytes: &'a [u8],
    /// The next byte.
    pub(super) at: usize,
}

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// So many bytes, or an error before anything is allocated for them.
    pub(super) fn take(&mut self, length: u64) -> Result<&'a [u8], What> {
        let rest = self.rest();
        let taken = usize::try_from(length).ok().and_then(|length| rest.get(..length));
        let taken = taken.ok_or_else(|| What::from(format!("{length} bytes are claimed, {} are left", rest.len())))?;
        self.at += taken.len();
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], What> {
        let taken = self.take(N as u64)?;
        taken.try_into().map_err(|_| What::from("the input ends"))
    }

    pub(super) fn byte(&mut self) -> Result<u8, What> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, What> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, What> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, What> {
        self.array().map(i32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, What> {
        self.array().map(u64::from_le_bytes)
    }

    /// A length that the format has signed.
    pub(super) fn length(&mut self) -> Result<u64, What> {
        u64::try_from(self.i32()?).map_err(|_| What::from("a length is negative"))
    }

    /// What stands before the next line feed, which is skipped.
    pub(super) fn line(&mut self) -> Result<&'a [u8], What> {
        let rest = self.rest();
        let end = memchr::memchr(b'\n', rest).ok_or("its line has no end")?;
        self.at += end + 1;
        Ok(rest.get(..end).unwrap_or_default())
    }
}
