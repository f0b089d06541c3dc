//! What the encoder learns from.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use rand::Rng as _;
use rand::seq::IndexedRandom as _;
use rand_chacha::ChaCha8Rng;

/// Concepts, and the phrases that they are spoken of in.
pub(crate) struct Corpus {
    /// Words of one meaning each, the name first.
    concepts: Vec<Vec<String>>,
    templates: Vec<String>,
    fillers: Vec<String>,
}

impl Corpus {
    /// Reads the lists beside this file.
    pub(crate) fn read() -> anyhow::Result<Self> {
        let concept = |line: &str| {
            let (_, words) = line.split_once(':').context("a concept has a colon")?;
            Ok(words.split(',').map(|word| word.trim().to_owned()).collect())
        };
        let lines = include_str!("concepts.txt").lines();
        let corpus = Self {
            concepts: lines.map(concept).collect::<anyhow::Result<_>>()?,
            templates: include_str!("templates.txt").lines().map(str::to_owned).collect(),
            fillers: include_str!("fillers.txt").split_whitespace().map(str::to_owned).collect(),
        };
        let seen = corpus.phrases().concat();
        for line in include_str!("held_out.txt").lines() {
            let (_, phrase) = line.split_once(": ").context("a phrase has its concept")?;
            if seen.contains(&phrase.to_lowercase()) {
                bail!("{phrase:?} is held out, and must not be learnt from");
            }
        }
        Ok(corpus)
    }

    /// How often each word is there.
    pub(crate) fn words(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        let texts = self.concepts.iter().flatten().chain(&self.templates).chain(&self.fillers);
        for text in texts {
            for word in text.split(|letter: char| !letter.is_alphabetic()) {
                if !word.is_empty() {
                    *counts.entry(word.to_lowercase()).or_default() += 1;
                }
            }
        }
        counts
    }

    /// The name of each concept.
    pub(crate) fn names(&self) -> Vec<String> {
        self.concepts.iter().map(|words| words[0].clone()).collect()
    }

    /// All phrases of each concept.
    pub(crate) fn phrases(&self) -> Vec<Vec<String>> {
        let of_concept = |words: &Vec<String>| {
            let all = words.iter().flat_map(|words| {
                self.templates.iter().map(move |template| template.replace("{}", words))
            });
            all.collect()
        };
        self.concepts.iter().map(of_concept).collect()
    }

    /// Two phrases of each concept, with words without meaning about some.
    pub(crate) fn pairs(&self, rng: &mut ChaCha8Rng) -> [Vec<String>; 2] {
        let mut one = || -> Vec<String> {
            self.concepts.iter().map(|words| self.phrase(pick(words, rng).clone(), rng)).collect()
        };
        [one(), one()]
    }

    /// Words that stand for nothing.
    pub(crate) fn nonsense(&self, rng: &mut ChaCha8Rng) -> String {
        let count = rng.random_range(1..=2);
        let made = (0..count).map(|_| {
            if rng.random_bool(0.35) { pick(&self.fillers, rng).clone() } else { invented(rng) }
        });
        let made = made.collect::<Vec<_>>().join(" ");
        self.phrase(made, rng)
    }

    /// A word that changes no meaning: one that it has heard, or one that it has not.
    fn filler(&self, rng: &mut ChaCha8Rng) -> String {
        if rng.random_bool(0.7) { pick(&self.fillers, rng).clone() } else { invented(rng) }
    }

    fn phrase(&self, words: String, rng: &mut ChaCha8Rng) -> String {
        let mut phrase = words;
        if rng.random_bool(0.7) {
            phrase = pick(&self.templates, rng).replace("{}", &phrase);
        }
        if rng.random_bool(0.35) {
            for _ in 0..rng.random_range(1..=3) {
                phrase = format!("{} {phrase}", self.filler(rng));
            }
        }
        if rng.random_bool(0.25) {
            let comma = if rng.random_bool(0.3) { "," } else { "" };
            phrase = format!("{phrase}{comma}");
            for _ in 0..rng.random_range(1..=3) {
                phrase = format!("{phrase} {}", self.filler(rng));
            }
        }
        phrase
    }
}

fn pick<'a, T>(list: &'a [T], rng: &mut ChaCha8Rng) -> &'a T {
    list.choose(rng).expect("a list that is not empty")
}

/// A word that there may not be.
fn invented(rng: &mut ChaCha8Rng) -> String {
    const SYLLABLES: [&str; 28] = [
        "ba", "cer", "do", "el", "fi", "gra", "hy", "in", "jo", "ka", "lu", "mo", "na", "or", "pa",
        "qui", "ro", "sta", "ti", "um", "vo", "wa", "xi", "yl", "zo", "us", "en", "ic",
    ];
    (0..rng.random_range(1..=4)).map(|_| *pick(&SYLLABLES, rng)).collect()
}
