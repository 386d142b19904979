//! The devpts of a container (Documentation/filesystems/devpts.rst), mounted at /dev/pts when the first run asks for a terminal.
//!
//! Each mount of a devpts is an instance of its own: what the host and other containers have in theirs is neither seen nor counted. Most containers never
//! have a terminal, so none pays for it at the start; /dev/ptmx leads nowhere as long as there is none. Programs may open pseudoterminals of
//! their own then, as script(1) or tmux(1) do.
//!
//! Runs in pid 1, beside programs. Nothing that they can change is on the way: /dev is read-only, and the root of a devpts has no operations but to look
//! up. The kernel gives a slave to the file system identity of who opens its master, which is the program's; /dev/pts/ptmx belongs to who mounts,
//! which is pid 1's own for that moment: its owner could take everybody's access away, ours included.

use crate::identity::Ids;
use crate::setup::{Tree, act_on_files_as, detach};
use hotcell_linux::mount_api::{self, attribute};
use hotcell_linux::{errno, file, prctl, tty};
use hotcell_protocol::{Failure, Step, WindowSize};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const PATH: &[u8] = b"/dev/pts";
/// All containers of a host have `kernel.pty.max` less `kernel.pty.reserve` pseudoterminals between them, 3,072 by default. `max` is what
/// one may have, those of its runs and those that its programs open.
const OPTIONS: [(&CStr, &CStr); 3] = [(c"ptmxmode", c"0666"), (c"mode", c"0600"), (c"max", c"32")];

/// Where a container's terminals are.
#[derive(Debug, Default)]
pub struct Devpts {
    mount: Option<OwnedFd>,
}

/// Both ends of a pseudoterminal.
#[derive(Debug)]
pub struct Pair {
    /// What a terminal emulator has.
    pub master: OwnedFd,
    /// What programs have.
    pub slave: OwnedFd,
}

impl Devpts {
    /// Opens a new pseudoterminal.
    pub fn open(&mut self, tree: &Tree, ids: Ids, size: WindowSize) -> Result<Pair, Failure> {
        if self.mount.is_none() {
            let failed = |error: io::Error| Failure::new(Step::MountTerminals, errno(&error)).of(PATH);
            self.mount = Some(mount(tree, ids).map_err(failed)?);
        }
        let open = || {
            let mount = self.mount.as_ref().ok_or(io::ErrorKind::NotFound)?;
            let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_NONBLOCK;
            Pair::of(file::openat(mount.as_fd(), c"ptmx", flags, 0)?, size)
        };
        open().map_err(|error: io::Error| Failure::new(Step::OpenTerminal, errno(&error)))
    }

    /// Whether there has been a terminal since the last reset.
    pub fn is_mounted(&self) -> bool {
        self.mount.is_some()
    }

    /// Forgets it: the next terminal is in a new one. No program may run meanwhile. The current directory stays.
    pub fn reset(&mut self) -> Result<(), Failure> {
        let Some(mount) = self.mount.take() else { return Ok(()) };
        let detach_and_return = || {
            // SAFETY: AT_FDCWD is not a descriptor that anybody could close.
            let here = unsafe { BorrowedFd::borrow_raw(libc::AT_FDCWD) };
            let before = file::openat(here, c".", libc::O_PATH | libc::O_DIRECTORY, 0)?;
            detach(mount.as_fd())?;
            file::fchdir(before.as_fd())
        };
        detach_and_return().map_err(|error: io::Error| Failure::new(Step::ResetMount, errno(&error)).of(PATH))
    }
}

impl Pair {
    /// Of a master that was just opened.
    pub fn of(master: OwnedFd, size: WindowSize) -> io::Result<Self> {
        tty::unlock(master.as_fd())?;
        tty::set_window_size(master.as_fd(), size.columns, size.rows)?;
        let slave = tty::open_slave(master.as_fd())?;
        Ok(Self { master, slave })
    }
}

fn mount(tree: &Tree, Ids { init, program }: Ids) -> io::Result<OwnedFd> {
    let target = tree.real_handle(PATH)?;
    let context = mount_api::fsopen(c"devpts")?;
    for (key, value) in OPTIONS {
        context.set(key, value)?;
    }
    let mounted = if init == program {
        context.mount(attribute::NOSUID | attribute::NOEXEC)
    } else {
        act_on_files_as(init);
        let mounted = context.mount(attribute::NOSUID | attribute::NOEXEC);
        act_on_files_as(program);
        // Every change of credentials takes these two along (prctl(2)).
        prctl::set_dumpable(false)?;
        prctl::set_parent_death_signal(libc::SIGKILL)?;
        mounted
    }?;
    mount_api::move_mount(mounted.as_fd(), target.as_fd())?;
    Ok(mounted)
}
