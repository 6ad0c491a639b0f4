use super::state::UNREAD_LEAST;
use super::*;
use crate::cache::{Api, Asked, Tenant};

fn key(text: &str) -> Key {
    let body = format!("{{\"prompt\":\"{text}\"}}");
    let tenant = Tenant::Group("g");
    let (api, path) = (Api::Chat, "/v1/chat/completions");
    let asked = Asked { api, tenant, route: "/", upstream: "u", path, body: body.as_bytes() };
    Key::of(&asked).unwrap()
}

fn fills() -> Fills {
    Fills::new(1 << 20)
}

fn head() -> Head {
    Head { status: StatusCode::OK, headers: HeaderMap::new() }
}

async fn said(reader: &mut Reader) -> String {
    match reader.next().await {
        Next::Head(head) => head.status.to_string(),
        Next::Piece(piece) => String::from_utf8(piece.data.to_vec()).unwrap(),
        Next::End(end) => format!("{end:?}"),
    }
}

async fn all(mut reader: Reader) -> String {
    let mut all = Vec::new();
    while !matches!(all.last().map(String::as_str), Some("Whole" | "Broken")) {
        all.push(said(&mut reader).await);
    }
    all.join(" ")
}

#[tokio::test]
async fn whoever_joins_reads_from_the_start() {
    let fills = fills();
    let (first, writer) = fills.join(key("a"), 1000, true);
    let writer = writer.unwrap();
    let (second, none) = fills.join(key("a"), 1000, true);
    assert!(none.is_none() && fills.join(key("b"), 1000, true).1.is_some());
    writer.head(head());
    writer.push("x".into());
    let (third, _) = fills.join(key("a"), 1000, true);
    writer.push("y".into());
    writer.end(End::Whole);
    for reader in [first, second, third] {
        assert_eq!(all(reader).await, "200 OK x y Whole");
    }
    assert_eq!(writer.whole().unwrap().1.len(), 2);
    let (late, none) = fills.join(key("a"), 1000, true);
    assert!(none.is_none(), "one that is not kept yet is joined");
    assert_eq!(all(late).await, "200 OK x y Whole");
    drop(writer);
    assert!(fills.join(key("a"), 1000, true).1.is_some(), "one that is over is not joined");
}

#[tokio::test]
async fn a_refusal_is_for_those_who_are_there() {
    let fills = fills();
    let (first, writer) = fills.join(key("a"), 1000, true);
    let writer = writer.unwrap();
    let (second, _) = fills.join(key("a"), 1000, true);
    writer.head(Head { status: StatusCode::SERVICE_UNAVAILABLE, headers: HeaderMap::new() });
    writer.end(End::Whole);
    assert!(fills.join(key("a"), 1000, true).1.is_some(), "who comes later begins anew");
    for reader in [first, second] {
        assert_eq!(all(reader).await, "503 Service Unavailable Whole");
    }
}

#[tokio::test]
async fn a_writer_that_is_gone_leaves_a_broken_answer() {
    let (reader, writer) = fills().begin(1000, true);
    writer.head(head());
    drop(writer);
    assert_eq!(all(reader).await, "200 OK Broken");
    let (reader, writer) = fills().begin(1000, true);
    drop(writer);
    assert_eq!(all(reader).await, "Broken");
}

#[tokio::test]
async fn the_last_reader_gives_it_up_and_no_other() {
    let fills = fills();
    let (first, writer) = fills.join(key("a"), 1000, true);
    let writer = writer.unwrap();
    let (second, _) = fills.join(key("a"), 1000, true);
    drop(first);
    assert!(!writer.is_deserted());
    let leaving = async {
        tokio::task::yield_now().await;
        drop(second);
    };
    tokio::join!(writer.deserted(), leaving);
    assert!(writer.is_deserted());
    assert!(fills.join(key("a"), 1000, true).1.is_some(), "one that is given up is not joined");
}

#[tokio::test]
async fn the_quickest_reader_makes_room() {
    let (mut reader, writer) = fills().begin(4, true);
    writer.head(head());
    writer.push("aa".into());
    writer.room().await;
    writer.push("bb".into());
    assert_eq!(said(&mut reader).await, "200 OK");
    let reading = async {
        tokio::task::yield_now().await;
        said(&mut reader).await
    };
    let (_, first) = tokio::join!(writer.room(), reading);
    assert_eq!(first, "aa");
    writer.push("cc".into());
    drop(reader);
    writer.room().await;
}

#[tokio::test]
async fn who_falls_too_far_back_loses_the_answer_and_nobody_else_does() {
    let fills = fills();
    let (mut quick, writer) = fills.join(key("a"), 4, true);
    let (slow, _) = fills.join(key("a"), 4, true);
    let writer = writer.unwrap();
    writer.head(head());
    assert_eq!(said(&mut quick).await, "200 OK");
    for piece in ["aa", "bb", "cc", "dd"] {
        writer.push(piece.into());
        assert_eq!(said(&mut quick).await, piece);
    }
    writer.end(End::Whole);
    assert_eq!(all(slow).await, "200 OK Broken");
    assert_eq!(said(&mut quick).await, "Whole");
    assert!(writer.whole().is_none());
    assert!(fills.join(key("a"), 4, true).1.is_some(), "its start is gone");
}

#[tokio::test]
async fn beyond_what_all_may_hold_nothing_is_kept_and_no_reader_loses_a_byte() {
    let fills = Fills::new(5);
    let (mut quick, writer) = fills.join(key("a"), 1000, true);
    let (mut slow, _) = fills.join(key("a"), 1000, true);
    let writer = writer.unwrap();
    writer.head(head());
    assert_eq!([said(&mut quick).await, said(&mut slow).await], ["200 OK", "200 OK"]);
    for piece in ["aa", "bb", "cc", "dd"] {
        writer.push(piece.into());
        assert_eq!(said(&mut quick).await, piece);
    }
    assert_eq!(fills.held(), 8, "the slow one needs all of it");
    assert_eq!([said(&mut slow).await, said(&mut slow).await], ["aa", "bb"]);
    writer.push("ee".into());
    assert_eq!(fills.held(), 6, "what both have read is gone");
    writer.end(End::Whole);
    assert!(writer.whole().is_none(), "so it is not kept");
    assert!(fills.join(key("a"), 1000, true).1.is_some(), "nor joined");
    assert_eq!([all(quick).await, all(slow).await], ["ee Whole", "cc dd ee Whole"]);
    drop(writer);
    assert_eq!(fills.held(), 0);
}

#[tokio::test]
async fn beyond_what_all_may_hold_a_host_waits_for_its_reader() {
    let fills = Fills::new(5);
    let (mut reader, writer) = fills.begin(1 << 20, true);
    writer.head(head());
    let large = "x".repeat(UNREAD_LEAST + 1);
    writer.push(large.clone().into());
    assert_eq!(said(&mut reader).await, "200 OK");
    let reading = async {
        tokio::task::yield_now().await;
        said(&mut reader).await
    };
    let (_, read) = tokio::join!(writer.room(), reading);
    assert_eq!(read, large);
}
