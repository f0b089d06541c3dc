//! Tokens as CLIP has them: bytes, and pairs of what is frequently side by side.

use std::collections::BTreeMap;

use serde_json::{Map, json};

/// How many pairs are learnt.
const PAIRS: usize = 420;
const END_OF_WORD: &str = "</w>";

/// A byte pair encoding.
pub(crate) struct Tokens {
    numbers: BTreeMap<String, u32>,
    /// In the order in which they are joined.
    pairs: Vec<(String, String)>,
}

impl Tokens {
    /// Of words, and how often each is there: the most frequent pair is joined, again and again; of equals, the first in the
    /// alphabet.
    pub(crate) fn learn(words: &BTreeMap<String, usize>) -> Self {
        let mut split: Vec<(Vec<String>, usize)> =
            words.iter().map(|(word, &count)| (letters(word), count)).collect();
        let mut names: Vec<String> = (0..=255).map(|byte| letter(byte).to_string()).collect();
        names.extend((0..=255).map(|byte| format!("{}{END_OF_WORD}", letter(byte))));
        let mut pairs = Vec::new();
        while pairs.len() < PAIRS {
            let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
            for (parts, count) in &split {
                for pair in parts.windows(2) {
                    *counts.entry((&pair[0], &pair[1])).or_default() += count;
                }
            }
            let most = counts.into_iter().rev().max_by_key(|(_, count)| *count);
            let Some(((one, other), _)) = most else { break };
            let pair = (one.to_owned(), other.to_owned());
            for (parts, _) in &mut split {
                join(parts, &pair);
            }
            names.push(format!("{}{}", pair.0, pair.1));
            pairs.push(pair);
        }
        names.extend(["<|startoftext|>", "<|endoftext|>"].map(str::to_owned));
        let mut numbers = BTreeMap::new();
        for (number, name) in (0..).zip(names) {
            numbers.entry(name).or_insert(number);
        }
        Self { numbers, pairs }
    }

    /// One more than the largest number.
    pub(crate) fn count(&self) -> usize {
        self.end() as usize + 1
    }

    /// The token that ends a text.
    pub(crate) fn end(&self) -> u32 {
        self.numbers["<|endoftext|>"]
    }

    /// The tokens of a text, at most so many: what `tokenizer.json` says of it, faster.
    pub(crate) fn split(&self, text: &str, most: usize) -> Vec<u32> {
        let mut ids = vec![self.numbers["<|startoftext|>"]];
        for word in words(&text.to_lowercase()) {
            let mut parts = letters(&word);
            for pair in &self.pairs {
                join(&mut parts, pair);
            }
            ids.extend(parts.iter().map(|part| self.numbers[part]));
        }
        ids.truncate(most - 1);
        ids.push(self.end());
        ids
    }

    /// As the hub has it for CLIP.
    pub(crate) fn to_json(&self) -> anyhow::Result<String> {
        let added = |name: &str| {
            json!({
                "id": self.numbers[name], "content": name, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true,
            })
        };
        let mut vocab = Map::new();
        for (name, number) in &self.numbers {
            vocab.insert(name.clone(), json!(number));
        }
        let merges: Vec<String> =
            self.pairs.iter().map(|(one, other)| format!("{one} {other}")).collect();
        let words = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";
        let (start, end) = ("<|startoftext|>", "<|endoftext|>");
        let json = json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": [added(start), added(end)],
            "normalizer": {"type": "Sequence", "normalizers": [
                {"type": "NFC"},
                {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
                {"type": "Lowercase"},
            ]},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": words}, "behavior": "Removed", "invert": true},
                {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
            ]},
            "post_processor": {
                "type": "RobertaProcessing", "sep": [end, self.numbers[end]],
                "cls": [start, self.numbers[start]], "trim_offsets": false, "add_prefix_space": false,
            },
            "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
            "model": {
                "type": "BPE", "dropout": null, "unk_token": end, "continuing_subword_prefix": "",
                "end_of_word_suffix": END_OF_WORD, "fuse_unk": false, "byte_fallback": false,
                "ignore_merges": false, "vocab": vocab, "merges": merges,
            },
        });
        Ok(serde_json::to_string(&json)? + "\n")
    }
}

/// Letters, digits and other signs, each kind by itself.
fn words(text: &str) -> Vec<String> {
    let kind = |letter: char| match letter {
        _ if letter.is_whitespace() => 0,
        _ if letter.is_alphabetic() => 1,
        _ => 2,
    };
    let mut words: Vec<String> = Vec::new();
    let mut before = 0;
    for letter in text.chars() {
        let now = kind(letter);
        if now == before && now != 0 {
            words.last_mut().expect("a word before").push(letter);
        } else if now != 0 {
            words.push(letter.to_string());
        }
        before = now;
    }
    words
}

/// The bytes of a word as letters, the last one marked.
fn letters(word: &str) -> Vec<String> {
    let mut letters: Vec<String> = word.bytes().map(|byte| letter(byte).to_string()).collect();
    if let Some(last) = letters.last_mut() {
        last.push_str(END_OF_WORD);
    }
    letters
}

/// GPT-2's letter for a byte: itself where it can be seen.
fn letter(byte: u8) -> char {
    let is_seen = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if is_seen(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|&other| !is_seen(other)).count();
    u32::try_from(256 + before).ok().and_then(char::from_u32).expect("a letter")
}

fn join(parts: &mut Vec<String>, pair: &(String, String)) {
    let mut at = 0;
    while at + 1 < parts.len() {
        if parts[at] == pair.0 && parts[at + 1] == pair.1 {
            let next = parts.remove(at + 1);
            parts[at].push_str(&next);
        }
        at += 1;
    }
}
