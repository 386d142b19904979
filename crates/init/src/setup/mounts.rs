//! The mounts of the container's options: bind mounts of host paths, and tmpfs and overlays that reset replaces.
//!
//! Runs in pid 1, in three phases with the identity change between the first two (see [`super`]): sources are opened as the
//! host's user, targets are made and mounts attached as init; reset, much later, works on descriptors kept here alone.

use super::overlay::{OverlayMount, OverlayOptions};
use super::pristine::Pristine;
use super::root::{Tree, split, terminated};
use crate::identity::Ids;
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

/// Opens the sources of all mounts, but for those that the launcher has opened: as many as there are mounts, or none.
pub fn open_sources(mounts: &[Mount], opened: Vec<Option<OwnedFd>>) -> Result<Vec<Source>, Failure> {
    let opened = opened.into_iter().chain(std::iter::repeat_with(|| None));
    let open = |((mount, opened), index)| match opened {
        Some(tree) => Ok(Source::Tree { mount: tree, directory: true }),
        None => open_source(mount, index),
    };
    mounts.iter().zip(opened).zip(0..).map(open).collect()
}

/// The source of an overlay, opened ahead of the clone by a launcher that may translate its owner; `None` where there is none.
pub fn open_lower(mount: &Mount) -> Option<OwnedFd> {
    let MountKind::Overlay { source, map_owner: true, .. } = &mount.kind else { return None };
    let path = terminated(source).ok()?;
    // What goes wrong here goes wrong again in init, which can say so.
    let tree = mount_api::clone_tree(None, &path, false, false).ok()?;
    let stat = file::stat(tree.as_fd()).ok()?;
    mount_api::set_attributes(tree.as_fd(), LOWER_ATTRIBUTES, false).ok()?;
    file::is_type(&stat, libc::S_IFDIR).then_some(tree)
}

/// Nobody changes the host's directory, whatever overlayfs lets through.
const LOWER_ATTRIBUTES: u64 = attribute::NOSUID | attribute::NODEV | attribute::RDONLY;

fn open_source(mount: &Mount, index: u32) -> Result<Source, Failure> {
    let source = match &mount.kind {
        MountKind::Bind { source } | MountKind::Overlay { source, .. } => source,
        MountKind::Tmpfs { .. } => return Ok(Source::Nothing),
    };
    let is_overlay = matches!(mount.kind, MountKind::Overlay { .. });
    let failed = |step| move |error: io::Error| Failure::new(step, errno(&error)).of(source).at(index);
    let path = terminated(source).map_err(failed(Step::OpenTree))?;
    // SAFETY: AT_FDCWD is not a descriptor that anybody could close.
    let here = unsafe { BorrowedFd::borrow_raw(libc::AT_FDCWD) };
    match file::readlinkat(here, &path) {
        Ok(target) if !is_overlay && !target.starts_with(b"/") => return Ok(Source::Link(target)),
        // an absolute link is followed, and any to what an overlay is to lie on
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
        | if mount.read_only || is_overlay { attribute::RDONLY } else { 0 }
        | if mount.no_exec { attribute::NOEXEC } else { 0 };
    mount_api::set_attributes(tree.as_fd(), attributes, true).map_err(failed(Step::SetMountAttributes))?;
    let directory = file::is_type(&stat, libc::S_IFDIR);
    if is_overlay && !directory {
        return Err(failed(Step::MakeOverlay)(io::Error::from_raw_os_error(libc::ENOTDIR)));
    }
    Ok(Source::Tree { mount: tree, directory })
}

/// What makes one tmpfs like another.
#[derive(Debug, Clone, Copy)]
pub struct TmpfsOptions {
    /// Its bounds.
    pub limits: TmpfsLimits,
    /// Who its root directory belongs to.
    pub owner: Identity,
    /// Whether everybody may write to it (1777), or the owner alone (0755).
    pub is_shared: bool,
    /// Whether nothing can be executed from it.
    pub no_exec: bool,
}

impl TmpfsOptions {
    /// A new one, attached nowhere.
    pub(super) fn make(&self) -> io::Result<OwnedFd> {
        let context = mount_api::fsopen(c"tmpfs")?;
        let number = |number: u64| CString::new(number.to_string()).map_err(io::Error::from);
        context.set(c"size", &number(self.limits.size_bytes)?)?;
        context.set(c"nr_inodes", &number(self.limits.inodes)?)?;
        context.set(c"uid", &number(self.owner.uid.into())?)?;
        context.set(c"gid", &number(self.owner.gid.into())?)?;
        // 1777 is the default (tmpfs(5)).
        if !self.is_shared {
            context.set(c"mode", c"0755")?;
        }
        let no_exec = if self.no_exec { attribute::NOEXEC } else { 0 };
        context.mount(attribute::NOSUID | attribute::NODEV | attribute::NOATIME | no_exec)
    }
}

/// A tmpfs that reset replaces.
#[derive(Debug)]
pub struct TmpfsMount {
    path: Vec<u8>,
    /// What it is mounted on: the directory below it.
    target: OwnedFd,
    /// Its root.
    mount: OwnedFd,
    options: TmpfsOptions,
    /// What it looks like untouched. Looked at when it is replaced for the first time, not when a container is made.
    pristine: Option<Pristine>,
}

impl TmpfsMount {
    /// Makes and attaches one, and remembers all that it takes to do so again.
    pub fn attach(path: &[u8], target: OwnedFd, options: TmpfsOptions) -> io::Result<Self> {
        let mount = options.make()?;
        mount_api::move_mount(mount.as_fd(), target.as_fd())?;
        Ok(Self { path: path.to_vec(), target, mount, options, pristine: None })
    }

    /// Attaches a new, empty one; returns the root of the old one, whose files are freed when that is closed and it is attached nowhere.
    fn renew(&mut self) -> io::Result<OwnedFd> {
        let fresh = self.options.make()?;
        // Where that cannot be told, it is replaced each time.
        self.pristine = Pristine::new(fresh.as_fd()).ok();
        mount_api::move_mount(fresh.as_fd(), self.target.as_fd())?;
        Ok(std::mem::replace(&mut self.mount, fresh))
    }

    /// Whether it is known that nobody has touched it.
    fn is_pristine(&self) -> bool {
        self.pristine.as_ref().is_some_and(Pristine::is_still)
    }
}

/// Detaches what is mounted at the root of this mount; on descriptors alone. It is the current directory afterwards.
pub fn detach(mount: BorrowedFd<'_>) -> io::Result<()> {
    file::fchdir(mount)?;
    mount_api::detach(c".")
}

/// What is mounted, as far as reset is concerned.
#[derive(Debug, Default)]
pub struct Attached {
    tmpfs: Vec<TmpfsMount>,
    overlays: Vec<OverlayMount>,
    /// Mounts and links that lie inside of a tmpfs, in their order, and go with it.
    inside: Vec<(Vec<u8>, Inside)>,
}

#[derive(Debug)]
enum Inside {
    /// The mount itself: paths lead through directories that programs may have moved.
    Bind {
        directory: bool,
        mount: OwnedFd,
    },
    Link(Vec<u8>),
    Tmpfs,
    Overlay,
}

/// Makes targets and attaches every mount, in order.
pub fn attach(
    tree: &Tree,
    mounts: &[Mount],
    sources: Vec<Source>,
    defaults: TmpfsLimits,
    ids: Ids,
    user_namespace: bool,
) -> Result<Attached, Failure> {
    let mut attached = Attached::default();
    for ((mount, source), index) in mounts.iter().zip(sources).zip(0..) {
        let failed = |step| {
            let target = &mount.target;
            move |error: io::Error| Failure::new(step, errno(&error)).of(target).at(index)
        };
        match (&mount.kind, source) {
            (MountKind::Tmpfs { limits }, _) => {
                let is_shared = mount.target.as_slice() == b"/tmp";
                let owner = if is_shared { ids.init } else { ids.program };
                let options =
                    TmpfsOptions { limits: limits.unwrap_or(defaults), owner, is_shared, no_exec: mount.no_exec };
                let target = tree.make_directory(&mount.target).map_err(failed(Step::MakeDirectory))?;
                let tmpfs = TmpfsMount::attach(&mount.target, target, options).map_err(failed(Step::MakeTmpfs))?;
                if mount.read_only {
                    mount_api::set_attributes(tmpfs.mount.as_fd(), attribute::RDONLY, false)
                        .map_err(failed(Step::SetMountAttributes))?;
                } else {
                    attached.remember(&mount.target, Inside::Tmpfs);
                    attached.tmpfs.push(tmpfs);
                }
            }
            (MountKind::Overlay { limits, .. }, Source::Tree { mount: lower, .. }) => {
                let tmpfs = TmpfsOptions {
                    limits: limits.unwrap_or(defaults),
                    owner: ids.program,
                    is_shared: false,
                    no_exec: mount.no_exec,
                };
                let options = OverlayOptions { tmpfs, user_namespace };
                let target = tree.make_directory(&mount.target).map_err(failed(Step::MakeDirectory))?;
                let overlay = OverlayMount::attach(&mount.target, target, &lower, options)
                    .map_err(|failure| failure.of(&mount.target).at(index))?;
                attached.remember(&mount.target, Inside::Overlay);
                attached.overlays.push(overlay);
            }
            (MountKind::Overlay { .. }, Source::Link(_) | Source::Nothing) => {}
            (MountKind::Bind { .. }, Source::Tree { mount: bind, directory }) => {
                let target = if directory {
                    tree.make_directory(&mount.target).map_err(failed(Step::MakeDirectory))?
                } else {
                    tree.make_file(&mount.target).map_err(failed(Step::MakeFile))?
                };
                mount_api::move_mount(bind.as_fd(), target.as_fd()).map_err(failed(Step::AttachMount))?;
                attached.remember(&mount.target, Inside::Bind { directory, mount: bind });
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
        self.overlays.retain(|overlay| !hidden(&overlay.path));
    }

    /// The overlay at a path; slashes at its end do not count.
    pub fn overlay(&self, path: &[u8]) -> Option<&OverlayMount> {
        let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
        let path = path.get(..end)?;
        self.overlays.iter().find(|overlay| overlay.path == path)
    }

    fn remember(&mut self, path: &[u8], what: Inside) {
        let in_overlay = self.overlays.iter().any(|overlay| is_inside(path, &overlay.path));
        if in_overlay || self.tmpfs.iter().any(|tmpfs| is_inside(path, &tmpfs.path)) {
            self.inside.push((path.to_vec(), what));
        }
    }

    /// Whether it is known that nobody has touched anything that a reset would replace.
    pub fn is_pristine(&self) -> bool {
        self.inside.is_empty() && self.overlays.is_empty() && self.tmpfs.iter().all(TmpfsMount::is_pristine)
    }

    /// Replaces every tmpfs by an empty one and every overlay by one without changes, and puts back what was mounted or linked inside of them. No program may run
    /// meanwhile. A tmpfs that is known to be untouched stays, unless something belongs inside of one. Returns the roots of the old ones: closing
    /// them takes as long as there are files in them.
    pub fn replace_tmpfs(&mut self, tree: &Tree) -> Result<Vec<OwnedFd>, Failure> {
        let failed = |path: &[u8]| {
            let path = path.to_vec();
            move |error: io::Error| Failure::new(Step::ResetMount, errno(&error)).of(&path)
        };
        // What is inside of a tmpfs goes with it, so bind mounts are copied first. From the last to the first: what lies in another bind
        // mount is taken off before that is copied, or the copy would bring it along.
        let mut binds: Vec<Option<OwnedFd>> = Vec::with_capacity(self.inside.len());
        for (path, what) in self.inside.iter().rev() {
            binds.push(match what {
                Inside::Bind { mount, .. } => {
                    let copy = mount_api::clone_tree(Some(mount.as_fd()), c"", true, false).map_err(failed(path))?;
                    // A file, or a directory that even we may not enter, stays; it comes back on top of itself.
                    let _ = detach(mount.as_fd());
                    Some(copy)
                }
                Inside::Tmpfs => {
                    if let Some(tmpfs) = self.tmpfs.iter().find(|tmpfs| tmpfs.path == *path) {
                        detach(tmpfs.mount.as_fd()).map_err(failed(path))?;
                    }
                    None
                }
                Inside::Overlay => {
                    if let Some(overlay) = self.overlays.iter().find(|overlay| overlay.path == *path) {
                        detach(overlay.mount()).map_err(failed(path))?;
                    }
                    None
                }
                Inside::Link(_) => None,
            });
        }
        binds.reverse();
        let mut old = Vec::with_capacity(self.tmpfs.len());
        for tmpfs in &mut self.tmpfs {
            let is_inside = |(path, what): &(Vec<u8>, Inside)| matches!(what, Inside::Tmpfs) && *path == tmpfs.path;
            if self.inside.iter().any(is_inside) || (self.inside.is_empty() && tmpfs.is_pristine()) {
                continue;
            }
            detach(tmpfs.mount.as_fd()).map_err(failed(&tmpfs.path))?;
            old.push(tmpfs.renew().map_err(failed(&tmpfs.path))?);
        }
        for overlay in &mut self.overlays {
            let is_it = |(path, what): &(Vec<u8>, Inside)| matches!(what, Inside::Overlay) && *path == overlay.path;
            if !self.inside.iter().any(is_it) {
                detach(overlay.mount()).map_err(failed(&overlay.path))?;
                old.extend(overlay.renew().map_err(failed(&overlay.path))?);
            }
        }
        // Then what went with them, in the order in which it came. No link is followed on the way: one that stands there now is a
        // program's.
        for ((path, what), copy) in self.inside.iter_mut().zip(binds) {
            match (what, copy) {
                (Inside::Bind { directory, mount }, Some(copy)) => {
                    let target = if *directory { tree.make_real_directory(path) } else { tree.make_real_file(path) };
                    target
                        .and_then(|target| mount_api::move_mount(copy.as_fd(), target.as_fd()))
                        .map_err(failed(path))?;
                    *mount = copy;
                }
                (Inside::Link(target), _) => tree.make_symlink(target, path).or_else(exists).map_err(failed(path))?,
                (Inside::Tmpfs, _) => {
                    let Some(tmpfs) = self.tmpfs.iter_mut().find(|tmpfs| tmpfs.path == *path) else { continue };
                    tmpfs.target = tree.make_real_directory(path).map_err(failed(path))?;
                    old.push(tmpfs.renew().map_err(failed(path))?);
                }
                (Inside::Overlay, _) => {
                    let Some(overlay) = self.overlays.iter_mut().find(|overlay| overlay.path == *path) else {
                        continue;
                    };
                    overlay.set_target(tree.make_real_directory(path).map_err(failed(path))?);
                    old.extend(overlay.renew().map_err(failed(path))?);
                }
                (Inside::Bind { .. }, None) => {}
            }
        }
        Ok(old)
    }
}

/// A link in a bind mount inside of a tmpfs is still there.
fn exists(error: io::Error) -> io::Result<()> {
    if error.raw_os_error() == Some(libc::EEXIST) { Ok(()) } else { Err(error) }
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
