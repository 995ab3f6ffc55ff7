//! What the tests of clusters share.

use std::thread;
use std::time::{Duration, Instant};

use local_cluster::LocalCluster;

pub(crate) fn wait_until(what: &str, deadline: Duration, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < deadline, "not within {deadline:?}: {what}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// What kubectl printed, or what it said went wrong.
pub(crate) fn kubectl(cluster: &LocalCluster, arguments: &[&str]) -> Result<String, String> {
    let output = cluster.kubectl().args(arguments).output().unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(String::from_utf8(output.stderr).unwrap())
    }
}
