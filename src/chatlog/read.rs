//! Reads a file of the log back.
//!
//! Why not just lines: a process that was killed leaves a torn line, and that is no fault of the file.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use serde_json::value::RawValue;

/// The records of one file, oldest first, each the JSON text of its object.
#[derive(Debug)]
pub struct Lines<R = BufReader<File>> {
    from: R,
    line: Vec<u8>,
}

/// Opens a file of the log. Torn and blank lines are stepped over.
///
/// # Errors
/// The file cannot be opened; an item is an error when it cannot be read further.
pub fn read(path: &Path) -> io::Result<Lines> {
    Ok(Lines { from: BufReader::new(File::open(path)?), line: Vec::new() })
}

// === impl Lines ===

impl<R: BufRead> Iterator for Lines<R> {
    type Item = io::Result<Box<RawValue>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.line.clear();
            match self.from.read_until(b'\n', &mut self.line) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
            if let Some(record) = whole(&self.line) {
                return Some(Ok(record));
            }
        }
    }
}

/// The beginning of an object is never an object, so what parses is whole.
fn whole(line: &[u8]) -> Option<Box<RawValue>> {
    let record: Box<RawValue> = serde_json::from_slice(line).ok()?;
    record.get().starts_with('{').then_some(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(bytes: &[u8]) -> Vec<String> {
        let lines = Lines { from: bytes, line: Vec::new() };
        lines.map(|record| record.unwrap().get().to_owned()).collect()
    }

    #[test]
    fn a_file_that_is_cut_anywhere_gives_the_whole_lines_before() {
        let lines = ["{\"id\":\"a\"}", "{\"é\":[1,{\"x\":\"}\\n\"}]}", "{}"];
        let file = lines.map(|line| format!("{line}\n")).concat();
        for cut in 0..=file.len() {
            let mut end = 0;
            let before = lines.iter().take_while(|line| {
                end += line.len() + 1;
                end <= cut + 1
            });
            let before: Vec<&str> = before.copied().collect();
            assert_eq!(records(&file.as_bytes()[..cut]), before, "cut at {cut}");
            let mended = [&file.as_bytes()[..cut], b"\n{\"after\":1}\n"].concat();
            assert_eq!(records(&mended)[before.len()..], ["{\"after\":1}"], "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_record_is_stepped_over() {
        assert_eq!(records(b"\n\r\n \n7\n[]\nnull\n{\"a\"\n\xff\n{\"b\":1}\r\n"), ["{\"b\":1}"]);
        assert!(read(Path::new("/no/such/file")).is_err());
    }
}
