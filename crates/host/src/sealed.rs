//! Files in memory that nobody can change once they are sealed: what several containers may read or execute without being able to
//! tell each other anything. A file on a container's tmpfs belongs to the user that its programs run as, and `/proc/self/exe` of a program
//! is a way to write to what it was executed from (CVE-2019-5736).

use crate::error::Error;
use hotcell_linux::{errno, memfd};
use std::os::fd::{BorrowedFd, OwnedFd};

/// A new, empty one: close-on-exec, executable, to be written and then [sealed](seal).
pub fn make() -> Result<OwnedFd, Error> {
    memfd::executable_memfd(c"hotcell").map_err(|error| Error::MakeMemfd { errno: errno(&error) })
}

/// Makes it unchangeable, for everybody and for good.
pub fn seal(file: BorrowedFd<'_>) -> Result<(), Error> {
    memfd::seal(file).map_err(|error| Error::SealMemfd { errno: errno(&error) })
}
