//! `aifd demo`: it ends well, it ends when it is told to, and it leaves nothing behind.

use crate::support::client::Client;
use crate::support::openai::get;
use crate::support::process::Site;

#[tokio::test]
async fn the_tour_ends_well_and_leaves_nothing() {
    let tmp = Site::empty();
    let site = Site::empty().env("TMPDIR", tmp.dir().to_str().unwrap());
    let said = site.run(&["demo", "--once"]).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("401") && said.out.contains("pieces"), "{}", said.out);
    assert!(!format!("{said:?}").contains("sk-"), "{said:?}");
    assert_eq!(std::fs::read_dir(tmp.dir()).unwrap().count(), 0);
}

#[tokio::test]
async fn the_demo_stays_up_until_ctrl_c() {
    let tmp = Site::empty();
    let site = Site::empty().env("TMPDIR", tmp.dir().to_str().unwrap());
    let mut process = site.spawn(&["demo"]);
    let out = process.out("the line to try", |out| out.contains("curl -N http://")).await;
    let url = out.split("curl -N http://").nth(1).unwrap();
    let addr = url.split('/').next().unwrap().parse().unwrap();
    assert_eq!(Client::h1(addr).await.ask(get("/healthz")).await.status, 200);
    process.signal("INT");
    let said = process.ended().await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(!format!("{said:?}").contains("sk-"), "{said:?}");
    assert_eq!(std::fs::read_dir(tmp.dir()).unwrap().count(), 0);
}

#[tokio::test]
async fn ctrl_c_in_the_middle_of_the_tour_leaves_nothing_either() {
    let tmp = Site::empty();
    let site = Site::empty().env("TMPDIR", tmp.dir().to_str().unwrap());
    let mut process = site.spawn(&["demo", "--once"]);
    process.out("the first step", |out| out.contains("1. A plain call")).await;
    process.signal("INT");
    let said = process.ended().await;
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(said.err.contains("the demo failed: interrupted\n"), "{}", said.err);
    assert_eq!(std::fs::read_dir(tmp.dir()).unwrap().count(), 0);
}
