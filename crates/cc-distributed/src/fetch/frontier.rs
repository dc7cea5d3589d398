//! The frontier: which worker owns a host, and how many requests each worker may have in flight.

use std::{collections::HashMap, sync::Arc};

use tokio::sync::Semaphore;

/// All hosts that are known.
pub(super) struct Frontier {
    hosts: HashMap<String, Host>,
    /// For each worker, the number of downloads of its hosts.
    weights: Vec<usize>,
    /// The workers that have hosts.
    owners: Vec<usize>,
    /// Maximum requests in flight, of all workers together.
    concurrency: usize,
    /// Maximum downloads of a host that are at its worker.
    window: usize,
}

struct Host {
    owner: usize,
    window: Arc<Semaphore>,
}

/// Downloads of a host at its worker, per request that may be in flight there: the one in flight,
/// and the next, so that the worker does not wait for a message.
const DOWNLOADS_PER_REQUEST: usize = 2;

impl Frontier {
    /// Distributes the hosts over the workers: each host goes to the worker with the fewest
    /// downloads. `hosts` has one item per download. At most `concurrency` workers take part.
    pub(super) fn new<'a>(
        hosts: impl IntoIterator<Item = &'a str>,
        workers: usize,
        concurrency: usize,
        per_host: usize,
    ) -> Self {
        let window = per_host.min(concurrency).saturating_mul(DOWNLOADS_PER_REQUEST);
        let mut frontier = Self {
            hosts: HashMap::new(),
            weights: vec![0; workers],
            owners: (0..workers.min(concurrency)).collect(),
            concurrency,
            window: window.min(Semaphore::MAX_PERMITS),
        };
        for host in hosts {
            let owner = frontier.host(host).owner;
            frontier.weights[owner] += 1;
        }
        // A worker without hosts gets no part of the limit. One worker stays, to own a host that a
        // redirect leads to.
        let Self { owners, weights, .. } = &mut frontier;
        let first = owners[0];
        owners.retain(|owner| weights[*owner] > 0 || *owner == first);
        frontier
    }

    /// The worker that owns a host, and the semaphore that limits the host's downloads there.
    pub(super) fn find(&mut self, host: &str) -> (usize, Arc<Semaphore>) {
        let Host { owner, window } = self.host(host);
        (*owner, window.clone())
    }

    fn host(&mut self, host: &str) -> &Host {
        if !self.hosts.contains_key(host) {
            let owner = *self.owners.iter().min_by_key(|at| self.weights[**at]).expect("there is a worker");
            let window = Arc::new(Semaphore::new(self.window));
            self.hosts.insert(host.to_owned(), Host { owner, window });
        }
        &self.hosts[host]
    }

    /// Transfers all hosts of one worker to another.
    pub(super) fn transfer(&mut self, from: usize, to: usize) {
        self.weights[to] += std::mem::take(&mut self.weights[from]);
        for host in self.hosts.values_mut() {
            if host.owner == from {
                host.owner = to;
            }
        }
        self.owners.retain(|owner| *owner != from && *owner != to);
        self.owners.push(to);
    }

    /// The number of requests that a worker may have in flight: one, and of the others a part in
    /// proportion to the downloads of its hosts. The parts of all workers add up to `concurrency`;
    /// rounding is by the largest-remainder method.
    pub(super) fn share(&self, worker: usize) -> usize {
        let divided = self.concurrency - self.owners.len();
        let total = self.owners.iter().map(|at| self.weights[*at]).sum::<usize>().max(1);
        let quota = |at: usize| divided * self.weights[at] / total;
        let mut by_remainder = self.owners.clone();
        by_remainder.sort_by_key(|at| (std::cmp::Reverse(divided * self.weights[*at] % total), *at));
        let left = divided - self.owners.iter().map(|at| quota(*at)).sum::<usize>();
        let gets_one_more = by_remainder.iter().take(left).any(|at| *at == worker);
        1 + quota(worker) + usize::from(gets_one_more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frontier(workers: usize, concurrency: usize, hosts: &str) -> Frontier {
        Frontier::new(hosts.split_whitespace(), workers, concurrency, 8)
    }

    fn shares(frontier: &Frontier) -> Vec<usize> {
        frontier.owners.iter().map(|owner| frontier.share(*owner)).collect()
    }

    #[test]
    fn a_host_has_one_owner_and_the_shares_add_up() {
        let mut frontier = frontier(2, 10, "a a a b a b");
        assert_eq!(["a", "b", "a", "c"].map(|host| frontier.find(host).0), [0, 1, 0, 1]);
        assert_eq!(shares(&frontier), [6, 4]);
        for concurrency in 2..40 {
            frontier.concurrency = concurrency;
            assert_eq!(shares(&frontier).iter().sum::<usize>(), concurrency);
        }
    }

    #[test]
    fn with_fewer_requests_than_workers_not_all_take_part() {
        let mut frontier = frontier(3, 1, "a b c");
        assert_eq!(["a", "b", "c", "d"].map(|host| frontier.find(host).0), [0; 4]);
        assert_eq!(shares(&frontier), [1]);
        frontier.transfer(0, 2);
        assert_eq!((frontier.find("a").0, frontier.find("e").0, shares(&frontier)), (2, 2, vec![1]));
    }

    #[test]
    fn a_worker_without_hosts_has_no_share() {
        let mut frontier = frontier(2, 10, "a a");
        assert_eq!((frontier.find("b").0, shares(&frontier)), (0, vec![10]));
    }

    #[test]
    fn a_worker_that_gets_hosts_gets_their_share() {
        let mut frontier = frontier(2, 10, "a b b");
        assert_eq!((frontier.share(0), frontier.share(1)), (4, 6));
        frontier.transfer(1, 0);
        assert_eq!((frontier.find("b").0, shares(&frontier)), (0, vec![10]));
    }
}
