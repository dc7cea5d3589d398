//! What every run begins with: a runtime of its own, and a token for its stop.

use std::num::NonZeroUsize;

use cc_workloads::{Error, Result, Stop, stop::OnRequest};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

/// A runtime with so many threads for what blocks or computes.
pub fn runtime(workers: NonZeroUsize) -> Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(1) // it only passes things on
        .max_blocking_threads(workers.get())
        .build()
        .map_err(Error::io("runtime"))
}

/// A token that is cancelled when a stop is requested, for as long as the other half is there.
pub fn token(stop: &Stop) -> (CancellationToken, OnRequest) {
    let token = CancellationToken::new();
    let doomed = token.clone();
    (token, stop.on_request(move || doomed.cancel()))
}
