use super::super::record::tests::process;
use super::super::record::tests::span;
use super::*;

const KERNEL: Part = Part::Kernel;

/// The pieces of one thread, as names with microseconds.
fn pieces(spans: Vec<Span>) -> Vec<String> {
    let shown = |piece: &Piece| format!("{} {}-{}", piece.name, piece.start / 1000, piece.end / 1000);
    flatten(spans, 0).iter().map(shown).collect()
}

#[test]
fn of_nested_spans_the_innermost_counts() {
    let nested = vec![
        span(0, "read", KERNEL, 12, 15),
        span(0, "sort", KERNEL, 15, 18),
        span(0, "run", KERNEL, 10, 20),
        span(0, "merge", KERNEL, 30, 31),
    ];
    assert_eq!(pieces(nested), ["run 10-12", "read 12-15", "sort 15-18", "run 18-20", "merge 30-31"]);
}

#[test]
fn spans_that_overlap_are_counted_once() {
    let spans = vec![
        span(0, "a", KERNEL, 0, 10),
        span(0, "b", KERNEL, 5, 15),
        span(0, "c", KERNEL, 12, 13),
        span(0, "d", KERNEL, 13, 13),
    ];
    assert_eq!(pieces(spans), ["a 0-5", "b 5-12", "c 12-13", "b 13-15"]);
}

/// Two workers, of which the second is mostly idle, and a thread that works for both.
fn two() -> Vec<Process> {
    let spans = vec![
        span(1, "count", KERNEL, 100, 300),
        span(2, "count", KERNEL, 120, 200),
        span(1, "rank", KERNEL, 300, 900),
        span(0, "print", Part::Serial, 900, 950),
    ];
    vec![process(7, 0, &["main", "worker-0", "worker-1"], spans)]
}

#[test]
fn the_tail_begins_after_two_workers_were_busy_for_the_last_time() {
    let lanes = of(&two(), 0);
    assert_eq!(tail(&lanes, 1_000_000), 800_000);
    assert_eq!(tail(&lanes[..1], 1_000_000), 1_000_000, "there is only one worker");
    let one_after_the_other = vec![span(1, "a", KERNEL, 0, 10), span(2, "a", KERNEL, 10, 20)];
    let lanes = of(&[process(7, 0, &["", "a", "b"], one_after_the_other)], 0);
    assert_eq!(tail(&lanes, 30_000), 30_000);
}

#[test]
fn an_idle_worker_lowers_the_busy_share() {
    let lanes = of(&two(), 0);
    assert_eq!(busy(&lanes, NonZeroUsize::new(2).unwrap(), 1_000_000), 0.44);
    assert_eq!(busy(&[], NonZeroUsize::MIN, 0), 0.0);
}

#[test]
fn threads_of_one_name_that_follow_each_other_share_a_lane() {
    let spans = vec![
        span(0, "print", Part::Serial, 0, 1),
        span(2, "count", KERNEL, 10, 20),
        span(1, "count", KERNEL, 10, 30),
        span(3, "rank", KERNEL, 30, 40),
        span(4, "rank", KERNEL, 35, 40),
    ];
    let names = ["main", "worker-0", "worker-1", "worker-0", "worker-0"];
    let worker = vec![span(0, "count", KERNEL, 5, 6)];
    let processes = [process(7, 0, &names, spans), process(8, 1, &["main"], worker)];
    let lanes = of(&processes, 0);
    let found: Vec<_> = lanes
        .iter()
        .map(|lane| (lane.process, lane.thread.as_str(), lane.pieces.len(), lane.works()))
        .collect();
    let expected = [
        (0, "worker-0", 2, true),
        (0, "worker-0", 1, true),
        (0, "worker-1", 1, true),
        (0, "main", 1, false),
        (1, "main", 1, true),
    ];
    assert_eq!(found, expected);
}

#[test]
fn times_count_from_the_start_of_the_program() {
    let lanes = of(&two(), 50_000);
    let lane = lanes[0].shown(0);
    assert_eq!(lane.intervals[0].start_s, 0.000_05);
    assert_eq!(lane.busy_s, 0.000_8);
}

#[test]
fn pieces_within_a_step_are_merged_and_no_time_is_lost() {
    let alternating = (0..10_000).flat_map(|n| {
        let at = n * 10;
        [span(0, "read", KERNEL, at, at + 3), span(0, "sort", KERNEL, at + 3, at + 9)]
    });
    let lanes = of(&[process(7, 0, &["main"], alternating.collect())], 0);
    let lane = lanes[0].shown(1_000_000);
    assert!(lane.intervals.len() <= 2 * 100, "{}", lane.intervals.len());
    let sum = |name: &str| {
        let parts = lane.intervals.iter().flat_map(|interval| &interval.parts);
        parts.filter(|part| part.name == name).map(|part| part.busy_s).sum::<f64>()
    };
    assert!((sum("read") - 0.03).abs() < 1e-9 && (sum("sort") - 0.06).abs() < 1e-9);
    assert!(lane.intervals.iter().all(|interval| interval.start_s < interval.end_s));
}

#[test]
fn a_visible_gap_stays() {
    let spans = vec![
        span(0, "iterate", KERNEL, 0, 500),
        span(0, "iterate", KERNEL, 501, 1000),
        span(0, "iterate", KERNEL, 1400, 2000),
    ];
    let lanes = of(&[process(7, 0, &["main"], spans)], 0);
    let intervals = lanes[0].shown(100_000).intervals;
    let found: Vec<_> = intervals.iter().map(|interval| (interval.start_s, interval.end_s)).collect();
    assert_eq!(found, [(0.0, 0.001), (0.0014, 0.002)]);
    assert_eq!(intervals[0].parts[0].busy_s, 0.000_999);
}
