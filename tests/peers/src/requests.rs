//! Requests, encoded in advance. To send some, a batch is drawn and its keys are overwritten.

use anyhow::{Result, ensure};
use fastrand::Rng;

/// The mix of requests.
#[derive(clap::Args, Debug)]
pub(crate) struct Mix {
    /// Number of keys
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    keys: u64,
    /// Size of a value in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 64)]
    value: usize,
    /// Share of requests that read, from 0 to 1
    #[arg(long, value_name = "PART", default_value_t = 0.5)]
    reads: f64,
}

/// Number of digits of a key, so that all keys have one length.
const DIGITS: usize = 12;
const PREFIX: &str = "key:";
/// Approximate total size of all batches, which stay in a core's cache.
const CACHED: usize = 256 * 1024;
/// Minimum and maximum number of batches.
const BATCHES: (usize, usize) = (16, 4096);

/// Requests that are sent together.
struct Batch {
    bytes: Vec<u8>,
    requests: Vec<Request>,
}

struct Request {
    /// The position of the key's digits.
    digits: usize,
    /// The end of the request.
    end: usize,
    reads: bool,
}

/// The batches, and the random numbers with which they are drawn.
pub(crate) struct Requests {
    batches: Vec<Batch>,
    keys: u64,
    rng: Rng,
}

/// The bytes to send, and the number of reads among the requests.
pub(crate) struct Drawn<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) reads: u64,
}

impl Requests {
    /// Makes batches of `pipeline` requests.
    pub(crate) fn new(mix: &Mix, pipeline: usize, seed: u64) -> Result<Self> {
        let Mix { keys, value, reads } = *mix;
        ensure!(
            (1..=10_u64.pow(DIGITS as u32)).contains(&keys),
            "--keys {keys}: from 1 to a million million"
        );
        ensure!((0.0..=1.0).contains(&reads), "--reads {reads}: from 0 to 1");
        ensure!(value <= 1 << 20, "--value {value}: a mebibyte at most");
        let mut rng = Rng::with_seed(seed);
        let count = (CACHED / (pipeline * (value + 80))).clamp(BATCHES.0, BATCHES.1);
        let batches = (0..count).map(|_| Batch::new(pipeline, value, reads, &mut rng)).collect();
        Ok(Self { batches, keys, rng })
    }

    /// The first `count` requests of a random batch, with random keys.
    pub(crate) fn draw(&mut self, count: usize) -> Drawn<'_> {
        let nth = self.rng.usize(..self.batches.len());
        let Batch { bytes, requests } = &mut self.batches[nth];
        let requests = &requests[..count];
        for request in requests {
            write(self.rng.u64(..self.keys), &mut bytes[request.digits..][..DIGITS]);
        }
        let end = requests.last().map_or(0, |last| last.end);
        let reads = requests.iter().filter(|request| request.reads).count() as u64;
        Drawn { bytes: &bytes[..end], reads }
    }
}

impl Batch {
    fn new(pipeline: usize, value: usize, reads: f64, rng: &mut Rng) -> Self {
        let (mut bytes, mut requests) = (Vec::new(), Vec::new());
        for _ in 0..pipeline {
            let is_read = rng.f64() < reads;
            let verb = if is_read { "*2\r\n$3\r\nGET" } else { "*3\r\n$3\r\nSET" };
            bytes.extend(format!("{verb}\r\n${}\r\n{PREFIX}", PREFIX.len() + DIGITS).bytes());
            let digits = bytes.len();
            bytes.extend([b'0'; DIGITS]);
            bytes.extend(b"\r\n");
            if !is_read {
                bytes.extend(format!("${value}\r\n").bytes());
                bytes.extend((0..value).map(|_| rng.alphanumeric() as u8));
                bytes.extend(b"\r\n");
            }
            requests.push(Request { digits, end: bytes.len(), reads: is_read });
        }
        Self { bytes, requests }
    }
}

/// Writes a number in decimal, with leading zeros.
fn write(mut number: u64, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(reads: f64, keys: u64) -> Requests {
        Requests::new(&Mix { keys, value: 3, reads }, 16, 7).unwrap()
    }

    #[test]
    fn a_request_is_whole_and_its_key_is_one_of_those_that_there_are() {
        for (reads, length) in [(1.0, 36), (0.0, 45)] {
            let mut requests = requests(reads, 10);
            for count in 0..=16 {
                let drawn = requests.draw(count);
                assert_eq!(
                    (drawn.bytes.len(), drawn.reads),
                    (count * length, count as u64 * u64::from(reads > 0.0))
                );
                for request in drawn.bytes.chunks(length) {
                    let text = std::str::from_utf8(request).unwrap();
                    let key = text.split("key:").nth(1).unwrap().split("\r\n").next().unwrap();
                    assert!(key.len() == DIGITS && key.parse::<u64>().unwrap() < 10, "{text}");
                }
            }
        }
    }

    #[test]
    fn the_same_seed_asks_the_same_of_all_keys() {
        let all = |seed| {
            let mut requests = Requests::new(&Mix { keys: 1000, value: 3, reads: 1.0 }, 16, seed).unwrap();
            (0..2000).flat_map(|_| requests.draw(16).bytes.to_vec()).collect::<Vec<u8>>()
        };
        assert!(all(1) == all(1) && all(1) != all(2));
        let sent = all(1);
        let keys: std::collections::BTreeSet<_> = sent.chunks(36).map(|request| &request[22..34]).collect();
        assert_eq!(keys.len(), 1000);
    }

    #[test]
    fn a_mix_that_there_is_not_is_refused() {
        let new = |keys, value, reads| Requests::new(&Mix { keys, value, reads }, 1, 0).is_err();
        assert!(new(0, 1, 0.5) && new(1, 2 << 20, 0.5) && new(1, 1, 1.1) && new(1, 1, f64::NAN));
    }
}
