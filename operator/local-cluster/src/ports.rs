//! Picks TCP ports of this machine that are free at the moment; whoever uses one must still be ready
//! to find it taken.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::sync::{LazyLock, Mutex, PoisonError};

use tokio::net::TcpSocket;

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
        match try_port(address, port) {
            Ok(()) => return Ok(port),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Whether a server could listen on this port of this address now.
///
/// It is bound as a server binds it, and let go without having listened: a child that another thread starts meanwhile holds a
/// copy of the socket until it runs its program, and where that listened the port would be taken for as long.
///
/// # Errors
/// What the system says: in use, or not for this user.
pub fn try_port(address: Ipv4Addr, port: u16) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((address, port).into())
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
    use std::net::TcpListener;
    use std::process::Command;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn free_ports_can_be_bound_and_lie_below_the_outgoing_range() {
        for _ in 0..20 {
            let port = free_port(Ipv4Addr::LOCALHOST).unwrap();
            assert!(PORTS.contains(&port));
            listen_on(port).unwrap();
        }
    }

    #[test]
    fn a_port_in_use_is_not_free() {
        let port = free_port(Ipv4Addr::LOCALHOST).unwrap();
        let _listener = listen_on(port).unwrap();
        let error = try_port(Ipv4Addr::LOCALHOST, port).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn children_that_are_started_meanwhile_take_no_port() {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        Command::new("true").status().unwrap();
                    }
                });
            }
            let refused: Vec<_> =
                (0..500).filter_map(|_| listen_on(free_port(Ipv4Addr::LOCALHOST).unwrap()).err()).collect();
            done.store(true, Ordering::Relaxed);
            assert!(refused.is_empty(), "{refused:?}");
        });
    }

    /// Once: the listener's own copies are in nobody's way.
    fn listen_on(port: u16) -> io::Result<TcpListener> {
        TcpListener::bind((Ipv4Addr::LOCALHOST, port))
    }

    #[test]
    fn ports_differ_from_pick_to_pick() {
        let picked: std::collections::BTreeSet<u16> = (0..50).map(|_| random_port()).collect();
        assert!(picked.len() > 40, "{picked:?}");
    }
}
