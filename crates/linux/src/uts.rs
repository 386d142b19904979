//! Host and domain name (uts_namespaces(7)).

use crate::check;
use std::io;

/// sethostname(2).
pub fn set_hostname(name: &[u8]) -> io::Result<()> {
    // SAFETY: the kernel reads `len` bytes.
    check(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) }.into())?;
    Ok(())
}

/// setdomainname(2).
pub fn set_domainname(name: &[u8]) -> io::Result<()> {
    // SAFETY: the kernel reads `len` bytes.
    check(unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) }.into())?;
    Ok(())
}
