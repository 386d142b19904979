//! Landlock rules, as TypeScript says them.

use hotcell_host::protocol::{Landlock, LandlockPath};
use napi_derive::napi;

/// Rules of one run.
#[napi(object, object_to_js = false, use_nullable = true)]
pub struct LandlockInput {
    /// Container paths.
    pub paths: Vec<String>,
    /// For each of them: 1 to read, 2 to write, 4 to execute.
    pub access: Vec<u32>,
    /// Ports; null for all.
    pub connect: Option<Vec<u32>>,
    /// Ports; null for all.
    pub bind: Option<Vec<u32>>,
    /// Whether to make do with what there is.
    pub degrade: bool,
}

impl LandlockInput {
    /// The host library's own form. TypeScript has checked that ports are ports.
    pub(crate) fn rules(&self) -> Landlock<'_> {
        let ports = |ports: &Option<Vec<u32>>| {
            ports.as_ref().map(|ports| ports.iter().filter_map(|port| u16::try_from(*port).ok()).collect())
        };
        fn path<'a>((path, access): (&'a String, &u32)) -> LandlockPath<'a> {
            LandlockPath {
                path: path.as_bytes(),
                read: access & 1 != 0,
                write: access & 2 != 0,
                execute: access & 4 != 0,
            }
        }
        let paths = self.paths.iter().zip(&self.access).map(path).collect();
        Landlock { paths, connect: ports(&self.connect), bind: ports(&self.bind), degrade: self.degrade }
    }
}
