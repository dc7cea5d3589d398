//! A loser tree: finds the least of the heads of many sequences.

/// A tournament in which each inner node holds the loser of its match. When the head of the winner
/// has changed, only the matches on the winner's path to the root are replayed: one comparison per
/// level.
pub(super) struct LoserTree {
    /// The overall winner, then the tree of the inner nodes. The leaves, one per sequence, are not
    /// stored; they would follow.
    nodes: Vec<usize>,
}

impl LoserTree {
    /// Plays the tournament of `count` sequences. `beats` tells whether the head of the first
    /// sequence goes before that of the second.
    pub(super) fn new(count: usize, beats: impl Fn(usize, usize) -> bool) -> Self {
        // The winner of each node, from the leaves up; its loser is stored.
        let mut winners: Vec<usize> = (0..count).chain(0..count).collect();
        let mut nodes = vec![0; count.max(1)];
        for node in (1..count).rev() {
            let [one, other] = [winners[2 * node], winners[2 * node + 1]];
            let (winner, loser) = if beats(other, one) { (other, one) } else { (one, other) };
            (winners[node], nodes[node]) = (winner, loser);
        }
        nodes[0] = winners.get(1).copied().unwrap_or(0);
        Self { nodes }
    }

    /// The sequence whose head is first.
    pub(super) fn winner(&self) -> usize {
        self.nodes[0]
    }

    /// Replays the matches of the winner, whose head has changed.
    pub(super) fn replay(&mut self, beats: impl Fn(usize, usize) -> bool) {
        let count = self.nodes.len();
        let mut winner = self.nodes[0];
        let mut node = (winner + count) / 2;
        while node > 0 {
            if beats(self.nodes[node], winner) {
                std::mem::swap(&mut self.nodes[node], &mut winner);
            }
            node /= 2;
        }
        self.nodes[0] = winner;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wins_is_the_least_and_of_equals_the_first() {
        for count in 0..20 {
            let value = |n: u64, at: u64| (n * 7 + at * 3) % 5 + at * 4;
            let sequence = |n: u64| (0..n % 5).map(|at| value(n, at)).collect();
            let sequences: Vec<Vec<u64>> = (0..count).map(sequence).collect();
            let mut all: Vec<(u64, u64)> = vec![];
            for (n, sequence) in (0..).zip(&sequences) {
                all.extend(sequence.iter().map(|value| (*value, n)));
            }
            all.sort_unstable();

            let mut heads: Vec<_> = sequences.iter().map(|sequence| sequence.iter().peekable()).collect();
            let mut values: Vec<_> = heads.iter_mut().map(|head| head.next().copied()).collect();
            let beats = |values: &[Option<u64>], one: usize, other: usize| {
                (values[one].is_none(), values[one], one) < (values[other].is_none(), values[other], other)
            };
            let mut tree = LoserTree::new(heads.len(), |one, other| beats(&values, one, other));
            for (value, sequence) in all {
                let winner = tree.winner();
                assert_eq!((values[winner], winner as u64), (Some(value), sequence));
                values[winner] = heads[winner].next().copied();
                tree.replay(|one, other| beats(&values, one, other));
            }
            assert!(values.get(tree.winner()).is_none_or(Option::is_none));
        }
    }
}
