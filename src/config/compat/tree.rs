//! A value of JSON or YAML, its members in their order.
//!
//! Why not serde_json's: it sorts them, and the first limit that fits was the one that counted.

use std::fmt;

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A value; a number is a text, as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tree {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
}

// === impl Tree ===

impl Tree {
    pub(super) fn json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The first document; null for an empty one.
    pub(super) fn yaml(text: &str) -> Result<Self, saphyr::ScanError> {
        let documents = Yaml::load_from_str(text)?;
        Ok(documents.first().map_or(Self::Null, Self::of_yaml))
    }

    fn of_yaml(yaml: &Yaml<'_>) -> Self {
        match yaml {
            Yaml::Value(Scalar::Boolean(yes)) => Self::Bool(*yes),
            Yaml::Value(Scalar::Integer(number)) => Self::Number(number.to_string()),
            Yaml::Value(Scalar::FloatingPoint(number)) => Self::Number(number.to_string()),
            Yaml::Value(Scalar::String(text)) => Self::Text(text.clone().into_owned()),
            Yaml::Representation(text, ..) => Self::Text(text.clone().into_owned()),
            Yaml::Sequence(items) => Self::List(items.iter().map(Self::of_yaml).collect()),
            Yaml::Mapping(items) => {
                let item = |(key, value)| {
                    (Self::of_yaml(key).scalar().unwrap_or_default(), Self::of_yaml(value))
                };
                Self::Map(items.iter().map(item).collect())
            }
            Yaml::Tagged(_, inside) => Self::of_yaml(inside),
            Yaml::Value(Scalar::Null) | Yaml::Alias(_) | Yaml::BadValue => Self::Null,
        }
    }

    /// What a map holds under a name.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        let Self::Map(members) = self else { return None };
        members.iter().rfind(|(member, _)| member == name).map(|(_, value)| value)
    }

    /// A text, a number or a truth value as text; nothing for null, and for what has parts.
    pub(super) fn scalar(&self) -> Option<String> {
        match self {
            Self::Bool(yes) => Some(yes.to_string()),
            Self::Number(text) | Self::Text(text) => Some(text.trim().to_owned()),
            Self::Null | Self::List(_) | Self::Map(_) => None,
        }
    }

    /// A whole number that is not negative, perhaps in quotes.
    pub(super) fn number(&self) -> Option<u32> {
        match self {
            Self::Number(text) | Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, yes: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(yes))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Tree, E> {
        Ok(Tree::Number(number.to_string()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Tree, E> {
        Ok(Tree::Number(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Tree, E> {
        Ok(Tree::Number(number.to_string()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut json: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = json.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut json: A) -> Result<Tree, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = json.next_entry()? {
            members.push(member);
        }
        Ok(Tree::Map(members))
    }
}
