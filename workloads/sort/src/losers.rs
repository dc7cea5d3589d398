//! A tournament among the heads of many sequences.

/// A tree of losers: who has lost at each node, and at the top who has won. When the winner's head has changed, only
/// the matches on its way up are played again, one for each level.
pub(super) struct Losers {
    /// The winner, then the losers of the inner nodes; the leaves, one for each sequence, are behind them.
    nodes: Vec<usize>,
}

impl Losers {
    /// The tournament of so many, where `beats` says whether one's head goes before the other's.
    pub(super) fn new(count: usize, beats: impl Fn(usize, usize) -> bool) -> Self {
        // The winner of each node, from the leaves up; its loser stays.
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

    /// Whose head goes first.
    pub(super) fn winner(&self) -> usize {
        self.nodes[0]
    }

    /// Plays the winner's matches again, with its new head.
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
            let value = |n: u64, place: u64| (n * 7 + place * 3) % 5 + place * 4;
            let sequence = |n: u64| (0..n % 5).map(|place| value(n, place)).collect();
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
            let mut losers = Losers::new(heads.len(), |one, other| beats(&values, one, other));
            for (value, sequence) in all {
                let winner = losers.winner();
                assert_eq!((values[winner], winner as u64), (Some(value), sequence));
                values[winner] = heads[winner].next().copied();
                losers.replay(|one, other| beats(&values, one, other));
            }
            assert!(values.get(losers.winner()).is_none_or(Option::is_none));
        }
    }
}
