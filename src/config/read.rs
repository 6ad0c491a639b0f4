//! Text to `Raw`, with every wrong type and unknown key at once.
//!
//! Why a loop: serde stops at its first error, so that key is reported, taken out, and the rest
//! read again. Each turn takes one key out, so it ends.

use serde_path_to_error::{Path, Segment};
use toml::de::DeTable;
use toml::{Table, Value};

use super::error::Fault;
use super::findings::Findings;
use super::keys;
use super::raw::Raw;
use super::written::{Written, join, position};

/// The text as TOML, or its syntax error.
pub(super) fn syntax(text: &str) -> Result<(Table, Written), Fault> {
    let document = DeTable::parse(text).map_err(|error| broken(text, &error, error.message()))?;
    let written = Written::new(text, document.get_ref());
    // Read again for its numbers, which `DeTable` leaves as text. The error quotes the number.
    let number = |error| broken(text, &error, "the number is out of range");
    let table = text.parse::<Table>().map_err(number)?;
    Ok((table, written))
}

/// The table as `Raw`; what does not fit is a fault and has its default.
pub(super) fn mirror(mut table: Table, findings: &mut Findings<'_>) -> Raw {
    loop {
        let error = match serde_path_to_error::deserialize(Value::Table(table.clone())) {
            Ok(raw) => return raw,
            Err(error) => error,
        };
        let Some((inside, name)) = take_out(&mut table, error.path()) else {
            findings.fault("the file", "does not fit", "compare it with conf/aifd.toml");
            return Raw::default();
        };
        let key = join(&inside, &name);
        match keys::find(&key) {
            Some(_) => findings.wrong(&key),
            None => findings.unknown(&inside, &name),
        }
    }
}

/// The place and the message alone: the whole error quotes the line, with the secrets in it.
fn broken(text: &str, error: &toml::de::Error, what: &str) -> Fault {
    let (line, column) = position(text, error.span().map_or(0, |span| span.start));
    Fault {
        key: format!("line {line}, column {column}"),
        found: String::new(),
        what: what.trim().replace('\n', "; "),
        fix: "correct the TOML there; text stands in \"quotes\", lists in [brackets]".to_owned(),
    }
}

/// Takes the innermost key of a path out of the table; gives its table's path and its name.
fn take_out(table: &mut Table, path: &Path) -> Option<(String, String)> {
    let steps: Vec<&Segment> = path.iter().collect();
    let last = steps.iter().rposition(|step| matches!(step, Segment::Map { .. }))?;
    let Segment::Map { key: name } = steps[last] else {
        return None;
    };
    let (outer, rest) = match steps[..last].split_first() {
        None => return table.remove(name).map(|_| (String::new(), name.clone())),
        Some((Segment::Map { key }, rest)) => (key, rest),
        Some(_) => return None,
    };
    let mut inside = join("", outer);
    let mut value = table.get_mut(outer)?;
    for step in rest {
        match step {
            Segment::Map { key } => {
                inside = join(&inside, key);
                value = value.get_mut(key)?;
            }
            Segment::Seq { index } => {
                inside = format!("{inside}[{index}]");
                value = value.get_mut(index)?;
            }
            Segment::Enum { .. } | Segment::Unknown => return None,
        }
    }
    value.as_table_mut()?.remove(name).map(|_| (inside, name.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_syntax_error_has_its_place_and_shows_no_secret() {
        for (text, key) in [
            ("[server\n", "line 1, column 8"),
            ("a = 1\n\n  b = \n", "line 3, column 7"),
            ("[admin]\ntoken = sk-secret\n", "line 2, column 9"),
            ("a = 99999999999999999999", "line 1, column 5"),
        ] {
            let Err(fault) = syntax(text) else { panic!("{text:?} is TOML") };
            assert_eq!(fault.key, key, "{text:?}: {fault:?}");
            assert!(!format!("{fault:?}").contains("sk-secret"), "{fault:?}");
        }
    }

    #[test]
    fn every_wrong_key_is_named() {
        let text = "colour = 1\nroute = 'a'\n[server]\nworkers = -1\nlisten = [1]\nworker = 2\n\
            [[upstream]]\nname = 'a'\n[[upstream]]\ntimeouts = { idle = 'x', idel = '1s' }\n\
            http = '3'\n'odd key' = 2\n";
        let (table, written) = syntax(text).unwrap_or_else(|fault| panic!("{fault:?}"));
        let mut findings = Findings::new(written, &|_| None);
        let raw = mirror(table, &mut findings);
        assert_eq!(raw.upstream[0].name, "a");
        let faults = findings.conclude(None, "a").expect_err("it is full of faults").faults;
        let keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
        let expected = [
            "colour",
            "route",
            "server.workers",
            "server.listen",
            "server.worker",
            "upstream[1].timeouts.idle",
            "upstream[1].timeouts.idel",
            "upstream[1].http",
            "upstream[1].\"odd key\"",
        ];
        assert_eq!(keys, expected);
    }
}
