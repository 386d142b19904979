//! The mounts of the container's options: bind mounts of host paths, and tmpfs that reset replaces.
//!
//! Runs in pid 1, in three phases with the identity change between the first two (see [`super`]): sources are opened as the
//! host's user, targets are made and mounts attached as init; reset, much later, works on descriptors kept here alone.

use super::root::{Tree, split, terminated};
use hotcell_linux::mount_api::{self, attribute};
use hotcell_linux::{errno, file};
use hotcell_protocol::{Failure, Identity, Mount, MountKind, Step, TmpfsLimits};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What a bind mount's source turned out to be.
pub enum Source {
    /// A copy of the tree, restricted, attached nowhere yet.
    Tree { mount: OwnedFd, directory: bool },
    /// A relative symbolic link (as /bin is where /usr is merged), to be made again.
    Link(Vec<u8>),
    /// Absent, and optional; or no source to open (tmpfs).
    Nothing,
}

/// Opens the sources of all mounts.
pub fn open_sources(mounts: &[Mount]) -> Result<Vec<Source>, Failure> {
    mounts.iter().zip(0..).map(|(mount, index)| open_source(mount, index)).collect()
}

fn open_source(mount: &Mount, index: u32) -> Result<Source, Failure> {
    let MountKind::Bind { source } = &mount.kind else { return Ok(Source::Nothing) };
    let failed = |step| move |error: io::Error| Failure::new(step, errno(&error)).of(source).at(index);
    let path = terminated(source).map_err(failed(Step::OpenTree))?;
    // SAFETY: AT_FDCWD is not a descriptor that anybody could close.
    let here = unsafe { BorrowedFd::borrow_raw(libc::AT_FDCWD) };
    match file::readlinkat(here, &path) {
        Ok(target) if !target.starts_with(b"/") => return Ok(Source::Link(target)),
        // an absolute link is followed
        Ok(_) => {}
        Err(error) => match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) if mount.optional => return Ok(Source::Nothing),
            // not a link; or what open_tree will say better
            Some(libc::EINVAL | libc::ENOENT | libc::ENOTDIR | libc::EACCES) => {}
            _ => return Err(failed(Step::ReadLink)(error)),
        },
    }
    // All that is mounted below comes along: the kernel refuses to uncover what is under a mount to a user namespace.
    let tree = mount_api::clone_tree(None, &path, true, false).map_err(failed(Step::OpenTree))?;
    let stat = file::stat(tree.as_fd()).map_err(failed(Step::OpenTree))?;
    let attributes = attribute::NOSUID
        | attribute::NODEV
        | if mount.read_only { attribute::RDONLY } else { 0 }
        | if mount.no_exec { attribute::NOEXEC } else { 0 };
    mount_api::set_attributes(tree.as_fd(), attributes, true).map_err(failed(Step::SetMountAttributes))?;
    Ok(Source::Tree { mount: tree, directory: file::is_type(&stat, libc::S_IFDIR) })
}

/// A new tmpfs, attached nowhere. With an owner it belongs to that identity (0755), without to everybody (1777).
pub fn fresh_tmpfs(limits: TmpfsLimits, owner: Option<Identity>, no_exec: bool) -> io::Result<OwnedFd> {
    let context = mount_api::fsopen(c"tmpfs")?;
    let number = |number: u64| CString::new(number.to_string()).map_err(io::Error::from);
    context.set(c"size", &number(limits.size_bytes)?)?;
    context.set(c"nr_inodes", &number(limits.inodes)?)?;
    match owner {
        Some(owner) => {
            context.set(c"uid", &number(owner.uid.into())?)?;
            context.set(c"gid", &number(owner.gid.into())?)?;
            context.set(c"mode", c"0755")?;
        }
        None => context.set(c"mode", c"1777")?,
    }
    let no_exec = if no_exec { attribute::NOEXEC } else { 0 };
    context.mount(attribute::NOSUID | attribute::NODEV | attribute::NOATIME | no_exec)
}

/// A tmpfs that reset replaces.
#[derive(Debug)]
pub struct TmpfsMount {
    path: Vec<u8>,
    /// What it is mounted on: the directory below it.
    target: OwnedFd,
    /// Its root.
    mount: OwnedFd,
    limits: TmpfsLimits,
    owner: Option<Identity>,
    no_exec: bool,
}

impl TmpfsMount {
    /// Attaches a tmpfs, and remembers all that it takes to do so again.
    pub fn attach(
        path: &[u8],
        target: OwnedFd,
        mount: OwnedFd,
        limits: TmpfsLimits,
        owner: Option<Identity>,
        no_exec: bool,
    ) -> io::Result<Self> {
        mount_api::move_mount(mount.as_fd(), target.as_fd())?;
        Ok(Self { path: path.to_vec(), target, mount, limits, owner, no_exec })
    }

    /// Puts a new, empty one in its place; returns the root of the old one, whose files are freed when that is closed.
    ///
    /// Works on descriptors alone. Leaves the current directory in the new one.
    fn replace(&mut self) -> io::Result<OwnedFd> {
        let fresh = fresh_tmpfs(self.limits, self.owner, self.no_exec)?;
        file::fchdir(self.mount.as_fd())?;
        mount_api::detach(c".")?;
        mount_api::move_mount(fresh.as_fd(), self.target.as_fd())?;
        file::fchdir(fresh.as_fd())?;
        Ok(std::mem::replace(&mut self.mount, fresh))
    }
}

/// What is mounted, as far as reset is concerned.
#[derive(Debug, Default)]
pub struct Attached {
    tmpfs: Vec<TmpfsMount>,
    /// Mounts and links that lie inside of a tmpfs, in their order, and go with it.
    inside: Vec<(Vec<u8>, Inside)>,
}

#[derive(Debug)]
enum Inside {
    Bind { directory: bool },
    Link(Vec<u8>),
}

/// Makes targets and attaches every mount, in order.
pub fn attach(
    tree: &Tree,
    mounts: &[Mount],
    sources: Vec<Source>,
    defaults: TmpfsLimits,
    program: Identity,
) -> Result<Attached, Failure> {
    let mut attached = Attached::default();
    for ((mount, source), index) in mounts.iter().zip(sources).zip(0..) {
        let failed = |step| {
            let target = &mount.target;
            move |error: io::Error| Failure::new(step, errno(&error)).of(target).at(index)
        };
        match (&mount.kind, source) {
            (MountKind::Tmpfs { limits }, _) => {
                let limits = limits.unwrap_or(defaults);
                let owner = (mount.target.as_slice() != b"/tmp").then_some(program);
                let target = tree.make_directory(&mount.target).map_err(failed(Step::MakeDirectory))?;
                let tmpfs = fresh_tmpfs(limits, owner, mount.no_exec)
                    .and_then(|fresh| TmpfsMount::attach(&mount.target, target, fresh, limits, owner, mount.no_exec))
                    .map_err(failed(Step::MakeTmpfs))?;
                if mount.read_only {
                    mount_api::set_attributes(tmpfs.mount.as_fd(), attribute::RDONLY, false)
                        .map_err(failed(Step::SetMountAttributes))?;
                } else {
                    attached.tmpfs.push(tmpfs);
                }
            }
            (MountKind::Bind { .. }, Source::Tree { mount: bind, directory }) => {
                let target = if directory {
                    tree.make_directory(&mount.target).map_err(failed(Step::MakeDirectory))?
                } else {
                    tree.make_file(&mount.target).map_err(failed(Step::MakeFile))?
                };
                mount_api::move_mount(bind.as_fd(), target.as_fd()).map_err(failed(Step::AttachMount))?;
                attached.remember(&mount.target, Inside::Bind { directory });
            }
            (MountKind::Bind { .. }, Source::Link(link)) => {
                tree.make_symlink(&link, &mount.target).map_err(failed(Step::MakeSymlink))?;
                attached.remember(&mount.target, Inside::Link(link));
            }
            (MountKind::Bind { .. }, Source::Nothing) => {}
        }
    }
    Ok(attached)
}

impl Attached {
    /// /dev/shm.
    pub fn add_shared_memory(&mut self, mount: TmpfsMount) {
        self.tmpfs.push(mount);
    }

    /// The links of the container's options.
    pub fn make_symlinks<P: AsRef<[u8]>>(&mut self, tree: &Tree, links: &[(P, P)]) -> Result<(), Failure> {
        for ((target, path), index) in links.iter().zip(0..) {
            let (target, path) = (target.as_ref(), path.as_ref());
            tree.make_symlink(target, path)
                .map_err(|error| Failure::new(Step::MakeSymlink, errno(&error)).of(path).at(index))?;
            self.remember(path, Inside::Link(target.to_vec()));
        }
        Ok(())
    }

    /// A tmpfs behind a mask is out of everybody's reach: to replace it would take the mask along.
    pub fn leave_alone<P: AsRef<[u8]>>(&mut self, masked: &[P]) {
        let hidden = |path: &[u8]| masked.iter().map(AsRef::as_ref).any(|mask| path == mask || is_inside(path, mask));
        self.tmpfs.retain(|tmpfs| !hidden(&tmpfs.path));
    }

    fn remember(&mut self, path: &[u8], what: Inside) {
        if self.tmpfs.iter().any(|tmpfs| is_inside(path, &tmpfs.path)) {
            self.inside.push((path.to_vec(), what));
        }
    }

    /// Replaces every tmpfs by an empty one, and puts back what was mounted or linked inside of them. No program may run
    /// meanwhile. Returns the roots of the old ones: closing them takes as long as there are files in them.
    pub fn replace_tmpfs(&mut self, tree: &Tree) -> Result<Vec<OwnedFd>, Failure> {
        let failed = |path: &[u8]| {
            let path = path.to_vec();
            move |error: io::Error| Failure::new(Step::ResetMount, errno(&error)).of(&path)
        };
        let mut kept = Vec::with_capacity(self.inside.len());
        for (path, what) in &self.inside {
            kept.push(match what {
                Inside::Bind { .. } => {
                    let bind = tree.handle(path).map_err(failed(path))?;
                    Some(mount_api::clone_tree(Some(bind.as_fd()), c"", true, false).map_err(failed(path))?)
                }
                Inside::Link(_) => None,
            });
        }
        let mut old = Vec::with_capacity(self.tmpfs.len());
        for index in 0..self.tmpfs.len() {
            let (before, rest) = self.tmpfs.split_at_mut(index);
            let Some(tmpfs) = rest.first_mut() else { break };
            let path = tmpfs.path.clone();
            // One inside of another went with it: its directory has to be made again in the new one.
            if before.iter().any(|outer| is_inside(&path, &outer.path)) {
                tmpfs.target = tree.make_directory(&path).map_err(failed(&path))?;
                let fresh = fresh_tmpfs(tmpfs.limits, tmpfs.owner, tmpfs.no_exec).map_err(failed(&path))?;
                mount_api::move_mount(fresh.as_fd(), tmpfs.target.as_fd()).map_err(failed(&path))?;
                old.push(std::mem::replace(&mut tmpfs.mount, fresh));
            } else {
                old.push(tmpfs.replace().map_err(failed(&path))?);
            }
        }
        for ((path, what), bind) in self.inside.iter().zip(kept) {
            match (what, bind) {
                (Inside::Bind { directory }, Some(bind)) => {
                    let target = if *directory { tree.make_directory(path) } else { tree.make_file(path) };
                    target.and_then(|target| mount_api::move_mount(bind.as_fd(), target.as_fd())).map_err(failed(path))?;
                }
                (Inside::Link(target), _) => tree.make_symlink(target, path).map_err(failed(path))?,
                (Inside::Bind { .. }, None) => {}
            }
        }
        Ok(old)
    }
}

/// Whether `path` lies below `directory`. Both are absolute.
fn is_inside(path: &[u8], directory: &[u8]) -> bool {
    let mut above = path;
    loop {
        let (parent, name) = split(above);
        if name.is_empty() {
            return false;
        }
        if parent == directory {
            return true;
        }
        above = parent;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inside_is_by_components() {
        assert!(is_inside(b"/w/a", b"/w"));
        assert!(is_inside(b"/w/a/b", b"/w"));
        assert!(is_inside(b"/w", b"/"));
        assert!(!is_inside(b"/w", b"/w"));
        assert!(!is_inside(b"/wide", b"/w"));
    }
}
