//! Node-API values that are made or read by hand, where the generated conversions would cost more or say less.

use napi::sys;
use napi::{Error, Result, Status};
use std::ffi::CStr;
use std::ptr;

/// The result of a Node-API call.
pub(crate) fn check(status: sys::napi_status, what: &str) -> Result<()> {
    match Status::from(status) {
        Status::Ok => Ok(()),
        status => Err(Error::new(status, format!("cannot {what}"))),
    }
}

/// An object under construction. Lives no longer than the handle scope that it was made in.
#[derive(Clone, Copy)]
pub(crate) struct Object {
    env: sys::napi_env,
    value: sys::napi_value,
}

impl Object {
    /// An empty one.
    ///
    /// # Safety
    /// `env` is valid, and this is its thread.
    pub(crate) unsafe fn new(env: sys::napi_env) -> Result<Self> {
        let mut value = ptr::null_mut();
        // SAFETY: the caller's; Node-API writes one handle.
        check(unsafe { sys::napi_create_object(env, &raw mut value) }, "make an object")?;
        Ok(Self { env, value })
    }

    pub(crate) const fn raw(self) -> sys::napi_value {
        self.value
    }

    /// Sets a property to a value of the same scope.
    pub(crate) fn set(self, name: &CStr, value: sys::napi_value) -> Result<()> {
        // SAFETY: `new` had a valid env on its thread, and handles do not outlive their scope; the name is NUL-terminated.
        let status = unsafe { sys::napi_set_named_property(self.env, self.value, name.as_ptr(), value) };
        check(status, "set a property")
    }

    pub(crate) fn set_number(self, name: &CStr, number: f64) -> Result<()> {
        let mut value = ptr::null_mut();
        // SAFETY: as for `set`; Node-API writes one handle.
        check(unsafe { sys::napi_create_double(self.env, number, &raw mut value) }, "make a number")?;
        self.set(name, value)
    }

    pub(crate) fn set_text(self, name: &CStr, text: &str) -> Result<()> {
        let mut value = ptr::null_mut();
        let (start, length) = (text.as_ptr().cast(), text.len() as isize);
        // SAFETY: as for `set`; Node-API reads `length` bytes and writes one handle.
        let status = unsafe { sys::napi_create_string_utf8(self.env, start, length, &raw mut value) };
        check(status, "make a string")?;
        self.set(name, value)
    }

    /// Sets a property to a Float64Array.
    pub(crate) fn set_numbers(self, name: &CStr, numbers: &[f64]) -> Result<()> {
        let (mut memory, mut data, mut array) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        let bytes = size_of_val(numbers);
        // SAFETY: as for `set`; Node-API writes a handle, and a pointer to so many bytes.
        let status = unsafe { sys::napi_create_arraybuffer(self.env, bytes, &raw mut data, &raw mut memory) };
        check(status, "make an array buffer")?;
        if bytes > 0 {
            // SAFETY: V8 has just made as many bytes, aligned for any number, and nobody else knows of them.
            unsafe { ptr::copy_nonoverlapping(numbers.as_ptr(), data.cast::<f64>(), numbers.len()) };
        }
        let kind = sys::TypedarrayType::float64_array;
        // SAFETY: as for `set`; the buffer has room for as many doubles from its start on.
        let status = unsafe { sys::napi_create_typedarray(self.env, kind, numbers.len(), memory, 0, &raw mut array) };
        check(status, "make a typed array")?;
        self.set(name, array)
    }

    pub(crate) fn set_buffer(self, name: &CStr, bytes: Vec<u8>) -> Result<()> {
        // SAFETY: as for `set`.
        let value = unsafe { buffer(self.env, bytes) }?;
        self.set(name, value)
    }
}

/// Below this, copying is cheaper than the bookkeeping of memory that the collector has to give back to us.
const COPY_BELOW: usize = 16 * 1024;

/// A `Buffer` of these bytes.
///
/// # Safety
/// `env` is valid, and this is its thread.
unsafe fn buffer(env: sys::napi_env, bytes: Vec<u8>) -> Result<sys::napi_value> {
    let mut value = ptr::null_mut();
    if bytes.len() >= COPY_BELOW {
        let owned = Box::new(bytes);
        let (start, length) = (owned.as_ptr().cast_mut().cast(), owned.len());
        let hint = Box::into_raw(owned);
        // SAFETY: the bytes live until `free` runs, which has the only pointer to their owner; Node-API writes one handle.
        let status =
            unsafe { sys::napi_create_external_buffer(env, length, start, Some(free), hint.cast(), &raw mut value) };
        if Status::from(status) == Status::Ok {
            return Ok(value);
        }
        // Some embedders (Electron) forbid memory that is not V8's.
        // SAFETY: the call failed, so the pointer is still ours alone.
        let bytes = unsafe { Box::from_raw(hint) };
        // SAFETY: the caller's.
        return unsafe { copied(env, &bytes) };
    }
    // SAFETY: the caller's.
    unsafe { copied(env, &bytes) }
}

/// # Safety
/// As for [`buffer`].
unsafe fn copied(env: sys::napi_env, bytes: &[u8]) -> Result<sys::napi_value> {
    let mut value = ptr::null_mut();
    let mut data = ptr::null_mut();
    // SAFETY: Node-API reads the bytes, and writes a pointer and a handle.
    let status =
        unsafe { sys::napi_create_buffer_copy(env, bytes.len(), bytes.as_ptr().cast(), &raw mut data, &raw mut value) };
    check(status, "make a buffer")?;
    Ok(value)
}

/// Gives back what an external buffer was made of.
unsafe extern "C" fn free(_: sys::napi_env, _: *mut std::ffi::c_void, hint: *mut std::ffi::c_void) {
    // SAFETY: `hint` is the box that `buffer` let go of, and Node-API calls this once.
    drop(unsafe { Box::<Vec<u8>>::from_raw(hint.cast()) });
}
