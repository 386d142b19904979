//! A container as a C program would make it: no launcher, no init image, no protocol.
//!
//! One `clone3` of user, pid, mount, network, ipc, uts and cgroup namespaces; the id maps; hotcell's default mounts with
//! the system calls of old (`mount`, twice for each read-only bind); `pivot_root`; one byte to the parent. The loopback
//! device, the identity of programs, hardening and everything else that a real init does is left out.
//!
//! The child is a copy of this single-threaded process (no CLONE_VM), so ordinary code may run in it.

use std::ffi::{CStr, CString};
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::ptr;
use std::time::{Duration, Instant};

const NAMESPACES: libc::c_int = libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

/// The first host id that a container made by root gets; any unprivileged one would do.
const PRIVATE_ID: u32 = 1_000_000;

const MASKED: [&str; 11] = [
    "acpi",
    "asound",
    "interrupts",
    "kcore",
    "keys",
    "kmsg",
    "latency_stats",
    "sched_debug",
    "scsi",
    "timer_list",
    "timer_stats",
];
const READ_ONLY: [&str; 5] = ["bus", "fs", "irq", "sys", "sysrq-trigger"];
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];

const SECURE: libc::c_ulong = libc::MS_NOSUID | libc::MS_NODEV;

#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
}

/// From before `clone3` until the container has said that it stands. It is killed afterwards, outside of the figure.
pub fn sample() -> io::Result<Duration> {
    // SAFETY: no pointers.
    let uid = unsafe { libc::geteuid() };
    // SAFETY: no pointers.
    let gid = unsafe { libc::getegid() };
    let began = Instant::now();
    let (mut ours, theirs) = UnixStream::pair()?;
    let args = CloneArgs {
        flags: NAMESPACES.cast_unsigned().into(),
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArgs::default()
    };
    // SAFETY: args is a clone_args of the size given; without CLONE_VM the child has its own copy of everything.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    if pid == 0 {
        drop(ours);
        let answer = container(&theirs, uid == 0);
        let mut theirs = theirs;
        match answer {
            Ok(()) => drop(theirs.write_all(&[0])),
            Err((what, error)) => drop(write!(theirs, "{what}: {error}")),
        }
        // Held open until the parent kills us: an exit would tear the namespaces down within the figure.
        let _ = theirs.read(&mut [0]);
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(0) };
    }
    drop(theirs);

    let mapped = write_maps(pid, uid, gid).and_then(|()| ours.write_all(&[0]));
    let mut first = [0; 256];
    let answered = mapped.and_then(|()| ours.read(&mut first));
    let elapsed = began.elapsed();

    let pid = libc::pid_t::try_from(pid).unwrap_or(-1);
    // SAFETY: our own child, not yet reaped.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    // SAFETY: a null status pointer is allowed.
    unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
    match answered? {
        1 if first[0] == 0 => Ok(elapsed),
        0 => Err(io::Error::other("the container died")),
        length => Err(io::Error::other(String::from_utf8_lossy(&first[..length]).into_owned())),
    }
}

fn write_maps(pid: i64, uid: u32, gid: u32) -> io::Result<()> {
    let (uid_map, gid_map) = if uid == 0 {
        (format!("0 {PRIVATE_ID} 65536"), format!("0 {PRIVATE_ID} 65536"))
    } else {
        // An unprivileged user may map a group only after giving up setgroups(2) (user_namespaces(7)).
        fs::write(format!("/proc/{pid}/setgroups"), "deny")?;
        (format!("0 {uid} 1"), format!("0 {gid} 1"))
    };
    fs::write(format!("/proc/{pid}/uid_map"), uid_map)?;
    fs::write(format!("/proc/{pid}/gid_map"), gid_map)
}

type Step = Result<(), (String, io::Error)>;

fn container(mut parent: &UnixStream, privileged: bool) -> Step {
    // The maps are there once the parent has written this byte.
    parent.read_exact(&mut [0]).map_err(|error| ("read".into(), error))?;
    if privileged {
        // SAFETY: no pointers but a null list of length 0.
        check("setgroups", unsafe { libc::setgroups(0, ptr::null()) })?;
        // SAFETY: no pointers.
        check("setresgid", unsafe { libc::setresgid(0, 0, 0) })?;
        // SAFETY: no pointers.
        check("setresuid", unsafe { libc::setresuid(0, 0, 0) })?;
    }

    mount(None, "/", None, libc::MS_REC | libc::MS_PRIVATE, None)?;
    // /tmp only serves as a place to put the new root on; pivot_root makes it the root.
    mount(Some("tmpfs"), "/tmp", Some("tmpfs"), SECURE, Some("mode=755,size=1m"))?;
    chdir("/tmp")?;

    for path in ["usr", "lib", "lib64", "bin"] {
        let source = Path::new("/").join(path);
        match fs::symlink_metadata(&source) {
            Ok(found) if found.is_symlink() => {
                let target = fs::read_link(&source).map_err(|error| ("readlink".into(), error))?;
                std::os::unix::fs::symlink(target, path).map_err(|error| ("symlink".into(), error))?;
            }
            Ok(_) => {
                mkdir(path)?;
                bind_read_only(&format!("/{path}"), path)?;
            }
            Err(_) => {}
        }
    }
    mkdir("etc")?;
    if Path::new("/etc/ld.so.cache").exists() {
        fs::File::create("etc/ld.so.cache").map_err(|error| ("create".into(), error))?;
        bind_read_only("/etc/ld.so.cache", "etc/ld.so.cache")?;
    }
    if Path::new("/etc/alternatives").exists() {
        mkdir("etc/alternatives")?;
        bind_read_only("/etc/alternatives", "etc/alternatives")?;
    }
    for path in ["w", "tmp"] {
        mkdir(path)?;
        mount(
            Some("tmpfs"),
            path,
            Some("tmpfs"),
            SECURE | libc::MS_NOATIME,
            Some("mode=1777,size=256m,nr_inodes=65536"),
        )?;
    }

    mkdir("dev")?;
    mount(Some("tmpfs"), "dev", Some("tmpfs"), libc::MS_NOSUID | libc::MS_NOEXEC, Some("mode=755,size=64k"))?;
    for device in DEVICES {
        let path = format!("dev/{device}");
        fs::File::create(&path).map_err(|error| ("create".into(), error))?;
        mount(Some(&format!("/dev/{device}")), &path, None, libc::MS_BIND, None)?;
    }
    mkdir("dev/shm")?;
    mount(Some("tmpfs"), "dev/shm", Some("tmpfs"), SECURE, Some("mode=1777,size=64m"))?;
    for (target, path) in [("fd", "dev/fd"), ("fd/0", "dev/stdin"), ("fd/1", "dev/stdout"), ("fd/2", "dev/stderr")] {
        std::os::unix::fs::symlink(format!("/proc/self/{target}"), path).map_err(|error| ("symlink".into(), error))?;
    }

    mkdir("proc")?;
    mount(Some("proc"), "proc", Some("proc"), SECURE | libc::MS_NOEXEC, None)?;
    for name in READ_ONLY {
        let path = format!("proc/{name}");
        if Path::new(&path).exists() {
            bind_read_only(&path, &path)?;
        }
    }
    for name in MASKED {
        let path = format!("proc/{name}");
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => {
                mount(Some("tmpfs"), &path, Some("tmpfs"), libc::MS_RDONLY, Some("size=0k"))?
            }
            Ok(_) => mount(Some("/dev/null"), &path, None, libc::MS_BIND, None)?,
            Err(_) => {}
        }
    }

    // pivot_root(2), NOTES: with "." twice the old root lies on top of the new one, and is detached from there.
    // SAFETY: both paths are NUL-terminated.
    check("pivot_root", unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) } as libc::c_int)?;
    // SAFETY: the path is NUL-terminated.
    check("umount2", unsafe { libc::umount2(c".".as_ptr(), libc::MNT_DETACH) })?;
    chdir("/")?;
    mount(None, "/", None, libc::MS_BIND | libc::MS_REMOUNT | libc::MS_RDONLY | SECURE, None)?;
    let name = c"hotcell";
    // SAFETY: the length is that of the string.
    check("sethostname", unsafe { libc::sethostname(name.as_ptr(), name.count_bytes()) })?;
    Ok(())
}

/// A read-only bind takes two calls: the first one ignores the flags (mount(2)).
fn bind_read_only(source: &str, target: &str) -> Step {
    mount(Some(source), target, None, libc::MS_BIND | libc::MS_REC, None)?;
    mount(None, target, None, libc::MS_BIND | libc::MS_REMOUNT | libc::MS_RDONLY | SECURE, None)
}

fn check(what: &str, result: libc::c_int) -> Step {
    if result < 0 { Err((what.into(), io::Error::last_os_error())) } else { Ok(()) }
}

fn c_string(text: &str) -> Result<CString, (String, io::Error)> {
    CString::new(text).map_err(|error| (text.into(), error.into()))
}

fn mkdir(path: &str) -> Step {
    fs::create_dir(path).map_err(|error| (format!("mkdir {path}"), error))
}

fn chdir(path: &str) -> Step {
    std::env::set_current_dir(path).map_err(|error| (format!("chdir {path}"), error))
}

fn mount(source: Option<&str>, target: &str, kind: Option<&str>, flags: libc::c_ulong, data: Option<&str>) -> Step {
    let source = source.map(c_string).transpose()?;
    let kind = kind.map(c_string).transpose()?;
    let data = data.map(c_string).transpose()?;
    let path = c_string(target)?;
    let pointer = |text: &Option<CString>| text.as_deref().map_or(ptr::null(), CStr::as_ptr);
    // SAFETY: every pointer is null or to a NUL-terminated string that lives until the end of this function.
    let result = unsafe {
        libc::mount(pointer(&source), path.as_ptr(), pointer(&kind), flags, pointer(&data).cast::<libc::c_void>())
    };
    check(&format!("mount {target}"), result)
}
