//! Chunks of a stream laid one over the other, each member by its rule.
//!
//! Why on raw JSON: texts are joined as they are written, so that a character that a host cut in
//! two (`"\ud83d"`, `"\ude00"`) is whole again, and no number loses a digit.
//! The trap: what a member means that nobody knows cannot be told from two of its values. Then
//! there is no whole, rather than a wrong one.

use serde_json::value::RawValue;

use crate::wire::fields::{all, filled, items};

/// Most choices, calls, or members of one object.
const MOST: usize = 1024;

/// How a member grows.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rule {
    /// A text in pieces.
    Text,
    /// A name, whole or in pieces; some hosts say it again with every piece of what follows.
    Name,
    /// What is said first.
    First,
    /// What is said last.
    Last,
    /// It says the same whenever it says something.
    Once,
    /// A list in pieces.
    List,
    /// An object whose members grow by their own rules.
    Object(&'static Rules),
    /// A list of objects that grow, by their `index`, else by their place.
    Choices(&'static Rules),
    /// The same by their `index`, else by their `id`; what has neither belongs to the last.
    Calls(&'static Rules),
    /// It means nothing outside a stream.
    Left,
    /// There is no telling how it would look in a whole answer.
    Unknown,
}

/// Rules by name, and for what has none.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) known: &'static [(&'static str, Rule)],
    pub(super) other: Rule,
}

/// A value so far.
#[derive(Debug)]
pub(super) enum Value {
    /// As it was written.
    Raw(String),
    /// What stands between the quotes.
    Text(String),
    /// What stands between the brackets.
    List(String),
    Object(Object),
    /// Sorted by index.
    Indexed(Vec<(u64, Object)>),
}

/// Members in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Object(pub(super) Vec<(String, Value)>);

/// The index of an item that does not tell: of those so far, by its id and its place.
type Which = fn(&[(u64, Object)], Option<&RawValue>, u64) -> u64;

// === impl Rules ===

impl Rules {
    fn of(&self, name: &str) -> Rule {
        let known = self.known.iter().find(|(known, _)| *known == name);
        known.map_or(self.other, |(_, rule)| *rule)
    }
}

// === impl Object ===

impl Object {
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(at).1)
    }

    /// Lays an object over this one; `None` if the two cannot be one.
    pub(super) fn add(&mut self, json: &str, rules: &'static Rules) -> Option<()> {
        for (name, raw) in all(json)? {
            let rule = rules.of(&name);
            if matches!(rule, Rule::Left) {
                continue;
            }
            if let Some((_, value)) = self.0.iter_mut().find(|(known, _)| *known == name) {
                value.add(raw, rule)?;
            } else if self.0.len() < MOST {
                let mut value = Value::null();
                value.add(raw, rule)?;
                self.0.push((name.into_owned(), value));
            } else {
                return None;
            }
        }
        Some(())
    }

    pub(super) fn write(&self, out: &mut String) {
        out.push('{');
        for (at, (name, value)) in self.0.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            out.push_str(&quoted(name));
            out.push(':');
            value.write(out);
        }
        out.push('}');
    }
}

/// A text as JSON.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

// === impl Value ===

impl Value {
    pub(super) fn null() -> Self {
        Self::Raw("null".to_owned())
    }

    /// Neither null nor empty.
    pub(super) fn is_filled(&self) -> bool {
        match self {
            Self::Raw(raw) => !matches!(raw.as_str(), "null" | "\"\"" | "[]" | "{}"),
            Self::Text(inside) | Self::List(inside) => !inside.is_empty(),
            Self::Object(object) => !object.0.is_empty(),
            Self::Indexed(items) => !items.is_empty(),
        }
    }

    fn is_null(&self) -> bool {
        matches!(self, Self::Raw(raw) if raw == "null")
    }

    fn add(&mut self, raw: &RawValue, rule: Rule) -> Option<()> {
        let json = raw.get();
        match (rule, json.as_bytes()[0]) {
            // To say nothing changes nothing.
            (_, b'n') => Some(()),
            (Rule::Text | Rule::Name, b'"') => {
                let is_name = matches!(rule, Rule::Name);
                self.add_text(&json[1..json.len() - 1], is_name)
            }
            (Rule::List, b'[') => self.add_list(json[1..json.len() - 1].trim_ascii()),
            (Rule::Object(rules), b'{') => self.add_object(json, rules),
            (Rule::Choices(rules), b'[') => self.add_indexed(raw, rules, |_, _, place| place),
            (Rule::Calls(rules), b'[') => self.add_indexed(raw, rules, which_call),
            (Rule::First, _) => self.keep(raw, !self.is_filled()),
            (Rule::Last, _) => self.keep(raw, filled(raw) || !self.is_filled()),
            (Rule::Unknown, _) if filled(raw) => None,
            _ if self.is_filled() => {
                let same = matches!(self, Self::Raw(before) if before == json);
                (same || !filled(raw)).then_some(())
            }
            _ => self.keep(raw, true),
        }
    }

    fn keep(&mut self, raw: &RawValue, keep: bool) -> Option<()> {
        if keep {
            *self = Self::Raw(raw.get().to_owned());
        }
        Some(())
    }

    fn add_text(&mut self, inside: &str, is_name: bool) -> Option<()> {
        match self {
            Self::Text(text) if is_name && text == inside => {}
            Self::Text(text) => text.push_str(inside),
            _ if !self.is_filled() => *self = Self::Text(inside.to_owned()),
            _ => return inside.is_empty().then_some(()),
        }
        Some(())
    }

    fn add_list(&mut self, inside: &str) -> Option<()> {
        match self {
            _ if inside.is_empty() && !self.is_null() => {}
            Self::List(list) if !list.is_empty() => {
                list.push(',');
                list.push_str(inside);
            }
            _ if self.is_filled() => return None,
            _ => *self = Self::List(inside.to_owned()),
        }
        Some(())
    }

    fn add_object(&mut self, json: &str, rules: &'static Rules) -> Option<()> {
        if !self.is_filled() && !matches!(self, Self::Object(_)) {
            *self = Self::Object(Object::default());
        }
        let Self::Object(object) = self else { return None };
        object.add(json, rules)
    }

    fn add_indexed(&mut self, raw: &RawValue, rules: &'static Rules, which: Which) -> Option<()> {
        if !self.is_filled() && !matches!(self, Self::Indexed(_)) {
            *self = Self::Indexed(Vec::new());
        }
        let Self::Indexed(list) = self else { return None };
        for (item, place) in items(raw).into_iter().zip(0..) {
            let members = all(item.get())?;
            let named = |name| members.iter().find(|(known, _)| known == name).map(|(_, raw)| *raw);
            let index = match named("index") {
                Some(index) => serde_json::from_str(index.get()).ok()?,
                None => which(list, named("id"), place),
            };
            let at = list.partition_point(|(other, _)| *other < index);
            if list.get(at).is_none_or(|(other, _)| *other != index) {
                if list.len() == MOST {
                    return None;
                }
                list.insert(at, (index, Object::default()));
            }
            list[at].1.add(item.get(), rules)?;
        }
        Some(())
    }

    pub(super) fn write(&self, out: &mut String) {
        match self {
            Self::Raw(raw) => out.push_str(raw),
            Self::Text(inside) => out.extend(["\"", inside, "\""]),
            Self::List(inside) => out.extend(["[", inside, "]"]),
            Self::Object(object) => object.write(out),
            Self::Indexed(list) => {
                out.push('[');
                for (at, (_, object)) in list.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    object.write(out);
                }
                out.push(']');
            }
        }
    }
}

fn which_call(list: &[(u64, Object)], id: Option<&RawValue>, _place: u64) -> u64 {
    let last = list.last().map(|(index, _)| *index);
    let Some(id) = id.filter(|id| filled(id)) else {
        return last.unwrap_or(0);
    };
    let is_its = |call: &Object| matches!(call.get("id"), Some(Value::Raw(raw)) if raw == id.get());
    let known = list.iter().find(|(_, call)| is_its(call)).map(|(index, _)| *index);
    known.unwrap_or_else(|| last.map_or(0, |last| last.saturating_add(1)))
}
