//! Boxes for a terminal: a title in the upper edge, rows of a name and its value.
//!
//! The trap: a letter may be two columns wide or none, so columns are counted and never letters.

use unicode_width::UnicodeWidthStr;

/// A box.
pub(super) struct Panel {
    pub(super) title: &'static str,
    pub(super) rows: Vec<Row>,
}

/// One line of it, or more when the value is long.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) value: String,
    /// In red, where there are colours.
    pub(super) alarm: bool,
}

/// Columns between the edges, at least.
const LEAST: usize = 62;

/// Columns between the edges of a box on a terminal of 80; only a word that is longer widens it.
const MOST: usize = 78;

/// Blanks before a name, and between the longest name and the values.
const INDENT: usize = 2;
const GAP: usize = 2;

/// The first column of the values, at least.
const VALUES: usize = 22;

/// All boxes, one below the other, equally wide.
pub(super) fn draw(panels: &[Panel], colour: bool) -> String {
    let drawn: Vec<(&str, Vec<Line>)> =
        panels.iter().map(|panel| (panel.title, panel.lines())).collect();
    let widths = drawn.iter().flat_map(|(title, lines)| {
        lines.iter().map(|line| line.text.width() + INDENT).chain([title.width() + 4])
    });
    let width = widths.fold(LEAST, usize::max);
    let mut text = String::new();
    for (title, lines) in &drawn {
        text += &edge(title, width);
        for line in lines {
            text += &line.drawn(width, colour);
        }
        text += &format!("╰{}╯\n", "─".repeat(width));
    }
    text
}

fn edge(title: &str, width: usize) -> String {
    let free = width.saturating_sub(title.width() + 2);
    let (left, right) = ("─".repeat(free / 2), "─".repeat(free - free / 2));
    format!("╭{left} {title} {right}╮\n")
}

/// A line between the edges, without the blanks behind it.
struct Line {
    text: String,
    /// Where the value begins, bytes, if it is in red.
    alarm: Option<usize>,
}

/// A text in pieces that fit, cut at blanks.
fn pieces(text: &str, most: usize) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match pieces.last_mut() {
            Some(piece) if piece.width() + 1 + word.width() <= most => {
                piece.push(' ');
                piece.push_str(word);
            }
            _ => pieces.push(word.to_owned()),
        }
    }
    pieces
}

// === impl Panel ===

impl Panel {
    fn lines(&self) -> Vec<Line> {
        let names = self.rows.iter().map(|row| row.name.width() + INDENT + GAP);
        let column = names.fold(VALUES, usize::max);
        let most = (MOST - INDENT).saturating_sub(column).max(LEAST / 2);
        let mut lines = vec![Line { text: String::new(), alarm: None }];
        for row in &self.rows {
            let name = clean(&row.name);
            let mut before = format!("{:INDENT$}{name}", "");
            for piece in pieces(&clean(&row.value), most) {
                let blanks = column.saturating_sub(before.width());
                let text = format!("{before}{:blanks$}{piece}", "");
                let alarm = row.alarm.then(|| text.len() - piece.len());
                lines.push(Line { text, alarm });
                before.clear();
            }
        }
        lines
    }
}

/// Nothing that would steer the terminal.
fn clean(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

// === impl Row ===

impl Row {
    pub(super) fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into(), alarm: false }
    }
}

// === impl Line ===

impl Line {
    fn drawn(&self, width: usize, colour: bool) -> String {
        let blanks = width.saturating_sub(self.text.width());
        let (calm, red) = self.text.split_at(self.alarm.unwrap_or(self.text.len()));
        match colour && !red.is_empty() {
            true => format!("│{calm}\x1b[31m{red}\x1b[0m{:blanks$}│\n", ""),
            false => format!("│{}{:blanks$}│\n", self.text, ""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(rows: &[(&str, &str)]) -> Panel {
        let rows = rows.iter().map(|(name, value)| Row::new(*name, *value)).collect();
        Panel { title: "🤗 a title", rows }
    }

    #[test]
    fn every_line_is_equally_wide() {
        let long = format!("http://h/{}", "名".repeat(60));
        let many = "[{'level': 0, 'limit': '100/2minutes'}] ".repeat(5);
        let panels = [
            panel(&[
                ("base url", "http://127.0.0.1/长名字"),
                ("🤗", "café"),
                ("e\u{301}", "x\u{7}y"),
            ]),
            panel(&[("/v1/chat/completions/of/a/very/long/path/that/goes/on", &many)]),
            panel(&[("base url", &long), ("route prefix", "/")]),
            panel(&[]),
        ];
        for from in 0..panels.len() {
            let text = draw(&panels[from..], false);
            let widths: Vec<usize> = text.lines().map(UnicodeWidthStr::width).collect();
            assert!(widths.iter().all(|width| *width == widths[0]), "{widths:?}\n{text}");
            assert!(widths[0] >= LEAST + 2 && !text.contains('\u{7}'), "{text}");
        }
    }

    #[test]
    fn a_long_value_goes_on_below_itself() {
        let text = draw(&[panel(&[("path", &"word ".repeat(30)), ("next", "one")])], false);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[2].starts_with("│  path                word word"), "{text}");
        assert!(lines[3].starts_with("│                      word word"), "{text}");
        assert!(lines[lines.len() - 2].starts_with("│  next                one "), "{text}");
        assert_eq!(text.matches("word").count(), 30);
        assert!(lines.iter().all(|line| line.width() <= MOST + 2), "{text}");
    }

    #[test]
    fn red_is_for_terminals_and_takes_no_column() {
        let mut panel = panel(&[("forward keys", "False")]);
        panel.rows[0].alarm = true;
        let (plain, red) = (draw(&[panel], false), "\x1b[31mFalse\x1b[0m");
        assert!(!plain.contains('\x1b'));
        let mut again = self::panel(&[("forward keys", "False")]);
        again.rows[0].alarm = true;
        assert_eq!(draw(&[again], true).replace(red, "False"), plain);
    }
}
