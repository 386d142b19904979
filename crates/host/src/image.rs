//! The init image: a static ELF inside of this library, put into a sealed memfd once a process.
//!
//! Sealed, it cannot be overwritten through /proc/self/exe (CVE-2019-5736), and nothing of this process's own binary is ever
//! visible in a container.
//!
//! A memfd has no path, and an AppArmor profile is attached to one: where user namespaces are for profiled programs only (Ubuntu
//! 23.10 and later), the image is started from a file instead, which the environment variable `HOTCELL_INIT` names. That file is
//! held to be as good as the memfd: it belongs to root, nobody else may write to it, and it is the image of this very library,
//! byte by byte.

use crate::error::{Error, errno};
use hotcell_linux::memfd;
use nix::libc;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

static ELF: &[u8] = include_bytes!(env!("HOTCELL_INIT_IMAGE"));

/// Names a file to start from.
const VARIABLE: &str = "HOTCELL_INIT";
/// Write permission for group and others.
const OTHERS_WRITE: u32 = 0o022;

/// The image, for whoever wants to have it in a file.
pub fn bytes() -> &'static [u8] {
    ELF
}

/// What to execute: the file that the environment names, or else a sealed memfd. Opened once a process.
pub(crate) fn executable() -> Result<BorrowedFd<'static>, Error> {
    static IMAGE: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(image) = IMAGE.get() {
        return Ok(image.as_fd());
    }
    let made = match std::env::var_os(VARIABLE) {
        Some(path) if !path.is_empty() => from_file(Path::new(&path))?,
        _ => memfd::sealed(c"hotcell-init", ELF, true).map_err(|error| Error::SealImage { errno: errno(&error) })?,
    };
    // A thread that was faster has made the same.
    Ok(IMAGE.get_or_init(|| made).as_fd())
}

/// What is executed later is what is read here: by this descriptor, and of a file that only root could change meanwhile.
fn from_file(path: &Path) -> Result<OwnedFd, Error> {
    let open = |error| Error::OpenImage { path: PathBuf::from(path), errno: errno(&error) };
    let refuse = |reason| Error::RefuseImage { path: PathBuf::from(path), reason };
    if !path.is_absolute() {
        return Err(refuse("is no absolute path"));
    }
    // A fifo must not make this wait.
    let mut file: File = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(open)?;
    let metadata = file.metadata().map_err(open)?;
    if !metadata.is_file() {
        return Err(refuse("is no regular file"));
    }
    if metadata.uid() != 0 || metadata.mode() & OTHERS_WRITE != 0 {
        return Err(refuse("does not belong to root, or others may write to it"));
    }
    let mut content = Vec::with_capacity(ELF.len());
    file.by_ref().take(ELF.len() as u64 + 1).read_to_end(&mut content).map_err(open)?;
    if content != ELF {
        return Err(refuse("is not the init image of this version"));
    }
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    /// The path of a file with this content and mode, in a folder of its own.
    fn file(name: &str, content: &[u8], mode: u32) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("hotcell-image-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    fn reason(path: &Path) -> &'static str {
        match from_file(path) {
            Err(Error::RefuseImage { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_is_refused_unless_it_is_the_image_and_only_roots() {
        let good = file("good", ELF, 0o755);
        if nix::unistd::geteuid().is_root() {
            assert!(from_file(&good).is_ok());
            assert_eq!(reason(&file("short", &ELF[1..], 0o755)), "is not the init image of this version");
            assert_eq!(reason(&file("long", &[ELF, b"x"].concat(), 0o755)), "is not the init image of this version");
        } else {
            assert_eq!(reason(&good), "does not belong to root, or others may write to it");
        }
        assert_eq!(reason(&file("open", ELF, 0o775)), "does not belong to root, or others may write to it");
        assert_eq!(reason(good.parent().unwrap()), "is no regular file");
        assert_eq!(reason(Path::new("good")), "is no absolute path");
        let absent = good.with_file_name("absent");
        assert_eq!(from_file(&absent).unwrap_err(), Error::OpenImage { path: absent, errno: libc::ENOENT });
        fs::remove_dir_all(good.parent().unwrap()).unwrap();
    }
}
