//! What a Node-API addon has to tell the linker: above all never to unload it, because the reactor thread outlives workers.

fn main() {
    napi_build::setup();
}
