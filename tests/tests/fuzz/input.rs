//! Input for a target: its corpus, and what mutations make of it.

use anyhow::{Context, Result};
use proptest::{prelude::*, sample::Index};

/// Pieces that readers of JSON, SQL, UUIDs and URLs stumble over.
const PIECES: [&str; 40] = [
    "\"",
    "'",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "$$",
    "--",
    "/*",
    ";",
    "%",
    "%00",
    "%zz",
    "@",
    "?",
    "&",
    "=",
    "//",
    "\u{0}",
    "\\u0000",
    "\\ud800",
    "\u{feff}",
    "\u{202e}",
    "👩‍👩‍👧‍👦",
    "null",
    "true",
    "1e999",
    "-1",
    "18446744073709551616",
    "00000000-0000-0000-0000-000000000000",
    "7d444840-9dc0-11d1-b245-5ffdce74fad2",
    "user_deleted",
    "traits",
    "dry_run",
    "hunter2",
    "sslmode=disable",
    "127.0.0.1",
];

/// One change to a text; places are counted in characters.
#[derive(Clone, Debug)]
enum Mutation {
    Insert(Index, usize),
    InsertText(Index, String),
    Remove(Index, usize),
    Repeat(Index, usize, usize),
    /// The rest is that of another text.
    Splice(Index, Index),
}

impl Mutation {
    fn apply(&self, text: &str, corpus: &[String]) -> String {
        let characters: Vec<char> = text.chars().collect();
        let at = |index: &Index| index.index(characters.len() + 1);
        let cut = |from: usize, to: usize| -> String {
            let to = to.min(characters.len());
            characters[from.min(to)..to].iter().collect()
        };
        let end = characters.len();
        match self {
            Self::Insert(place, piece) => cut(0, at(place)) + PIECES[*piece] + &cut(at(place), end),
            Self::InsertText(place, piece) => cut(0, at(place)) + piece + &cut(at(place), end),
            Self::Remove(place, length) => cut(0, at(place)) + &cut(at(place) + length, end),
            Self::Repeat(place, length, times) => {
                let piece = cut(at(place), at(place) + length);
                cut(0, at(place)) + &piece.repeat(*times) + &cut(at(place), end)
            }
            Self::Splice(place, other) => {
                let other = &corpus[other.index(corpus.len())];
                let rest: Vec<char> = other.chars().collect();
                let from = place.index(rest.len() + 1);
                cut(0, at(place)) + &rest[from..].iter().collect::<String>()
            }
        }
    }
}

/// The texts of a corpus.
pub(crate) fn corpus(json: &str) -> Result<Vec<String>> {
    serde_json::from_str(json).context("a corpus is a JSON array of texts")
}

/// A text of the corpus with up to five changes, or one that has nothing to do with it.
pub(crate) fn text(corpus: Vec<String>) -> impl Strategy<Value = String> {
    let mutation = prop_oneof![
        4 => (any::<Index>(), 0..PIECES.len()).prop_map(|(place, piece)| Mutation::Insert(place, piece)),
        2 => (any::<Index>(), "\\PC{0,8}").prop_map(|(place, text)| Mutation::InsertText(place, text)),
        3 => (any::<Index>(), 1..20_usize).prop_map(|(place, length)| Mutation::Remove(place, length)),
        1 => (any::<Index>(), 1..10_usize, 2..2_000_usize)
            .prop_map(|(place, length, times)| Mutation::Repeat(place, length, times)),
        2 => (any::<Index>(), any::<Index>()).prop_map(|(place, other)| Mutation::Splice(place, other)),
    ];
    let mutated = (any::<Index>(), prop::collection::vec(mutation, 0..=5)).prop_map(
        move |(which, mutations)| {
            let first = corpus[which.index(corpus.len())].clone();
            mutations
                .iter()
                .fold(first, |text, mutation| mutation.apply(&text, &corpus))
        },
    );
    prop_oneof![9 => mutated, 1 => any::<String>()]
}
