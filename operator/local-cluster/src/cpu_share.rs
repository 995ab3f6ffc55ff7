//! A limit of CPU for processes, as a container's.

use std::io;

use crate::node::ControlGroup;

/// So much of a processor, for all processes in it together. Dropping it removes it; they have to have ended.
#[derive(Debug)]
pub struct CpuShare {
    group: ControlGroup,
}

impl CpuShare {
    /// One of `cores` processors, such as 0.08; no two of this process may have the same name.
    ///
    /// # Errors
    /// When there are no control groups, or none may be made, which only root may.
    pub fn new(name: &str, cores: f64) -> io::Result<Self> {
        let group = ControlGroup::create(format!("local-cluster-{}-{name}", std::process::id()))?;
        group.limit_cpu(cores)?;
        Ok(Self { group })
    }

    /// Holds a process to it from now on.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn hold(&self, pid: u32) -> io::Result<()> {
        self.group.add(pid)
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    /// Ticks of CPU that a process has had, user and system.
    fn ticks(pid: u32) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    #[test]
    fn a_process_that_never_rests_gets_its_share_and_no_more() {
        let share = match CpuShare::new("test", 0.1) {
            Ok(share) => share,
            Err(error) => return eprintln!("skipped: {error}"),
        };
        let mut busy =
            Command::new("sh").args(["-c", "while :; do :; done"]).stdin(Stdio::null()).spawn().unwrap();
        share.hold(busy.id()).unwrap();
        let (before, begun) = (ticks(busy.id()), Instant::now());
        std::thread::sleep(Duration::from_secs(2));
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
        let used = (ticks(busy.id()) - before) as f64 / 100.0 / begun.elapsed().as_secs_f64();
        busy.kill().unwrap();
        busy.wait().unwrap();
        assert!(used < 0.2, "{used} of a core");
    }
}
