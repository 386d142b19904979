//! What a Node-API addon has to tell the linker.

fn main() {
    napi_build::setup();
    // The reactor thread outlives a worker that loaded the addon alone, so its code must stay mapped. napi-build says so for glibc.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
