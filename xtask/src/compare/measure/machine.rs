//! The machine: its description, and its load from other programs during a measurement.

use std::{fs, path::Path, sync::OnceLock};

use crate::compare::{
    result::{Load, Machine},
    words::{percent, plural},
};

/// Minimum share of the cores' time for a warning; less could be a rounding error of clock ticks.
const MIN_SHARE: f64 = 0.02;
/// Minimum load average for a warning: half a core is busy with other work.
const MIN_LOAD: f64 = 0.5;

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

    /// A description in one line.
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

/// Whether turbo is on. Intel's driver has a file that is `1` if turbo is off, other drivers one
/// that is `1` if it is on.
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

/// Measures the load of other programs, from [`Watch::begin`] to [`Watch::end`].
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

/// The load average of the last minute, as it was at the first call. Later values would include the
/// load of this program's own builds and measurements.
pub(crate) fn load_average() -> f64 {
    static FIRST: OnceLock<f64> = OnceLock::new();
    let now = || read("/proc/loadavg").split(' ').next().and_then(|first| first.parse().ok());
    *FIRST.get_or_init(|| now().unwrap_or(0.0))
}

/// How the cores have spent their time since boot, in clock ticks.
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

    /// Reads `cpu  USER NICE SYSTEM IDLE IOWAIT IRQ SOFTIRQ STEAL GUEST GUEST_NICE`. `USER` and
    /// `NICE` already include the guests' ticks.
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

/// The processor time of this process and of the children that it has waited for, in clock ticks.
fn own() -> u64 {
    let stat = read("/proc/self/stat");
    let after = stat.rsplit_once(") ").map_or("", |(_, after)| after);
    // User and system time: first the process's own, then its children's.
    after.split(' ').skip(11).take(4).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

/// Warnings about what may have disturbed the figures.
pub(crate) fn warnings(machine: &Machine, load: &Load) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(governor) = machine.governor.as_ref().filter(|governor| *governor != "performance") {
        all.push(format!("the CPU governor is {governor}: the clock rate depends on the load"));
    }
    if machine.turbo == Some(true) {
        all.push("turbo is on: one busy core may run faster than several".to_owned());
    }
    if load.average > MIN_LOAD {
        all.push(format!("the load average was {:.2} before the start", load.average));
    }
    if load.stolen > MIN_SHARE {
        all.push(format!("other virtual machines took {} of the cores' time (steal)", percent(load.stolen)));
    }
    if load.elsewhere > MIN_SHARE {
        all.push(format!("other processes took {} of the cores' time", percent(load.elsewhere)));
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
    fn a_quiet_machine_gives_no_warning() {
        let mut machine = Machine { governor: None, turbo: None, ..Machine::this() };
        let quiet = Load { average: 0.1, stolen: 0.001, elsewhere: 0.01 };
        assert!(warnings(&machine, &quiet).is_empty());
        machine.governor = Some("powersave".to_owned());
        machine.turbo = Some(true);
        let busy = Load { average: 1.5, stolen: 0.05, elsewhere: 0.30 };
        let text = warnings(&machine, &busy).join("; ");
        for word in ["powersave", "turbo", "1.50", "5.0 %", "30.0 %"] {
            assert!(text.contains(word), "{text}");
        }
    }

    #[test]
    fn shares_of_time_are_between_0_and_1() {
        let load = Watch::begin().end();
        assert!((0.0..=1.0).contains(&load.stolen) && (0.0..=1.0).contains(&load.elsewhere), "{load:?}");
    }
}
