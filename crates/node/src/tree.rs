//! Whole directories. The calls return at once, as all of a container's do: with the id of a completion, and one end of a pipe.

#![expect(clippy::too_many_arguments, reason = "an object as argument would cost more than it tells")]

use crate::arguments::{ByteArg, descriptor};
use crate::container::Container;
use hotcell_host::protocol::{Failure, Step};
use hotcell_host::tree::{self, Bounds, CopyIn, Selection, Source};
use hotcell_host::{Error, Master, RequestId, Sink};
use napi_derive::napi;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::sync::Arc;

/// A copy or listing that goes on.
#[napi]
pub struct Transfer {
    /// Where DONE arrives, or ERROR.
    #[napi(readonly)]
    pub id: f64,
    /// Our end of its pipe, the caller's from now on; -1 where there is none.
    #[napi(readonly)]
    pub fd: i32,
    /// Without one, it could not even be begun with.
    transfer: Option<tree::Transfer>,
}

#[napi]
impl Transfer {
    /// Makes it end soon, if it has not ended.
    #[napi(catch_unwind)]
    pub fn stop(&self) {
        if let Some(transfer) = &self.transfer {
            transfer.stop();
        }
    }
}

type Begun = Result<(tree::Transfer, Option<OwnedFd>), Error>;

impl Container {
    fn begin(&self, begin: impl FnOnce(&Master, &Arc<dyn Sink>) -> Begun) -> Transfer {
        let (mut transfer, mut end) = (None, None);
        let id = self.ask(|master, sink| {
            let (begun, fd) = begin(master, sink)?;
            let id: RequestId = begun.id();
            (transfer, end) = (Some(begun), fd);
            Ok(id)
        });
        Transfer { id, fd: end.map_or(-1, IntoRawFd::into_raw_fd), transfer }
    }
}

fn bounds(entries: f64, bytes: f64) -> Bounds {
    Bounds { bytes: bytes as u64, entries: entries as u64 }
}

/// Whether this is a pattern of `include` and `exclude`.
#[napi(catch_unwind)]
pub fn is_glob(pattern: String) -> bool {
    tree::is_glob(&pattern)
}

#[napi]
impl Container {
    /// Copies what is in a directory of the host's. `mode` -1: that of each file.
    #[napi(
        catch_unwind,
        ts_args_type = "directory: number, path: Bytes, include: string[], exclude: string[], mode: number, maxEntries: number, maxBytes: number"
    )]
    pub fn copy_in_directory(
        &self,
        directory: f64,
        path: ByteArg,
        include: Vec<String>,
        exclude: Vec<String>,
        mode: i32,
        max_entries: f64,
        max_bytes: f64,
    ) -> Transfer {
        self.begin(|master, sink| {
            let bad = |errno| Error::Perform(Failure::new(Step::OpenDirectory, errno));
            let borrowed = descriptor(directory).ok_or_else(|| bad(libc::EBADF))?;
            let source =
                borrowed.try_clone_to_owned().map_err(|error| bad(error.raw_os_error().unwrap_or(libc::EBADF)))?;
            let how = CopyIn {
                selection: Selection::new(&include, &exclude),
                bounds: bounds(max_entries, max_bytes),
                mode: u32::try_from(mode).ok(),
                strip: 0,
            };
            Ok((master.copy_in_tree(Source::Directory(source), path.as_bytes(), how, sink), None))
        })
    }

    /// Unpacks what is written to the pipe.
    #[napi(
        catch_unwind,
        ts_args_type = "path: Bytes, include: string[], exclude: string[], strip: number, maxEntries: number, maxBytes: number"
    )]
    pub fn copy_in_archive(
        &self,
        path: ByteArg,
        include: Vec<String>,
        exclude: Vec<String>,
        strip: u32,
        max_entries: f64,
        max_bytes: f64,
    ) -> Transfer {
        self.begin(|master, sink| {
            let selection = Selection::new(&include, &exclude);
            let how = CopyIn { selection, bounds: bounds(max_entries, max_bytes), mode: None, strip };
            let (transfer, end) = master.copy_in_archive(path.as_bytes(), how, sink)?;
            Ok((transfer, Some(end)))
        })
    }

    /// An archive comes out of the pipe.
    #[napi(
        catch_unwind,
        ts_args_type = "path: Bytes, include: string[], exclude: string[], maxEntries: number, maxBytes: number"
    )]
    pub fn copy_out_archive(
        &self,
        path: ByteArg,
        include: Vec<String>,
        exclude: Vec<String>,
        max_entries: f64,
        max_bytes: f64,
    ) -> Transfer {
        self.begin(|master, sink| {
            let selection = Selection::new(&include, &exclude);
            let bounds = bounds(max_entries, max_bytes);
            let (transfer, end) = master.copy_out_tree(path.as_bytes(), selection, bounds, sink)?;
            Ok((transfer, Some(end)))
        })
    }

    /// Out of the pipe come six fields for each name, each with a NUL behind it: kind, size, mode, modification time in nanoseconds, path, and
    /// what a symbolic link says.
    #[napi(catch_unwind, ts_args_type = "path: Bytes, include: string[], exclude: string[], maxEntries: number")]
    pub fn list_directory(
        &self,
        path: ByteArg,
        include: Vec<String>,
        exclude: Vec<String>,
        max_entries: f64,
    ) -> Transfer {
        self.begin(|master, sink| {
            let selection = Selection::new(&include, &exclude);
            let (transfer, end) = master.list_tree(path.as_bytes(), selection, max_entries as u64, sink)?;
            Ok((transfer, Some(end)))
        })
    }

    /// Out of the pipe come two fields for each path of an overlay that was changed, each with a NUL behind it: 'added', 'changed' or 'deleted',
    /// and the path.
    #[napi(catch_unwind, ts_args_type = "path: Bytes, maxEntries: number")]
    pub fn changes(&self, path: ByteArg, max_entries: f64) -> Transfer {
        self.begin(|master, sink| {
            let (transfer, end) = master.changes(path.as_bytes(), max_entries as u64, sink)?;
            Ok((transfer, Some(end)))
        })
    }
}
