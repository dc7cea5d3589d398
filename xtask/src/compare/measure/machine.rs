//! What the figures were measured on, and what else it was doing meanwhile.

use std::{fs, path::Path, sync::OnceLock};

use crate::compare::{
    result::{Load, Machine},
    words::{percent, plural},
};

/// More than this is said. A clock tick of rounding is less.
const WORTH: f64 = 0.02;
/// A part of a core that is busy with other work is said from here on.
const BUSY: f64 = 0.5;

impl Machine {
    pub(crate) fn this() -> Self {
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let kib = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
        let kib: u64 = kib.trim_end_matches(" kB").parse().unwrap_or(0);
        Self {
            cores: cc_core::Ctx::available_workers(),
            cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown CPU".to_owned()),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            memory_bytes: kib * 1024,
            governor: setting("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            turbo: turbo(),
        }
    }

    /// In a line.
    pub fn shown(&self) -> String {
        let Self { cores, cpu, kernel, memory_bytes, .. } = self;
        let cores = plural(cores.get(), "core");
        let clock = self.governor.as_ref().map(|governor| format!(", governor {governor}"));
        let turbo = self.turbo.map(|on| if on { ", turbo on" } else { ", turbo off" });
        format!(
            "{cores} × {cpu}, {} GB, Linux {kernel}{}{}",
            memory_bytes.div_ceil(1_000_000_000),
            clock.unwrap_or_default(),
            turbo.unwrap_or_default()
        )
    }
}

/// Intel's own driver says that it is off, the others that it is on.
fn turbo() -> Option<bool> {
    let off = setting("/sys/devices/system/cpu/intel_pstate/no_turbo").map(|off| off == "0");
    off.or_else(|| setting("/sys/devices/system/cpu/cpufreq/boost").map(|on| on == "1"))
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn setting(path: &str) -> Option<String> {
    let text = read(path);
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Watches what else the machine does, from its making to [`Watch::end`].
pub(crate) struct Watch {
    average: f64,
    all: Ticks,
    own: u64,
}

impl Watch {
    pub(crate) fn begin() -> Self {
        Self { average: load_average(), all: Ticks::now(), own: own() }
    }

    pub(crate) fn end(&self) -> Load {
        let now = Ticks::now();
        let total = now.total.saturating_sub(self.all.total).max(1) as f64;
        let stolen = now.stolen.saturating_sub(self.all.stolen) as f64;
        let busy = now.busy.saturating_sub(self.all.busy);
        let other = busy.saturating_sub(own().saturating_sub(self.own)) as f64;
        Load { average: self.average, stolen: stolen / total, elsewhere: other / total }
    }
}

/// The load average of the last minute when this was called first: later, it is what this program
/// itself makes of it, by building and by measuring.
pub(crate) fn load_average() -> f64 {
    static FIRST: OnceLock<f64> = OnceLock::new();
    let now = || read("/proc/loadavg").split(' ').next().and_then(|first| first.parse().ok());
    *FIRST.get_or_init(|| now().unwrap_or(0.0))
}

/// What the cores did since the machine was started, in clock ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ticks {
    total: u64,
    busy: u64,
    stolen: u64,
}

impl Ticks {
    fn now() -> Self {
        Self::parse(&read("/proc/stat"))
    }

    /// Reads `cpu  USER NICE SYSTEM IDLE IOWAIT IRQ SOFTIRQ STEAL GUEST GUEST_NICE`, of which the
    /// guests' are in the user's already.
    fn parse(stat: &str) -> Self {
        let line = stat.lines().next().unwrap_or_default();
        let ticks: Vec<u64> = line.split_whitespace().skip(1).filter_map(|tick| tick.parse().ok()).collect();
        let [user, nice, system, idle, wait, irq, soft, stolen, ..] = ticks[..] else {
            return Self::default();
        };
        let busy = user + nice + system + irq + soft;
        Self { total: busy + idle + wait + stolen, busy, stolen }
    }
}

/// What this process and those that it has waited for used, in clock ticks.
fn own() -> u64 {
    let stat = read("/proc/self/stat");
    let after = stat.rsplit_once(") ").map_or("", |(_, after)| after);
    // Of the user and of the system: its own, then its children's.
    after.split(' ').skip(11).take(4).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

/// What may have disturbed the figures.
pub(crate) fn warnings(machine: &Machine, load: &Load) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(governor) = machine.governor.as_ref().filter(|governor| *governor != "performance") {
        all.push(format!("the governor is {governor}: the clock follows the load"));
    }
    if machine.turbo == Some(true) {
        all.push("turbo is on: one busy core may run faster than many".to_owned());
    }
    if load.average > BUSY {
        all.push(format!("the load average was {:.2} before it began", load.average));
    }
    if load.stolen > WORTH {
        all.push(format!("{} of the cores' time went to other machines (steal)", percent(load.stolen)));
    }
    if load.elsewhere > WORTH {
        all.push(format!("{} of the cores' time went to other processes", percent(load.elsewhere)));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_counted_once() {
        let ticks = Ticks::parse("cpu  10 1 5 100 4 2 3 7 9 0\ncpu0 1 1 1\n");
        assert_eq!(ticks, Ticks { total: 132, busy: 21, stolen: 7 });
        assert_eq!(Ticks::parse(""), Ticks::default());
    }

    #[test]
    fn a_quiet_machine_is_no_news() {
        let mut machine = Machine { governor: None, turbo: None, ..Machine::this() };
        let quiet = Load { average: 0.1, stolen: 0.001, elsewhere: 0.01 };
        assert!(warnings(&machine, &quiet).is_empty());
        machine.governor = Some("powersave".to_owned());
        machine.turbo = Some(true);
        let loud = Load { average: 1.5, stolen: 0.05, elsewhere: 0.30 };
        let said = warnings(&machine, &loud).join("; ");
        for word in ["powersave", "turbo", "1.50", "5.0 %", "30.0 %"] {
            assert!(said.contains(word), "{said}");
        }
    }

    #[test]
    fn the_parts_of_a_watch_are_parts() {
        let load = Watch::begin().end();
        assert!((0.0..=1.0).contains(&load.stolen) && (0.0..=1.0).contains(&load.elsewhere), "{load:?}");
    }
}
