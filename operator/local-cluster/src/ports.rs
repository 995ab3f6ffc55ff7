//! Picks TCP ports of this machine that are free at the moment; whoever uses one must still be ready
//! to find it taken.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::{LazyLock, Mutex, PoisonError};

/// Below the range from which Linux takes the ports of outgoing connections (32768–60999): a port
/// from there could be taken by any connection while the server on it restarts.
const PORTS: Range<u16> = 20_000..32_000;
/// How many ports are tried before giving up.
const ATTEMPTS: usize = 500;

/// Ports that this process has picked. A server takes a moment to listen, and some go away and come back.
static PICKED: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);

/// A port of this address on which nothing listens, and that this process never picked before.
///
/// # Errors
/// When none of many that were tried can be bound, with what the system said of the last.
pub fn free_port(address: Ipv4Addr) -> io::Result<u16> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..ATTEMPTS {
        let port = random_port();
        if !PICKED.lock().unwrap_or_else(PoisonError::into_inner).insert(port) {
            continue;
        }
        match TcpListener::bind((address, port)) {
            Ok(_) => return Ok(port),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Random, so that processes that start clusters at the same time rarely pick the same port.
fn random_port() -> u16 {
    random_in(PORTS)
}

/// A number from the range, another one every time.
pub(crate) fn random_in(range: Range<u16>) -> u16 {
    let width = u64::from(range.end - range.start);
    // Every RandomState has its own keys, so hashing anything gives a fresh random number.
    let offset = RandomState::new().hash_one(0_u8) % width;
    range.start + u16::try_from(offset).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ports_can_be_bound_and_lie_below_the_outgoing_range() {
        for _ in 0..20 {
            let port = free_port(Ipv4Addr::LOCALHOST).unwrap();
            assert!(PORTS.contains(&port));
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        }
    }

    #[test]
    fn ports_differ_from_pick_to_pick() {
        let picked: std::collections::BTreeSet<u16> = (0..50).map(|_| random_port()).collect();
        assert!(picked.len() > 40, "{picked:?}");
    }
}
