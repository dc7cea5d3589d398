//! The letters that say how a key is compared.

use cc_core::error::Result;

use super::incompatible;
use crate::{Ignore, Key, Order};

/// A set of letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Letters(u16);

/// The letters. `B` stands for a `b` after the key's end.
const ALL: &str = "bBdfghiMnrV";

impl Letters {
    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Adds one of the letters that a command line may have.
    pub(super) fn add(&mut self, letter: char) {
        self.0 |= bit(letter);
    }

    /// Adds the `b` of the key's end.
    pub(super) fn add_end_blanks(&mut self) {
        self.0 |= bit('B');
    }

    /// Takes the letters that a text begins with. Returns the text after them.
    pub(super) fn take<'a>(&mut self, text: &'a str, add: impl Fn(&mut Self, char)) -> &'a str {
        let is_letter = |c: char| c != 'B' && ALL.contains(c);
        let end = text.find(|c: char| !is_letter(c)).unwrap_or(text.len());
        let (letters, after) = text.split_at(end);
        letters.chars().for_each(|letter| add(self, letter));
        after
    }

    fn has(self, letter: char) -> bool {
        self.0 & bit(letter) != 0
    }

    /// The key with these letters. Fails if they contradict each other.
    pub(super) fn set(self, key: Key) -> Result<Key> {
        let is_other = self.has('V') || self.has('d') || self.has('i');
        let orders = ['n', 'g', 'h', 'M'].into_iter().filter(|letter| self.has(*letter)).count();
        if orders + usize::from(is_other) > 1 {
            let is_named = |letter: &char| match letter {
                'b' | 'B' | 'r' => false,
                'i' => self.has('i') && !self.has('d'),
                letter => self.has(*letter),
            };
            return incompatible(&ALL.chars().filter(is_named).collect::<String>());
        }
        Ok(Key {
            order: self.order(),
            fold_case: self.has('f'),
            ignore: match (self.has('d'), self.has('i')) {
                (true, _) => Ignore::Nondictionary,
                (false, true) => Ignore::Nonprinting,
                (false, false) => Ignore::Nothing,
            },
            reverse: self.has('r'),
            skip_blanks: self.has('b'),
            // They matter only if the end is counted in bytes.
            skip_end_blanks: self.has('B') && key.to_byte > 0,
            ..key
        })
    }

    fn order(self) -> Order {
        let orders = [
            ('n', Order::Numeric),
            ('g', Order::General),
            ('h', Order::Human),
            ('M', Order::Month),
            ('V', Order::Version),
        ];
        orders.into_iter().find(|(letter, _)| self.has(*letter)).map_or(Order::Bytes, |(_, order)| order)
    }
}

fn bit(letter: char) -> u16 {
    ALL.find(letter).map_or(0, |nth| 1 << nth)
}
