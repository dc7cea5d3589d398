//! Which worker a host belongs to, and which part of all requests is a worker's.

use std::{collections::HashMap, sync::Arc};

use tokio::sync::Semaphore;

/// All hosts that are known.
pub(super) struct Frontier {
    hosts: HashMap<String, Host>,
    /// How many downloads the hosts of each worker have.
    weights: Vec<usize>,
    /// The workers that have hosts.
    owners: Vec<usize>,
    /// So many requests at once, of all workers together.
    most: usize,
    /// So many of a host's downloads are with its worker.
    ahead: usize,
}

struct Host {
    owner: usize,
    window: Arc<Semaphore>,
}

/// A host's downloads that are with its worker, for each request that may be under way there: one, and the next.
const AHEAD: usize = 2;

impl Frontier {
    /// Gives the hosts of all downloads, each named as often as it has some, to the workers, each to the one with the fewest. No
    /// more workers take part than there may be requests.
    pub(super) fn new<'a>(
        hosts: impl IntoIterator<Item = &'a str>,
        workers: usize,
        most: usize,
        per_host: usize,
    ) -> Self {
        let ahead = per_host.min(most).saturating_mul(AHEAD).min(Semaphore::MAX_PERMITS);
        let owners = (0..workers.min(most)).collect();
        let mut frontier = Self { hosts: HashMap::new(), weights: vec![0; workers], owners, most, ahead };
        for host in hosts {
            let owner = frontier.host(host).owner;
            frontier.weights[owner] += 1;
        }
        // Those that have none would keep a part of the limit.
        let Self { owners, weights, .. } = &mut frontier;
        let first = owners[0];
        owners.retain(|owner| weights[*owner] > 0 || *owner == first);
        frontier
    }

    /// Whom a host belongs to, and how many of its downloads may be there.
    pub(super) fn find(&mut self, host: &str) -> (usize, Arc<Semaphore>) {
        let Host { owner, window } = self.host(host);
        (*owner, window.clone())
    }

    fn host(&mut self, host: &str) -> &Host {
        if !self.hosts.contains_key(host) {
            let owner = *self.owners.iter().min_by_key(|at| self.weights[**at]).expect("there is a worker");
            let window = Arc::new(Semaphore::new(self.ahead));
            self.hosts.insert(host.to_owned(), Host { owner, window });
        }
        &self.hosts[host]
    }

    /// Gives all hosts of one worker to another.
    pub(super) fn hand_on(&mut self, from: usize, to: usize) {
        self.weights[to] += std::mem::take(&mut self.weights[from]);
        self.hosts.values_mut().filter(|host| host.owner == from).for_each(|host| host.owner = to);
        self.owners.retain(|owner| *owner != from && *owner != to);
        self.owners.push(to);
    }

    /// How many requests a worker may have under way: one, and of the others in proportion to what its hosts have. That of all
    /// together is what there may be (the method of the largest remainder).
    pub(super) fn share(&self, worker: usize) -> usize {
        let rest = self.most - self.owners.len();
        let total = self.owners.iter().map(|at| self.weights[*at]).sum::<usize>().max(1);
        let quota = |at: usize| rest * self.weights[at] / total;
        let mut by_remainder = self.owners.clone();
        by_remainder.sort_by_key(|at| (std::cmp::Reverse(rest * self.weights[*at] % total), *at));
        let left = rest - self.owners.iter().map(|at| quota(*at)).sum::<usize>();
        let is_one_more = by_remainder.iter().take(left).any(|at| *at == worker);
        1 + quota(worker) + usize::from(is_one_more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frontier(workers: usize, most: usize, hosts: &str) -> Frontier {
        Frontier::new(hosts.split_whitespace(), workers, most, 8)
    }

    fn shares(frontier: &Frontier) -> Vec<usize> {
        frontier.owners.iter().map(|owner| frontier.share(*owner)).collect()
    }

    #[test]
    fn a_host_has_one_owner_and_the_shares_are_all_that_there_is() {
        let mut frontier = frontier(2, 10, "a a a b a b");
        assert_eq!(["a", "b", "a", "c"].map(|host| frontier.find(host).0), [0, 1, 0, 1]);
        assert_eq!(shares(&frontier), [6, 4]);
        for most in 2..40 {
            frontier.most = most;
            assert_eq!(shares(&frontier).iter().sum::<usize>(), most);
        }
    }

    #[test]
    fn with_fewer_requests_than_workers_not_all_take_part() {
        let mut frontier = frontier(3, 1, "a b c");
        assert_eq!(["a", "b", "c", "d"].map(|host| frontier.find(host).0), [0; 4]);
        assert_eq!(shares(&frontier), [1]);
        frontier.hand_on(0, 2);
        assert_eq!((frontier.find("a").0, frontier.find("e").0, shares(&frontier)), (2, 2, vec![1]));
    }

    #[test]
    fn who_has_no_host_has_no_share() {
        let mut frontier = frontier(2, 10, "a a");
        assert_eq!((frontier.find("b").0, shares(&frontier)), (0, vec![10]));
    }

    #[test]
    fn whoever_gets_hosts_gets_their_share() {
        let mut frontier = frontier(2, 10, "a b b");
        assert_eq!((frontier.share(0), frontier.share(1)), (4, 6));
        frontier.hand_on(1, 0);
        assert_eq!((frontier.find("b").0, shares(&frontier)), (0, vec![10]));
    }
}
