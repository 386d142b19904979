//! Reading arguments of the calls that are made once a run, for little.

use crate::value::check;
use hotcell_host::Limits;
use hotcell_host::cgroup::CpuSet;
use hotcell_host::protocol::{Failure, RLimit, Resource, Step};
use napi::bindgen_prelude::{Either, FromNapiValue, Uint8Array};
use napi::{Result, sys};
use napi_derive::napi;
use std::os::fd::{BorrowedFd, RawFd};
use std::{ptr, slice};

/// A string is sent as UTF-8.
#[napi]
#[expect(dead_code, reason = "it is there for its TypeScript declaration")]
pub type Bytes = Either<String, Uint8Array>;

/// An argument of type `Bytes`, valid while the call that it was given to lasts.
pub enum ByteArg {
    /// A string's UTF-8.
    Text(Vec<u8>),
    /// A typed array's memory.
    Array(*const u8, usize),
}

impl ByteArg {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text,
            Self::Array(_, 0) => &[],
            // SAFETY: the array is an argument of the current call, so it is alive and cannot be detached before the call
            // returns: JavaScript does not run meanwhile. (Other threads may write to shared memory; what is then sent is
            // some bytes, which init takes for hostile.)
            Self::Array(start, length) => unsafe { slice::from_raw_parts(*start, *length) },
        }
    }
}

/// Enough for most arguments of a run. A longer string is measured and read again.
const FIRST_TRY: usize = 512;

impl FromNapiValue for ByteArg {
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> Result<Self> {
        let mut text = vec![0; FIRST_TRY];
        let mut length = 0;
        let start = text.as_mut_ptr().cast();
        // SAFETY: Node-API writes at most the length of the buffer, a NUL included, and the length without it.
        let status = unsafe { sys::napi_get_value_string_utf8(env, value, start, text.len(), &raw mut length) };
        if status == sys::Status::napi_string_expected {
            // SAFETY: the caller's.
            return unsafe { array(env, value) };
        }
        check(status, "read a string")?;
        // Only whole characters are written, of at most four bytes: with fewer to spare, more may have been left out.
        if length + 5 > FIRST_TRY {
            // SAFETY: without a buffer only the length is written.
            let status = unsafe { sys::napi_get_value_string_utf8(env, value, ptr::null_mut(), 0, &raw mut length) };
            check(status, "measure a string")?;
            text.resize(length + 1, 0);
            let start = text.as_mut_ptr().cast();
            // SAFETY: as for the first.
            let status = unsafe { sys::napi_get_value_string_utf8(env, value, start, text.len(), &raw mut length) };
            check(status, "read a string")?;
        }
        text.truncate(length);
        Ok(Self::Text(text))
    }
}

/// # Safety
/// `env` is valid, this is its thread, and `value` is an argument of the current call.
unsafe fn array(env: sys::napi_env, value: sys::napi_value) -> Result<ByteArg> {
    let (mut kind, mut length, mut data) = (0, 0, ptr::null_mut());
    let (buffer, offset) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: Node-API writes one value to each of the places that are not null.
    let status = unsafe {
        sys::napi_get_typedarray_info(env, value, &raw mut kind, &raw mut length, &raw mut data, buffer, offset)
    };
    check(status, "read an argument that is neither a string nor a Uint8Array")?;
    if kind != sys::TypedarrayType::uint8_array && kind != sys::TypedarrayType::uint8_clamped_array {
        return check(sys::Status::napi_invalid_arg, "read a typed array that is not of bytes")
            .map(|()| ByteArg::Text(Vec::new()));
    }
    Ok(ByteArg::Array(data.cast_const().cast(), length))
}

/// Descriptors by their numbers.
pub(crate) fn descriptors(numbers: &[f64]) -> std::result::Result<Vec<BorrowedFd<'_>>, Failure> {
    let mut fds = Vec::with_capacity(numbers.len());
    for (index, number) in numbers.iter().enumerate() {
        let bad = || Failure::new(Step::DupDescriptor, libc::EBADF).at(index as u32);
        fds.push(descriptor(*number).ok_or_else(bad)?);
    }
    Ok(fds)
}

/// A descriptor by its number, for the length of the call.
pub(crate) fn descriptor<'a>(number: f64) -> Option<BorrowedFd<'a>> {
    let fd = number as RawFd;
    if fd < 0 || f64::from(fd) != number {
        return None;
    }
    // SAFETY: the number is not -1. It is JavaScript's word that it is open; nothing here relies on that, for the kernel looks
    // it up once, in sendmsg, and answers EBADF if it is not.
    Some(unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Resource limits, as triples of the kernel's number, the soft and the hard limit; Infinity is unlimited.
pub(crate) fn rlimits(numbers: &[f64]) -> std::result::Result<Vec<RLimit>, Failure> {
    let mut limits = Vec::with_capacity(numbers.len() / 3);
    for (index, triple) in numbers.chunks(3).enumerate() {
        let [number, soft, hard] = *triple else { continue };
        let resource = Resource::ALL.into_iter().find(|resource| f64::from(resource.number()) == number);
        let bad = || Failure::new(Step::SetRlimit, libc::EINVAL).at(index as u32);
        // The conversions saturate, so infinity becomes RLimit::UNLIMITED.
        limits.push(RLimit { resource: resource.ok_or_else(bad)?, soft: soft as u64, hard: hard as u64 });
    }
    Ok(limits)
}

/// Of the eight numbers that `limits` crosses as, see `Container::execve`.
pub(crate) fn limits(numbers: Option<&[f64]>, cpu_set: Option<&str>) -> std::result::Result<Limits, Failure> {
    let bad = || Failure::new(Step::CheckArguments, libc::EINVAL);
    let cpus = cpu_set.map(|text| CpuSet::parse(text).ok_or_else(bad)).transpose()?;
    let Some(numbers) = numbers else { return Ok(Limits { cpus, ..Limits::default() }) };
    let [cpu, wall, memory, processes, rate, stack, file_size, open_files] = *numbers else { return Err(bad()) };
    let given = |number: f64| (number >= 0.0).then_some(number as u64);
    Ok(Limits {
        cpu_us: given(cpu),
        wall_us: given(wall),
        memory_bytes: given(memory),
        processes: given(processes),
        cpu_rate: (rate > 0.0).then_some(rate),
        cpus,
        stack_bytes: given(stack),
        file_size_bytes: given(file_size),
        open_files: given(open_files),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn infinity_is_unlimited_and_unknown_resources_are_named_by_index() {
        let limits = rlimits(&[0.0, 1.0, f64::INFINITY, 7.0, 64.0, 64.0]).unwrap();
        assert_eq!(limits[0], RLimit { resource: Resource::Cpu, soft: 1, hard: RLimit::UNLIMITED });
        assert_eq!(limits[1].resource, Resource::Nofile);
        assert_eq!(rlimits(&[0.0, 1.0, 1.0, 16.0, 1.0, 1.0]).unwrap_err().index, 1);
    }

    #[test]
    fn only_numbers_of_descriptors_are_descriptors() {
        assert!(descriptor(2.0).is_some());
        for number in [-1.0, 0.5, f64::NAN, f64::INFINITY, 4_294_967_296.0] {
            assert!(descriptor(number).is_none(), "{number}");
        }
    }
}
