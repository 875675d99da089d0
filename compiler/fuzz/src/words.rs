//! Mutates text word by word and line by line.

use super::random::Random;

/// Numbers and words that mean something somewhere.
const WORDS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "0.5",
    "1e9",
    "1e400",
    "-0.0",
    "nan",
    "inf",
    ".inf",
    "65536",
    "4294967295",
    "4294967296",
    "18446744073709551615",
    "18446744073709551616",
    "true",
    "false",
    "null",
    "~",
    "\"",
    "'",
    "[",
    "]",
    "{",
    "}",
    "{}",
    "[]",
    ":",
    "-",
    "&a",
    "*a",
    "!!int",
    "|",
    ">",
    "%",
    "@0",
    "@1",
    "->",
    "..",
    "\t",
    "\u{0}",
    "\u{feff}",
    "é",
    "; ---",
];

/// Words and what is between them, in order.
fn split(text: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_alphanumeric() || "_.".contains(c);
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let len =
            if is_word(first) { rest.find(|c| !is_word(c)).unwrap_or(rest.len()) } else { first.len_utf8() };
        let (part, after) = rest.split_at(len);
        parts.push(part);
        rest = after;
    }
    parts
}

/// Another text, made of this one.
pub(crate) fn mutate(data: &[u8], most: usize, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut bytes = data.to_vec();
    for _ in 0..random.few() {
        bytes = match std::str::from_utf8(&bytes) {
            Ok(text) => change(text, &mut random).into_bytes(),
            Err(error) => bytes[..error.valid_up_to()].to_vec(),
        };
    }
    if random.below(64) == 0 && !bytes.is_empty() {
        let at = random.below(bytes.len());
        bytes[at] = random.next() as u8;
    }
    bytes.truncate(most);
    bytes
}

fn change(text: &str, random: &mut Random) -> String {
    if random.below(4) == 0 {
        let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
        if !lines.is_empty() {
            let (at, other) = (random.below(lines.len()), random.below(lines.len()));
            match random.below(4) {
                0 => drop(lines.remove(at)),
                1 => lines.insert(at, lines[other]),
                2 => lines.swap(at, other),
                _ => lines[at] = lines[other],
            }
        }
        return lines.concat();
    }
    let mut parts = split(text);
    if parts.is_empty() {
        return WORDS[random.below(WORDS.len())].into();
    }
    let (at, other) = (random.below(parts.len()), random.below(parts.len()));
    let number = parts[at].parse().map(|old| random.number(old).to_string());
    match (random.below(8), &number) {
        (0, _) => drop(parts.remove(at)),
        (1, _) => parts.insert(at, parts[other]),
        (2, _) => parts.swap(at, other),
        (3 | 4, _) => parts[at] = parts[other],
        (5, _) => parts[at] = WORDS[random.below(WORDS.len())],
        (_, Ok(number)) => parts[at] = number,
        _ => parts[at] = parts[other],
    }
    parts.concat()
}
