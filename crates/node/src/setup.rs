//! What a container is made from, as TypeScript says it: complete, defaults filled in.

use crate::arguments::{ByteArg, limits};
use hotcell_host::cgroup::Options;
use hotcell_host::cgroup::detect::Version;
use hotcell_host::protocol::{Identity, Mount, MountKind, Network, ProcMode, Setup, TmpfsLimits, UserNamespace};
use hotcell_host::{CgroupChoice, Limits};
use napi::bindgen_prelude::{FromNapiValue, TypeName, ValidateNapiValue};
use napi::{Error, Result, Status, ValueType, sys};
use napi_derive::napi;

/// What a container is made from.
#[napi(object, object_to_js = false, use_nullable = true)]
pub struct SetupInput {
    /// A host directory to build the root on.
    pub root: Option<String>,
    /// In this order.
    pub mounts: Vec<MountInput>,
    /// Made before the root becomes read-only.
    pub symlinks: Vec<SymlinkInput>,
    /// Container paths to hide.
    pub masked_paths: Vec<String>,
    /// Absolute.
    pub work_dir: String,
    /// UTS host name.
    pub hostname: String,
    /// UTS domain name.
    pub domain_name: String,
    /// NUL-terminated strings laid end to end.
    #[napi(ts_type = "Bytes")]
    pub env: Text,
    /// Of programs, inside.
    pub uid: u32,
    /// Of programs, inside.
    pub gid: u32,
    /// Whether to make one.
    #[napi(ts_type = "'preferred' | 'required' | 'off'")]
    pub user_namespace: String,
    /// What there is.
    #[napi(ts_type = "'none' | 'host'")]
    pub network: String,
    /// Of each tmpfs that has no own.
    pub tmpfs_size_bytes: f64,
    /// Of each tmpfs that has no own.
    pub tmpfs_inodes: f64,
    /// What of it there is.
    #[napi(ts_type = "'masked' | 'pid' | 'none'")]
    pub proc: String,
    /// Whether there are cgroups.
    #[napi(ts_type = "'preferred' | 'required' | 'off'")]
    pub cgroup: String,
    /// Of the parent; null for the usual one.
    pub cgroup_name: Option<String>,
    /// What the parent is made in; null for what is found.
    pub cgroup_base: Option<String>,
    /// 1 or 2; null for both.
    pub cgroup_version: Option<u32>,
    /// What runs will have, as for `execve`.
    pub limits: Option<Vec<f64>>,
    /// What runs will have, as for `execve`.
    pub cpu_set: Option<String>,
}

/// One mount.
#[napi(object, object_to_js = false, use_nullable = true)]
pub struct MountInput {
    /// What kind.
    #[napi(ts_type = "'bind' | 'tmpfs' | 'overlay'")]
    pub kind: String,
    /// Host path of a bind or overlay.
    pub source: Option<String>,
    /// Container path.
    pub target: String,
    /// All the way down.
    pub read_only: bool,
    /// No programs may be executed from it.
    pub no_exec: bool,
    /// Skipped where the source does not exist.
    pub optional: bool,
    /// Of a tmpfs; null for the container's.
    pub size_bytes: Option<f64>,
    /// Of a tmpfs; null for the container's.
    pub inodes: Option<f64>,
    /// Whether what belongs to the owner of an overlay's source belongs to programs.
    pub map_owner: bool,
}

/// One symbolic link.
#[napi(object, object_to_js = false)]
pub struct SymlinkInput {
    /// What it says.
    pub target: String,
    /// Where it stands.
    pub path: String,
}

/// A `Bytes` that outlives its call.
pub struct Text(Vec<u8>);

impl FromNapiValue for Text {
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> Result<Self> {
        // SAFETY: the caller's.
        let bytes = unsafe { ByteArg::from_napi_value(env, value) }?;
        Ok(Self(bytes.as_bytes().to_vec()))
    }
}

impl TypeName for Text {
    fn type_name() -> &'static str {
        "Bytes"
    }

    fn value_type() -> ValueType {
        ValueType::Unknown
    }
}

impl ValidateNapiValue for Text {}

impl SetupInput {
    /// Where runs with limits are to be born, and the limits that they have if they ask for no others.
    pub(crate) fn take_limits(&mut self) -> Result<(CgroupChoice, Limits)> {
        let options = Options::default();
        let choice = match self.cgroup.as_str() {
            "preferred" => CgroupChoice::Preferred,
            "off" => CgroupChoice::Off,
            "required" => CgroupChoice::Required(Options {
                name: self.cgroup_name.take().unwrap_or(options.name),
                base: self.cgroup_base.take().map(Into::into),
                version: match self.cgroup_version {
                    None => None,
                    Some(1) => Some(Version::V1),
                    Some(2) => Some(Version::V2),
                    Some(other) => return Err(unknown("cgroupVersion", &other.to_string())),
                },
                ..options
            }),
            other => return Err(unknown("cgroup", other)),
        };
        let limits = limits(self.limits.as_deref(), self.cpu_set.as_deref());
        Ok((choice, limits.map_err(|_| unknown("cpuSet", self.cpu_set.as_deref().unwrap_or_default()))?))
    }

    /// The host library's own form.
    pub(crate) fn into_setup(self) -> Result<Setup> {
        let limits = TmpfsLimits { size_bytes: self.tmpfs_size_bytes as u64, inodes: self.tmpfs_inodes as u64 };
        let mounts = self.mounts.into_iter().map(|mount| mount.into_mount(limits)).collect::<Result<_>>()?;
        let bytes = |text: String| text.into_bytes().into();
        Ok(Setup {
            root: self.root.map(bytes),
            mounts,
            symlinks: self.symlinks.into_iter().map(|link| (bytes(link.target), bytes(link.path))).collect(),
            masked_paths: self.masked_paths.into_iter().map(bytes).collect(),
            work_dir: bytes(self.work_dir),
            hostname: bytes(self.hostname),
            domainname: bytes(self.domain_name),
            env: self.env.0.into(),
            program: Identity { uid: self.uid, gid: self.gid },
            user_namespace: match self.user_namespace.as_str() {
                "preferred" => UserNamespace::Preferred,
                "required" => UserNamespace::Required,
                "off" => UserNamespace::Off,
                other => return Err(unknown("userNamespace", other)),
            },
            network: match self.network.as_str() {
                "none" => Network::None,
                "host" => Network::Host,
                other => return Err(unknown("network", other)),
            },
            tmpfs: limits,
            proc: match self.proc.as_str() {
                "masked" => ProcMode::Masked,
                "pid" => ProcMode::Pid,
                "none" => ProcMode::None,
                other => return Err(unknown("proc", other)),
            },
        })
    }
}

impl MountInput {
    fn into_mount(self, defaults: TmpfsLimits) -> Result<Mount> {
        let limits = (self.size_bytes.is_some() || self.inodes.is_some()).then(|| TmpfsLimits {
            size_bytes: self.size_bytes.map_or(defaults.size_bytes, |size| size as u64),
            inodes: self.inodes.map_or(defaults.inodes, |inodes| inodes as u64),
        });
        let kind = match (self.kind.as_str(), self.source) {
            ("bind", Some(source)) => MountKind::Bind { source: source.into_bytes().into() },
            ("bind", None) => return Err(unknown("source", "null")),
            ("overlay", Some(source)) => {
                MountKind::Overlay { source: source.into_bytes().into(), limits, map_owner: self.map_owner }
            }
            ("overlay", None) => return Err(unknown("source", "null")),
            ("tmpfs", _) => MountKind::Tmpfs { limits },
            (other, _) => return Err(unknown("kind", other)),
        };
        Ok(Mount {
            kind,
            target: self.target.into_bytes().into(),
            read_only: self.read_only,
            no_exec: self.no_exec,
            optional: self.optional,
        })
    }
}

/// TypeScript lets none of these through.
fn unknown(name: &str, value: &str) -> Error {
    Error::new(Status::InvalidArg, format!("{name} cannot be {value}"))
}
