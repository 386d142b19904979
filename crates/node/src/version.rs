//! Which hotcell this addon belongs to: a package manager may have put the one of another version beside the JavaScript.

use napi_derive::napi;

/// The version that this was built as, which is the one in package.json.
#[napi(catch_unwind)]
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
