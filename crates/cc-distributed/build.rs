//! Compiles the protocol. `protox` is a compiler in pure Rust, so no `protoc` has to be installed.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto/cluster.proto");
    let files = protox::compile(["proto/cluster.proto"], ["proto"])?;
    // Payloads are slices of what was received or is to be sent: splitting one into frames copies nothing.
    tonic_prost_build::configure().bytes(".").compile_fds(files)?;
    Ok(())
}
