//! Where something failed.

use serde::{Deserialize, Serialize};

/// A kernel call that failed: what was being done, the kernel's number, and what it was being done to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What was being done.
    pub step: Step,
    /// errno(3), as a number.
    pub errno: i32,
    /// Which of several (descriptor, rlimit, mount, file); 0 where there is one.
    pub index: u32,
    /// The path or name concerned, or empty. At most [`crate::codec::PATH_MAX`] bytes: init truncates, the host refuses more.
    #[serde(with = "serde_bytes")]
    pub subject: Vec<u8>,
}

impl Failure {
    /// A failure without a subject.
    pub const fn new(step: Step, errno: i32) -> Self {
        Self { step, errno, index: 0, subject: Vec::new() }
    }

    /// The same, of this path or name (cut at [`crate::codec::PATH_MAX`]).
    #[must_use]
    pub fn of(mut self, subject: &[u8]) -> Self {
        self.subject = subject.iter().copied().take(crate::codec::PATH_MAX).collect();
        self
    }

    /// The same, as number `index` of several.
    #[must_use]
    pub const fn at(mut self, index: u32) -> Self {
        self.index = index;
        self
    }
}

macro_rules! steps {
    ($($variant:ident, $syscall:literal, $doing:literal;)*) => {
        /// What was being done.
        ///
        /// One byte on the wire and in the memory that a forked child reports through, so that reporting needs neither
        /// formatting nor allocation.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum Step { $(#[doc = $doing] $variant,)* }

        impl Step {
            /// Every step.
            pub const ALL: &[Step] = &[$(Step::$variant,)*];
            /// The system call, as its man page spells it.
            pub const fn syscall(self) -> &'static str { match self { $(Step::$variant => $syscall,)* } }
            /// What it was called for, to be read after "cannot".
            pub const fn doing(self) -> &'static str { match self { $(Step::$variant => $doing,)* } }
            /// The step with this discriminant.
            pub fn from_u8(number: u8) -> Option<Self> { Self::ALL.get(usize::from(number)).copied() }
        }
    };
}

steps! {
    // the launcher
    CloneContainer, "clone3", "create the container's namespaces";
    WriteIdMap, "write", "write the user namespace's id map";
    DenySetgroups, "write", "deny setgroups in the user namespace";
    RunNewIdMap, "execve", "run newuidmap and newgidmap";
    // the container's set-up
    AwaitIdMap, "read", "wait for the id map";
    SetIdentity, "setresuid", "take the container's identity";
    MakePrivate, "mount_setattr", "make mount propagation private";
    OpenTree, "open_tree", "open the source of a mount";
    ReadLink, "readlink", "read a symbolic link";
    MakeRoot, "fsmount", "make the root file system";
    MakeDirectory, "mkdir", "make a directory";
    MakeFile, "open", "make a file";
    MakeSymlink, "symlink", "make a symbolic link";
    MakeTmpfs, "fsmount", "make a tmpfs";
    MakeProc, "fsmount", "mount /proc";
    MakeDevice, "open_tree", "take a device from the host's /dev";
    MapOwner, "mount_setattr", "map the owner of an overlay's source to the programs' user";
    MakeOverlay, "fsconfig", "make an overlay";
    AttachMount, "move_mount", "attach a mount";
    SetMountAttributes, "mount_setattr", "restrict a mount";
    MaskPath, "move_mount", "mask a path";
    PivotRoot, "pivot_root", "enter the new root";
    DetachOldRoot, "umount2", "detach the old root";
    LoopbackUp, "ioctl", "bring the loopback interface up";
    SetHostname, "sethostname", "set the host name";
    SetDomainname, "setdomainname", "set the domain name";
    ChangeDirectory, "chdir", "change to the working directory";
    DropPrivileges, "prctl", "give up privileges";
    SetupKernel, "epoll_create", "prepare the command loop";
    // requests
    OpenFile, "openat2", "open the file";
    CheckFileType, "fstat", "use what is not a regular file";
    SetMode, "fchmod", "set the mode of the file";
    RenameFile, "renameat", "put the file in its place";
    Unlink, "unlinkat", "delete";
    Symlink, "symlinkat", "make the symbolic link";
    OpenDirectory, "openat2", "open the directory";
    ListDirectory, "getdents64", "list the directory";
    FindOverlay, "openat2", "find an overlay";
    OutliveReset, "recvmsg", "go on: the container was reset meanwhile";
    LinkFile, "linkat", "make the hard link";
    SetTimes, "utimensat", "set the times of the file";
    ResetMount, "fsmount", "replace a tmpfs";
    ResetIpc, "unshare", "replace the IPC namespace";
    ResetKeyrings, "keyctl", "empty the keyrings";
    Request, "recvmsg", "understand the request";
    MakeRuleset, "landlock_create_ruleset", "make the Landlock ruleset";
    OpenRule, "openat2", "find the path of a Landlock rule";
    RestrictSelf, "landlock_restrict_self", "bind the program by the Landlock ruleset";
    InstallFilter, "seccomp", "install the seccomp filter";
    EnterGroup, "write", "enter the run group";
    MountTerminals, "fsmount", "mount /dev/pts";
    OpenTerminal, "open", "open a terminal";
    // the supervisor of a traced run
    StartSupervisor, "fork", "start the supervisor of the traced run";
    SeizeProgram, "ptrace", "trace the program";
    UseTrace, "openat2", "use the rules of the trace";
    Supervise, "wait4", "go on with the trace: its supervisor ended";
    // execve, in init
    CheckArguments, "execve", "use the arguments";
    CloneChild, "clone3", "start a process";
    // execve, in the child
    Setsid, "setsid", "start a session";
    DupDescriptor, "dup3", "place a descriptor";
    CloseDescriptors, "close_range", "close the remaining descriptors";
    TakeTerminal, "ioctl", "take the terminal as the controlling one";
    SetRlimit, "prlimit", "set a resource limit";
    HideCgroup, "unshare", "make the run group the root of a cgroup namespace";
    JoinKeyring, "keyctl", "join a session keyring";
    SetSignals, "rt_sigprocmask", "reset signals";
    Chdir, "chdir", "change to the working directory";
    SetChildIdentity, "setresuid", "take the program's identity";
    DropCapabilities, "capset", "drop capabilities";
    TraceMe, "ptrace", "have itself traced";
    Execve, "execve", "execute the program";
}
