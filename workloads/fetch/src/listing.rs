//! The sink: prints a line for each resource as it is complete, and finally the failures.
//!
//! A line on standard output is a result. Its URL has been parsed, so it is ASCII without control
//! characters, and it has no credentials. The reason of a failure may contain text from a list, a
//! server or a worker, so it is made [`printable`].

use std::ops::ControlFlow;

use super::{Fetched, Output, Totals};
use cc_core::{
    contract::{Block, Sink},
    printable::printable,
};

/// Prints each fetched resource; [`Listing::finish`] prints the failures.
pub struct Listing<'a> {
    times: bool,
    out: &'a mut dyn Sink<Block>,
    totals: Totals,
    failed: Vec<Output>,
}

impl<'a> Listing<'a> {
    pub(super) fn new(times: bool, out: &'a mut dyn Sink<Block>) -> Self {
        Self { times, out, totals: Totals::default(), failed: Vec::new() }
    }

    /// The totals so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// 0 if everything was fetched, otherwise 1.
    #[must_use]
    pub fn status(&self) -> u8 {
        u8::from(!self.failed.is_empty())
    }

    /// Prints the failures, in the order of the job.
    pub fn finish(mut self) -> ControlFlow<()> {
        self.failed.sort_by_key(|output| output.index);
        self.failed.iter().try_for_each(|Output { url, outcome, .. }| {
            let why = outcome.as_ref().err().map(ToString::to_string).unwrap_or_default();
            self.out
                .push(Block::Err(format!("fetch: {}: {}\n", printable(url), printable(&why)).into_bytes()))
        })
    }

    /// A line: status, bytes, seconds, digest and URL, separated by tabs.
    fn line(&self, output: &Output, fetched: &Fetched) -> String {
        let Fetched { status, bytes, digest } = fetched;
        let time = if self.times { format!("{:.3}\t", output.elapsed.as_secs_f64()) } else { String::new() };
        format!("{status}\t{bytes}\t{time}{digest:016x}\t{}\n", output.url)
    }
}

impl Sink<Output> for Listing<'_> {
    fn push(&mut self, output: Output) -> ControlFlow<()> {
        self.totals += &output;
        match &output.outcome {
            Ok(fetched) => {
                let line = self.line(&output, fetched);
                self.out.push(Block::Out(line.into_bytes()))
            }
            Err(_) => {
                self.failed.push(output);
                ControlFlow::Continue(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Failure, Job};

    #[derive(Default)]
    struct Printed(Vec<Block>);

    impl Sink<Block> for Printed {
        fn push(&mut self, block: Block) -> ControlFlow<()> {
            self.0.push(block);
            ControlFlow::Continue(())
        }
    }

    fn output(index: usize, outcome: Result<Fetched, Failure>) -> Output {
        Output { index, url: format!("http://h/{index}"), elapsed: Duration::from_millis(1500), outcome }
    }

    fn printed(times: bool) -> (Vec<Block>, Totals, u8) {
        let mut printed = Printed::default();
        let mut listing = Job::default().listing(times, &mut printed);
        for index in [2, 1] {
            let _ = listing.push(output(index, Err(Failure::Status(404))));
        }
        let _ = listing.push(output(0, Ok(Fetched { status: 200, bytes: 7, digest: 0xab })));
        let (totals, status) = (listing.totals(), listing.status());
        let _ = listing.finish();
        (printed.0, totals, status)
    }

    #[test]
    fn failures_come_last_and_in_order() {
        let (blocks, totals, status) = printed(true);
        let out = |text: &str| Block::Out(text.as_bytes().to_vec());
        let err = |text: &str| Block::Err(text.as_bytes().to_vec());
        assert_eq!(
            blocks,
            [
                out("200\t7\t1.500\t00000000000000ab\thttp://h/0\n"),
                err("fetch: http://h/1: 404 Not Found\n"),
                err("fetch: http://h/2: 404 Not Found\n")
            ]
        );
        assert_eq!((totals, status), (Totals { fetched: 1, failed: 2, bytes: 7 }, 1));
    }

    #[test]
    fn no_failure_commands_the_terminal() {
        let mut printed = Printed::default();
        let mut listing = Job::default().listing(false, &mut printed);
        let why = Failure::Tls("not valid for \u{1b}[31m".to_owned());
        let _ = listing.push(Output { url: "list\u{1b}[2J:7: x\r".to_owned(), ..output(0, Err(why)) });
        let _ = listing.finish();
        let expected = "fetch: list\\u{1b}[2J:7: x\\r: TLS: not valid for \\u{1b}[31m\n";
        assert_eq!(printed.0, [Block::Err(expected.as_bytes().to_vec())]);
    }

    #[test]
    fn times_can_be_left_out() {
        assert_eq!(printed(false).0[0], Block::Out(b"200\t7\t00000000000000ab\thttp://h/0\n".to_vec()));
    }
}
