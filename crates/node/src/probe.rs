//! The probe, on libuv's pool: it creates containers and waits for them.

use hotcell_host::probe::{HostSupport, probe as host_probe};
use napi::bindgen_prelude::{AsyncTask, Buffer};
use napi::{Env, Error, Result, Task};
use napi_derive::napi;
use std::panic::catch_unwind;

/// What this host allows.
#[napi(object, object_from_js = false)]
pub struct ProbeResult {
    /// Its release, as uname(2) gives it.
    pub kernel: String,
    /// As uname(2) gives it.
    pub architecture: String,
    /// Each feature that matters, available or not.
    pub features: Vec<ProbeFeature>,
}

/// Something that a kernel may have, and a host may allow.
#[napi(object, object_from_js = false)]
pub struct ProbeFeature {
    /// In lower case, with hyphens.
    pub name: String,
    /// Whether it can be used.
    pub available: bool,
    /// What the kernel said; 0 if nothing.
    pub errno: i32,
    /// Whether there is no container without it.
    pub required: bool,
    /// What it is for, and how to get it.
    pub detail: String,
}

/// See [`probe`].
pub struct Probe;

impl Task for Probe {
    type Output = HostSupport;
    type JsValue = ProbeResult;

    fn compute(&mut self) -> Result<HostSupport> {
        catch_unwind(host_probe).map_err(|_| Error::from_reason("the probe panicked"))
    }

    fn resolve(&mut self, _: Env, support: HostSupport) -> Result<ProbeResult> {
        let features = support.features.into_iter().map(|feature| ProbeFeature {
            name: feature.name.to_owned(),
            available: feature.available,
            errno: feature.errno,
            required: feature.required,
            detail: feature.detail,
        });
        Ok(ProbeResult { kernel: support.kernel, architecture: support.architecture, features: features.collect() })
    }
}

/// Finds out what this host allows, by trying.
#[napi(catch_unwind, ts_return_type = "Promise<ProbeResult>")]
pub fn probe() -> AsyncTask<Probe> {
    AsyncTask::new(Probe)
}

/// The init image, for a file that `HOTCELL_INIT` names.
#[napi(catch_unwind)]
pub fn init_image() -> Buffer {
    Buffer::from(hotcell_host::image::bytes())
}
