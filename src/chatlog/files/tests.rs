//! A directory that others touch, disks that fail, files that end in the middle of a line.

use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt, symlink};

use proptest::prelude::*;

use super::*;

const NAME: &str = "chat.jsonl";

fn place(dir: &Path, rotate: u64, keep: u64) -> Place {
    Place { dir: dir.to_owned(), names: Names::jsonl(), rotate, keep }
}

fn open(dir: &Path, rotate: u64, keep: u64) -> Files {
    Files::open(place(dir, rotate, keep)).unwrap()
}

/// The files in the order in which they were written.
fn paths(dir: &Path) -> Vec<PathBuf> {
    let names: BTreeSet<_> = fs::read_dir(dir)
        .unwrap()
        .filter_map(|entry| Names::jsonl().read(entry.unwrap().file_name().to_str()?))
        .collect();
    let closed = names.iter().map(|name| dir.join(Names::jsonl().of(name)));
    closed.chain([dir.join(NAME)]).collect()
}

fn text(dir: &Path) -> String {
    paths(dir).iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

fn total(dir: &Path) -> u64 {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn rotation_loses_no_line_and_keeps_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut expected = String::new();
    // More files than a second has numbers of three digits, and a restart in between.
    for _ in 0..2 {
        let mut files = open(dir.path(), 20, u64::MAX);
        for _ in 0..600 {
            let line = format!("line {}\n", expected.len());
            files.append(line.as_bytes()).unwrap();
            expected += &line;
        }
    }
    assert_eq!(text(dir.path()), expected);
    let files = paths(dir.path());
    assert!(files.len() > 500);
    for path in files {
        assert!(fs::metadata(&path).unwrap().len() <= 20, "{}", path.display());
    }
}

#[test]
fn names_go_up_even_when_the_clock_goes_back() {
    let dir = tempfile::tempdir().unwrap();
    let later = dir.path().join("chat.29991231-235959.999.jsonl");
    fs::write(&later, "later\n").unwrap();
    let mut files = open(dir.path(), 5, u64::MAX);
    for line in ["a...\n", "b...\n", "c...\n"] {
        files.append(line.as_bytes()).unwrap();
    }
    assert!(dir.path().join("chat.29991231-235959.1001.jsonl").exists());
    assert_eq!(text(dir.path()), "later\na...\nb...\nc...\n");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_total_is_never_exceeded(sizes in prop::collection::vec(1..60_usize, 1..80), rotate in 60..200_u64, more in 0..400_u64) {
        let dir = tempfile::tempdir().unwrap();
        let foreign = dir.path().join("notes.jsonl");
        fs::write(&foreign, "").unwrap();
        let keep = rotate + more;
        let mut files = open(dir.path(), rotate, keep);
        let mut all = String::new();
        for (at, size) in sizes.iter().enumerate() {
            let line = format!("{at:>size$}\n");
            files.append(line.as_bytes()).unwrap();
            all += &line;
            prop_assert!(total(dir.path()) <= keep);
        }
        let kept = text(dir.path());
        prop_assert!(all.ends_with(&kept), "the oldest go first");
        prop_assert!(kept.len() as u64 >= keep.min(all.len() as u64).saturating_sub(rotate), "and no more than needed");
        prop_assert!(foreign.exists());
    }

    #[test]
    fn a_torn_line_stays_alone(line in "[a-z]{1,20}", cut in any::<prop::sample::Index>()) {
        let dir = tempfile::tempdir().unwrap();
        let file = format!("whole\n{line}\n");
        let left = &file[..cut.index(file.len() + 1)];
        fs::write(dir.path().join(NAME), left).unwrap();
        let mut files = open(dir.path(), 1000, 1000);
        files.append(b"next\n").unwrap();
        files.append(b"more\n").unwrap();
        let gap = if left.is_empty() || left.ends_with('\n') { "" } else { "\n" };
        prop_assert_eq!(text(dir.path()), format!("{left}{gap}next\nmore\n"));
    }
}

#[test]
fn what_is_too_much_goes_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    for (name, size) in
        [("chat.20260101-000000.000.jsonl", 50), ("chat.20260101-000000.001.jsonl", 50), (NAME, 30)]
    {
        fs::write(dir.path().join(name), "x".repeat(size)).unwrap();
    }
    open(dir.path(), 60, 100);
    let names: Vec<_> =
        paths(dir.path()).iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["chat.20260101-000000.001.jsonl", NAME]);
}

#[test]
fn nobody_else_may_read() {
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let above = tempfile::tempdir().unwrap();
    let dir = above.path().join("a/log");
    let mut files = open(&dir, 5, 100);
    files.append(b"a...\n").unwrap();
    files.append(b"b...\n").unwrap();
    assert_eq!(mode(&dir), 0o700);
    let files = paths(&dir);
    assert_eq!(files.iter().map(|path| mode(path)).collect::<Vec<_>>(), [0o600, 0o600]);
}

#[test]
fn a_file_that_was_taken_away_is_made_again() {
    let above = tempfile::tempdir().unwrap();
    let dir = above.path().join("log");
    let (path, moved) = (dir.join(NAME), dir.join("moved"));
    let mut files = open(&dir, 1000, 1000);
    files.append(b"a\n").unwrap();
    fs::remove_file(&path).unwrap();
    files.append(b"b\n").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "b\n");
    fs::rename(&path, &moved).unwrap();
    files.append(b"c\n").unwrap();
    assert_eq!((fs::read_to_string(&moved).unwrap().as_str(), text(&dir).as_str()), ("b\n", "c\n"));
    fs::remove_file(&moved).unwrap();
    fs::rename(&path, &moved).unwrap();
    fs::write(&path, "made by another\n").unwrap();
    files.append(b"e\n").unwrap();
    assert_eq!(text(&dir), "made by another\ne\n");
    fs::remove_dir_all(&dir).unwrap();
    files.append(b"d\n").unwrap();
    assert_eq!(text(&dir), "d\n");
}

#[test]
fn two_processes_may_share_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut both = [open(dir.path(), 30, u64::MAX), open(dir.path(), 30, u64::MAX)];
    let lines: BTreeSet<_> = (0..200).map(|at| format!("line {at:03}\n")).collect();
    for (at, line) in lines.iter().enumerate() {
        both[at / 3 % 2].append(line.as_bytes()).unwrap();
    }
    let text = text(dir.path());
    assert_eq!(text.split_inclusive('\n').map(str::to_owned).collect::<BTreeSet<_>>(), lines);
}

#[test]
fn a_full_disk_is_an_error_and_passes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(NAME);
    symlink("/dev/full", &path).unwrap();
    let mut files = open(dir.path(), 1000, 1000);
    for _ in 0..2 {
        let short = files.append(b"a\n").unwrap_err();
        assert_eq!((short.written, short.cause.kind()), (0, ErrorKind::StorageFull));
        assert!(short.cause.to_string().contains(NAME));
    }
    fs::remove_file(&path).unwrap();
    files.append(b"b\n").unwrap();
    assert_eq!(text(dir.path()), "b\n");
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let dir = file.path().join("log");
    let error = Files::open(place(&dir, 1, 1)).unwrap_err();
    assert!(error.to_string().starts_with(&dir.display().to_string()), "{error}");
}
