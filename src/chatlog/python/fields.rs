//! The fields of a request line, in their order, with what stands there when the client said nothing.
//!
//! Why tables: the order is part of the form, and so is every default.

use jiff::Zoned;

use self::Source::{Client, Datetime, Ip, OrCaching, OrFlag, OrNone, OrNumber, OrText, Uid};
use crate::chatlog::first::value;
use crate::pyrepr::Value;
use crate::wire::fields::members;

/// Where the value of a field comes from.
#[derive(Clone, Copy)]
pub(super) enum Source {
    /// The client must say it.
    Client,
    /// The client, or else `None`.
    OrNone,
    /// The client, or else a flag.
    OrFlag(bool),
    /// The client, or else a number.
    OrNumber(&'static str),
    /// The client, or else a text.
    OrText(&'static str),
    /// The client, or else the configuration; `null` says nothing here.
    OrCaching,
    /// The connection, the call, the clock.
    Ip,
    Uid,
    Datetime,
}

/// What the client does not say.
pub(super) struct Facts<'a> {
    pub(super) ip: String,
    pub(super) uid: &'a str,
    pub(super) caching: bool,
    pub(super) datetime: Zoned,
}

pub(super) const CHAT: [(&str, Source); 20] = [
    ("messages", Client),
    ("model", Client),
    ("stream", OrFlag(false)),
    ("max_tokens", OrNone),
    ("response_format", OrNone),
    ("n", OrNumber("1")),
    ("temperature", OrNumber("1")),
    ("top_p", OrNumber("1")),
    ("logit_bias", OrNone),
    ("frequency_penalty", OrNumber("0")),
    ("presence_penalty", OrNumber("0")),
    ("seed", OrNone),
    ("stop", OrNone),
    ("user", OrNone),
    ("tools", OrNone),
    ("tool_choice", OrNone),
    ("ip", Ip),
    ("uid", Uid),
    ("caching", OrCaching),
    ("datetime", Datetime),
];

pub(super) const COMPLETION: [(&str, Source); 7] = [
    ("prompt", Client),
    ("model", Client),
    ("stream", OrFlag(true)),
    ("temperature", OrNumber("1")),
    ("ip", Ip),
    ("uid", Uid),
    ("datetime", Datetime),
];

pub(super) const EMBEDDING: [(&str, Source); 7] = [
    ("input", Client),
    ("model", Client),
    ("encoding_format", OrText("float")),
    ("ip", Ip),
    ("uid", Uid),
    ("caching", OrCaching),
    ("datetime", Datetime),
];

// === impl Facts ===

impl Facts<'_> {
    /// The line of a request; `None` when the client did not say what it must.
    pub(super) fn of<const N: usize>(
        &self,
        body: &str,
        fields: &[(&'static str, Source); N],
    ) -> Option<Value> {
        let names = fields.map(|(name, _)| name);
        let said = members(body, &names)?;
        let mut line = Vec::with_capacity(N);
        for ((name, source), raw) in fields.iter().zip(said) {
            let said = match raw {
                Some(raw) => Some(value(raw)?),
                None => None,
            };
            let value = match source {
                Client => said?,
                OrNone => said.unwrap_or(Value::None),
                OrFlag(usual) => said.unwrap_or(Value::Bool(*usual)),
                OrNumber(usual) => said.unwrap_or_else(|| Value::Int((*usual).to_owned())),
                OrText(usual) => said.unwrap_or_else(|| (*usual).into()),
                OrCaching => {
                    said.filter(|it| *it != Value::None).unwrap_or(Value::Bool(self.caching))
                }
                Ip => self.ip.as_str().into(),
                Uid => self.uid.into(),
                Datetime => Value::Text(self.datetime.strftime("%Y-%m-%d %H:%M:%S").to_string()),
            };
            line.push(((*name).into(), value));
        }
        Some(Value::Dict(line))
    }
}
