//! The controllers that hotcell makes use of, and sets of them.

use std::fmt;

/// A resource controller, under its name on v1. On v2 CPU time and freezing belong to every cgroup and are no controllers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Controller {
    /// The share of CPU time (`cpu.max`, `cpu.cfs_quota_us`).
    Cpu,
    /// CPU time used.
    CpuAcct,
    /// The CPUs to run on.
    CpuSet,
    /// Memory of all kinds.
    Memory,
    /// The number of processes and threads.
    Pids,
    /// Stopping all at once.
    Freezer,
}

impl Controller {
    /// Each of them.
    pub const ALL: [Self; 6] = [Self::Cpu, Self::CpuAcct, Self::CpuSet, Self::Memory, Self::Pids, Self::Freezer];

    /// As the kernel spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::CpuAcct => "cpuacct",
            Self::CpuSet => "cpuset",
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Freezer => "freezer",
        }
    }

    /// The controller of this name; `None` for those that hotcell has no use for.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|controller| controller.name() == name)
    }
}

impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of controllers.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Controllers(u8);

impl Controllers {
    /// All that v2 knows as controllers.
    pub const V2: Self =
        Self::NONE.with(Controller::Cpu).with(Controller::CpuSet).with(Controller::Memory).with(Controller::Pids);
    /// None.
    pub const NONE: Self = Self(0);
    /// Every one.
    pub const ALL: Self = Self(0b11_1111);

    /// With one more.
    pub const fn with(self, controller: Controller) -> Self {
        Self(self.0 | 1 << controller as u8)
    }

    /// Whether it is among them.
    pub const fn has(self, controller: Controller) -> bool {
        self.0 & (1 << controller as u8) != 0
    }

    /// Those in both.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those in either.
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that the other lacks.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// One by one.
    pub fn iter(self) -> impl Iterator<Item = Controller> {
        Controller::ALL.into_iter().filter(move |controller| self.has(*controller))
    }

    /// Of names in a list, unknown ones left out.
    pub(crate) fn from_names<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        names.filter_map(Controller::from_name).fold(Self::NONE, Self::with)
    }
}

impl fmt::Debug for Controllers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl fmt::Display for Controllers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, controller) in self.iter().enumerate() {
            write!(f, "{}{controller}", if index == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_hold_what_they_were_given() {
        let some = Controllers::from_names("cpu io memory pids misc".split(' '));
        assert_eq!(some.to_string(), "cpu memory pids");
        assert!(some.has(Controller::Pids) && !some.has(Controller::CpuSet));
        assert_eq!(Controllers::ALL.iter().count(), Controller::ALL.len());
        assert_eq!(Controllers::V2.without(some).to_string(), "cpuset");
    }
}
