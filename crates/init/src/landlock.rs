//! Landlock rulesets for programs.
//!
//! Runs in pid 1, before a run is cloned: a ruleset is a descriptor, and the child needs one system call to be bound by it, for ever. Paths
//! are resolved as all paths of a container's are. A rule holds a file by its inode, so nothing that a program renames or links
//! changes what it means: this is the boundary, where tracing is none.
//!
//! Which kernel has what is known to the crate `landlock`; here it is said what has to be there. Rules of files take ABI 3 (Linux 6.2), before
//! which truncate(2) is not covered, those of ports ABI 4 (6.7). What came later and costs nobody anything is used where it is: ioctl(2) on
//! devices (ABI 5), abstract sockets and signals, which then do not leave the run (ABI 6).

use crate::files::absolute;
use crate::setup::{Tree, terminated};
use hotcell_linux::{errno, file, landlock};
use hotcell_protocol::{Failure, Landlock, LandlockPath, Step};
use landlock_rules::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, Scope,
};
use std::os::fd::{AsFd, OwnedFd};

/// Makes the ruleset; `None` where there is no Landlock, and the rules may do without.
pub fn ruleset(tree: &Tree, work_dir: &[u8], rules: &Landlock<'_>) -> Result<Option<OwnedFd>, Failure> {
    let refused = |_: RulesetError| {
        Failure::new(Step::MakeRuleset, landlock::abi().map_or_else(|error| errno(&error), |_| libc::EOPNOTSUPP))
    };
    let required = if rules.degrade { CompatLevel::BestEffort } else { CompatLevel::HardRequirement };
    let mut ruleset = Ruleset::default().set_compatibility(required);
    ruleset = ruleset.handle_access(AccessFs::from_all(ABI::V3)).map_err(refused)?;
    for (ports, access) in [(&rules.connect, AccessNet::ConnectTcp), (&rules.bind, AccessNet::BindTcp)] {
        if ports.is_some() {
            ruleset = ruleset.handle_access(access).map_err(refused)?;
        }
    }
    ruleset = ruleset.set_compatibility(CompatLevel::BestEffort);
    ruleset = ruleset.handle_access(AccessFs::from_all(ABI::V5)).map_err(refused)?;
    ruleset = ruleset.scope(Scope::from_all(ABI::V6)).map_err(refused)?;
    let mut created = ruleset.create().map_err(refused)?.set_compatibility(CompatLevel::BestEffort);
    for (index, rule) in (0..).zip(&rules.paths) {
        let handle = open(tree, work_dir, rule).map_err(|failure| failure.at(index).of(rule.path))?;
        let is_directory = file::stat(handle.as_fd()).is_ok_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFDIR);
        let wanted = access(rule);
        let wanted = if is_directory { wanted } else { wanted & AccessFs::from_file(ABI::V5) };
        created = created.add_rule(PathBeneath::new(handle, wanted)).map_err(refused)?;
    }
    for (ports, access) in [(&rules.connect, AccessNet::ConnectTcp), (&rules.bind, AccessNet::BindTcp)] {
        for port in ports.iter().flatten() {
            created = created.add_rule(NetPort::new(*port, access)).map_err(refused)?;
        }
    }
    Ok(created.into())
}

fn open(tree: &Tree, work_dir: &[u8], rule: &LandlockPath<'_>) -> Result<OwnedFd, Failure> {
    let failed = |error: std::io::Error| Failure::new(Step::OpenRule, errno(&error));
    let path = absolute(work_dir, rule.path).map_err(failed)?;
    terminated(&path).and_then(|_| tree.handle(&path)).map_err(failed)
}

fn access(rule: &LandlockPath<'_>) -> BitFlags<AccessFs> {
    let mut access = BitFlags::<AccessFs>::empty();
    if rule.read {
        access |= AccessFs::ReadFile | AccessFs::ReadDir;
    }
    if rule.write {
        access |= AccessFs::from_write(ABI::V5) & !(AccessFs::MakeChar | AccessFs::MakeBlock);
    }
    if rule.execute {
        // The loader reads what the kernel maps, and an interpreter its script.
        access |= AccessFs::Execute | AccessFs::ReadFile | AccessFs::ReadDir;
    }
    access
}
