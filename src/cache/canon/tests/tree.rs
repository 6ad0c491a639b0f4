//! Any JSON value, and a pen that never writes it twice in the same letters.

use std::collections::BTreeMap;

use proptest::prelude::*;

/// A value as JSON means it: numbers as digits and a power of ten, texts as UTF-16.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Tree {
    Word(&'static str),
    Number(i64, i64),
    Text(Vec<u16>),
    List(Vec<Self>),
    Object(BTreeMap<Vec<u16>, Self>),
}

fn unit() -> impl Strategy<Value = u16> {
    prop_oneof![
        8 => prop::sample::select("ab é\"\\\n/".encode_utf16().collect::<Vec<_>>()),
        1 => prop::sample::select(vec![0xd83d, 0xde00, 0, 0x7f, 0xffff]),
        1 => any::<u16>(),
    ]
}

fn word() -> impl Strategy<Value = Vec<u16>> {
    prop::collection::vec(unit(), 0..4)
}

pub(super) fn tree() -> impl Strategy<Value = Tree> {
    let number = (prop_oneof![-12..12_i64, any::<i64>()], -3..4_i64).prop_map(number);
    // Enough for an object to be put down as its hash.
    let long = (unit(), 4097..4100_usize).prop_map(|(unit, count)| Tree::Text(vec![unit; count]));
    let leaf = prop_oneof![
        4 => prop::sample::select(vec!["null", "true", "false"]).prop_map(Tree::Word),
        4 => number,
        4 => word().prop_map(Tree::Text),
        1 => long,
    ];
    leaf.prop_recursive(5, 60, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Tree::List),
            prop::collection::btree_map(word(), inner, 0..5).prop_map(Tree::Object),
        ]
    })
}

pub(super) fn object() -> impl Strategy<Value = Tree> {
    prop::collection::btree_map(word(), tree(), 0..5).prop_map(Tree::Object)
}

fn number((mut digits, mut power): (i64, i64)) -> Tree {
    while digits != 0 && digits % 10 == 0 {
        (digits, power) = (digits / 10, power + 1);
    }
    Tree::Number(digits, if digits == 0 { 0 } else { power })
}

/// Writes values, each time in other letters.
struct Pen {
    out: String,
    random: fastrand::Rng,
}

pub(super) fn spell(tree: &Tree, seed: u64) -> String {
    let mut pen = Pen { out: String::new(), random: fastrand::Rng::with_seed(seed) };
    pen.value(tree);
    pen.out
}

impl Pen {
    fn value(&mut self, tree: &Tree) {
        match tree {
            Tree::Word(word) => self.out.push_str(word),
            Tree::Number(digits, power) => self.number(*digits, *power),
            Tree::Text(units) => self.text(units),
            Tree::List(items) => {
                self.mark('[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        self.mark(',');
                    }
                    self.value(item);
                }
                self.mark(']');
            }
            Tree::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                self.random.shuffle(&mut members);
                self.mark('{');
                for (at, (name, value)) in members.into_iter().enumerate() {
                    if at > 0 {
                        self.mark(',');
                    }
                    self.text(name);
                    self.mark(':');
                    self.value(value);
                }
                self.mark('}');
            }
        }
    }

    fn mark(&mut self, mark: char) {
        let space = *self.random.choice(&["", "", " ", "\r\n\t"]).unwrap();
        self.out.push_str(space);
        self.out.push(mark);
        self.out.push_str(space);
    }

    fn text(&mut self, units: &[u16]) {
        self.out.push('"');
        for char in char::decode_utf16(units.iter().copied()) {
            match char {
                Ok(char) if char >= ' ' && !"\"\\".contains(char) && self.random.bool() => {
                    self.out.push(char);
                }
                Ok('\n') if self.random.bool() => self.out.push_str("\\n"),
                Ok('/') => self.out.push_str("\\/"),
                Ok(char) => {
                    let units: Vec<_> = char.encode_utf16(&mut [0; 2]).to_vec();
                    units.iter().for_each(|unit| self.unit(*unit));
                }
                Err(half) => self.unit(half.unpaired_surrogate()),
            }
        }
        self.out.push('"');
    }

    fn unit(&mut self, unit: u16) {
        let written =
            if self.random.bool() { format!("\\u{unit:04x}") } else { format!("\\u{unit:04X}") };
        self.out.push_str(&written);
    }

    /// The point somewhere in the digits or in front of them, and a power that makes up for it.
    fn number(&mut self, digits: i64, power: i64) {
        let (sign, digits) = (if digits < 0 { "-" } else { "" }, digits.unsigned_abs().to_string());
        let places = self.random.usize(0..=digits.len() + 2);
        let padded = format!("{digits:0>width$}", width = places + 1);
        let (whole, part) = padded.split_at(padded.len() - places);
        let power = power + i64::try_from(places).unwrap();
        let zeros = "0".repeat(self.random.usize(0..3));
        let point = if part.is_empty() && zeros.is_empty() { "" } else { "." };
        let e = *self.random.choice(&["e", "E", "e+", "E0"]).unwrap();
        let e = if power < 0 { "e" } else { e };
        let power =
            if power == 0 && self.random.bool() { String::new() } else { format!("{e}{power}") };
        self.out.push_str(&format!("{sign}{whole}{point}{part}{zeros}{power}"));
    }
}

/// All values that have no others in them.
pub(super) fn leaves(tree: &mut Tree) -> Vec<&mut Tree> {
    let is_leaf = match &*tree {
        Tree::List(items) => items.is_empty(),
        Tree::Object(members) => members.is_empty(),
        _ => true,
    };
    if is_leaf {
        return vec![tree];
    }
    match tree {
        Tree::List(items) => items.iter_mut().flat_map(leaves).collect(),
        Tree::Object(members) => members.values_mut().flat_map(leaves).collect(),
        _ => Vec::new(),
    }
}
