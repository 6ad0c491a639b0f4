//! What python-dotenv 1.2 makes of a text; the table was written by it, with REAL=real set.

use super::read;

type Case = (&'static str, &'static [(&'static str, Option<&'static str>)], usize);

#[rustfmt::skip]
const CASES: &[Case] = &[
    ("", &[], 0),
    ("\n\n", &[], 0),
    ("A=1", &[("A", Some("1"))], 0),
    ("A=1\nB=2\n", &[("A", Some("1")), ("B", Some("2"))], 0),
    ("  A = 1  \n", &[("A", Some("1"))], 0),
    ("A=\nB=", &[("A", Some("")), ("B", Some(""))], 0),
    ("A", &[("A", None)], 0),
    ("A\nB=1", &[("A", None), ("B", Some("1"))], 0),
    ("export A=1", &[("A", Some("1"))], 0),
    ("export  A = 'x'", &[("A", Some("x"))], 0),
    ("exportA=1", &[("exportA", Some("1"))], 0),
    ("export=1", &[("export", Some("1"))], 0),
    ("export =2", &[], 1),
    ("# comment\nA=1 # trailing\nB=1#not\nC= # empty\nD=#value\n#E=1", &[("A", Some("1")), ("B", Some("1#not")), ("C", Some("")), ("D", Some("#value"))], 0),
    ("A='x y' # c\nB=\"x # y\"#c\nC='a'b\nD=1", &[("A", Some("x y")), ("B", Some("x # y")), ("D", Some("1"))], 1),
    ("A='it\\'s'\nB='a\\nb\\\\c'\nC=\"a\\nb\\t\\\"q\\\" \\x \\\\n\"\n", &[("A", Some("it's")), ("B", Some("a\\nb\\c")), ("C", Some("a\nb\t\"q\" \\x \\n"))], 0),
    ("A=\"line 1\nline 2\"\nB='l1\n\nl3'\nC=3", &[("A", Some("line 1\nline 2")), ("B", Some("l1\n\nl3")), ("C", Some("3"))], 0),
    ("FORWARD_CONFIG='[\n  {\"base_url\":\"http://a\", \"route\":\"/\", \"type\":\"openai\"} # no comment\n]'\nX=1", &[("FORWARD_CONFIG", Some("[\n  {\"base_url\":\"http://a\", \"route\":\"/\", \"type\":\"openai\"} # no comment\n]")), ("X", Some("1"))], 0),
    ("A='unclosed\nB=2\nC=3", &[("B", Some("2")), ("C", Some("3"))], 1),
    ("A=\"unclosed\nB=2", &[("B", Some("2"))], 1),
    ("=x\nA=1", &[("A", Some("1"))], 1),
    ("A B=1\nC=2", &[("C", Some("2"))], 1),
    ("'A B'=1\n'C'='d'\n''=x\n", &[("A B", Some("1")), ("C", Some("d"))], 1),
    ("A==b=c", &[("A", Some("=b=c"))], 0),
    ("A=a'b'c\nB=a\"b", &[("A", Some("a'b'c")), ("B", Some("a\"b"))], 0),
    ("A=`x y`", &[("A", Some("`x y`"))], 0),
    ("A=1\r\nB='x\r\ny'\r\nC=3\rD=4", &[("A", Some("1")), ("B", Some("x\ny")), ("C", Some("3")), ("D", Some("4"))], 0),
    ("\u{feff}A=1", &[("A", Some("1"))], 0),
    ("A=é 你\u{3000}#c\nB=x\u{a0}# c", &[("A", Some("é 你")), ("B", Some("x"))], 0),
    ("A=1\nA=2", &[("A", Some("2"))], 0),
    ("A=1\nB=${A}2\nC='${B}'\nD=\"${NONE}|${NONE:-def}|${A:-no}|${}\"", &[("A", Some("1")), ("B", Some("12")), ("C", Some("12")), ("D", Some("|def|1|"))], 0),
    ("A=${REAL}\nREAL=file\nB=${REAL}", &[("A", Some("real")), ("REAL", Some("file")), ("B", Some("real"))], 0),
    ("A=${X\nB=${A:x}${A:-${B}}\nC=$A", &[("A", Some("${X")), ("B", Some("${A:x}${X}")), ("C", Some("$A"))], 0),
    ("A=x ${ ${E:-y}", &[("A", Some("x y"))], 0),
    ("A\nB=[${A}]", &[("A", None), ("B", Some("[]"))], 0),
    ("A= \"x\"\nB=\t'y'\t", &[("A", Some("x")), ("B", Some("y"))], 0),
    ("A=x\\ny", &[("A", Some("x\\ny"))], 0),
    ("A=a\t#b\nB=a #b #c\n  C=1", &[("A", Some("a")), ("B", Some("a")), ("C", Some("1"))], 0),
    ("A='' \nB=\"\"\n", &[("A", Some("")), ("B", Some(""))], 0),
    ("A='a\\\\'\nB=2", &[("A", Some("a\\")), ("B", Some("2"))], 0),
    ("A=\"a\\\\\"\nB=2", &[("A", Some("a\\")), ("B", Some("2"))], 0),
    ("A=\"\\", &[], 1),
    ("A= #c", &[("A", Some(""))], 0),
    ("A=#", &[("A", Some("#"))], 0),
    ("A = # c\nB", &[("A", Some("")), ("B", None)], 0),
    ("A\t=\t1", &[("A", Some("1"))], 0),
    ("=====\nA=1", &[("A", Some("1"))], 1),
    ("export A\nexport B=2", &[("A", None), ("B", Some("2"))], 0),
    ("A=1;B=2", &[("A", Some("1;B=2"))], 0),
    ("A='1' B='2'\nC=3", &[("C", Some("3"))], 1),
    ("A=\u{1c}1\u{1d}\nB=2\u{b}# x", &[("A", Some("1")), ("B", Some("2"))], 0),
    ("1A=2\nA-B.C=3\nK#x=1\nL=2", &[("1A", Some("2")), ("A-B.C", Some("3")), ("K", None), ("L", Some("2"))], 0),
    ("A=${B}\nB=1\nC=${B:-}", &[("A", Some("")), ("B", Some("1")), ("C", Some("1"))], 0),
    (" \n  # c\n\n A=1\n\t\n", &[("A", Some("1"))], 0),
];

#[test]
fn every_text_is_read_as_python_dotenv_reads_it() {
    let env = |name: &str| (name == "REAL").then(|| "real".to_owned());
    for &(text, expected, unread) in CASES {
        let read = read(text, &env);
        // A dict: the last value, at the first place.
        let mut said: Vec<(&str, Option<&str>)> = Vec::new();
        for variable in &read.variables {
            let value = variable.value.as_deref();
            match said.iter_mut().find(|(name, _)| *name == variable.name) {
                Some(known) => known.1 = value,
                None => said.push((&variable.name, value)),
            }
        }
        assert_eq!(said, expected, "{text:?}");
        assert_eq!(read.unread.len(), unread, "{text:?}: {:?}", read.unread);
    }
}

#[test]
fn what_is_not_read_is_told_by_line_and_name() {
    let text = "A=1\n\nexport FORWARD_KEY='one\nB=\"x\ny\"\n=2\n";
    let read = read(text, &|_| None);
    let unread: Vec<_> = read.unread.iter().map(|it| (it.line, it.name.as_str())).collect();
    assert_eq!(unread, [(3, "FORWARD_KEY"), (6, "")]);
    let lines: Vec<_> = read.variables.iter().map(|it| (it.name.as_str(), it.line)).collect();
    assert_eq!(lines, [("A", 1), ("B", 4)]);
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "[A-C'\"=# \\\\\n\r\t${}:x\u{e9}-]{0,40}") {
        let _ = read(&text, &|_| Some("é".to_owned()));
    }
}
