//! Lines, letter for letter.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::chatlog::capture::Capture;
use crate::chatlog::record::Call;

fn record(body: &str) -> Record {
    let call = Call {
        id: "r1".into(),
        time: "2026-08-12T10:15:00.1239Z".parse().unwrap(),
        arrived: tokio::time::Instant::now(),
        client: Some([10, 0, 0, 9].into()),
        method: http::Method::POST,
        path: "/v1/chat/completions?key=sk-secret".into(),
        route: "/v1".into(),
    };
    let mut record = Record::new(call, None);
    record.body_bytes = body.len() as u64;
    record.body = Some(Bytes::copy_from_slice(body.as_bytes()));
    record
}

fn text(record: Record) -> String {
    let before = "{ \"another\": \"line\" }\n";
    let mut lines = before.as_bytes().to_vec();
    write(record, &mut Clock::local(), &mut lines);
    let lines = String::from_utf8(lines).unwrap();
    let line = lines.strip_prefix(before).unwrap();
    assert_eq!(line.matches('\n').count(), 1);
    line.trim_end().to_owned()
}

#[test]
fn a_line_has_its_members_in_order() {
    let mut full = record(
        "{\"model\":\"m\",\n \"messages\": [ {\"role\":\"user\",\n \"content\":\"a \\\" b\\n\"} ],\r\n\t\"x\":1e999, \"stream\":true}",
    );
    full.key = Some("ann".into());
    full.model = Some("m".into());
    full.stream = true;
    full.upstream = Some("10.0.0.1:8000".into());
    full.attempts = 2;
    full.status = Some(200);
    full.ttft = Some(Duration::from_micros(1234));
    full.duration = Duration::from_millis(20);
    full.ended = Some(Ended::UpstreamCut);
    full.error = Some("upstream_cut".into());
    full.capture = Capture::new(258, Some("text/event-stream"), None);
    full.capture.push(&Bytes::from_static(
        b"data: {\"choices\":[{\"delta\":{\"content\":\"hello\"}}],\"usage\":{\"prompt_tokens\":1, \"completion_tokens\":2}}\n\n",
    ));
    let line = text(full);
    let (before, after) = line.split_once(r#""time":""#).unwrap();
    assert_eq!(before, r#"{"id":"r1","#);
    let (time, after) = after.split_at(29);
    assert!(
        time.parse::<jiff::Timestamp>().unwrap() == "2026-08-12T10:15:00.123Z".parse().unwrap(),
        "{time}"
    );
    let expected = concat!(
        r#"","key":"ann","client":"10.0.0.9","method":"POST","path":"/v1/chat/completions","route":"/v1","#,
        r#""upstream":"10.0.0.1:8000","model":"m","stream":true,"#,
        r#""messages":[{"role":"user","content":"a \" b\n"}],"parameters":{"x":1e999},"body_bytes":98,"#,
        r#""status":200,"answer":{"choices":[{"index":0,"role":null,"content":"he","finish_reason":null}]},"#,
        r#""usage":{"prompt_tokens":1,"completion_tokens":2},"ttft_ms":1.234,"duration_ms":20.0,"#,
        r#""prompt_tokens":1,"completion_tokens":2,"attempts":2,"ended":"upstream_cut","error":"upstream_cut","truncated":true}"#,
    );
    assert_eq!(after, expected);
}

#[test]
fn bodies_of_every_kind() {
    let table = [
        (r#"{"prompt":"p","n":1}"#, r#""parameters":{"prompt":"p","n":1},"body_bytes""#),
        ("{}", r#""stream":false,"parameters":{},"body_bytes":2"#),
        ("not json", r#""stream":false,"body_bytes":8"#),
        ("[]", r#""stream":false,"body_bytes":2"#),
        (r#"{"messages":"odd"}"#, r#""messages":"odd","parameters":{}"#),
        (
            r#"{"t":1.10,"t":2,"\u006d\n":"\u00e9\ud800"}"#,
            r#""parameters":{"t":1.10,"t":2,"m\n":"\u00e9\ud800"}"#,
        ),
    ];
    for (body, expected) in table {
        let line = text(record(body));
        assert!(line.contains(expected), "{line}");
    }
    let mut unheld = record("");
    unheld.body = None;
    assert!(text(unheld).contains(
        r#""stream":false,"body_bytes":0,"status":null,"answer":null,"usage":null,"ttft_ms":null"#
    ));
}

/// JSON with white space wherever it may stand.
fn spaced(value: &Value, space: &str) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| spaced(item, space)).collect();
            format!("{space}[{}{space}]", items.join(&format!("{space},{space}")))
        }
        other => format!("{space}{other}{space}"),
    }
}

proptest! {
    #[test]
    fn compacting_leaves_out_space_and_nothing_else(texts in prop::collection::vec(".*", 0..6), space in "[ \t\r\n]{0,3}") {
        let value = Value::from(texts);
        let mut json = spaced(&Value::Array(vec![value.clone(), 1.5.into(), value.clone()]), &space).into_bytes();
        compact(&mut json);
        let expected = format!("[{value},1.5,{value}]");
        prop_assert_eq!(String::from_utf8(json).unwrap(), expected);
    }
}
