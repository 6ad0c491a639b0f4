//! One form for all spellings of a JSON object.
//!
//! Order of members, white space, escapes and the spelling of numbers do not matter; all else does,
//! a number to its last digit, half a surrogate pair too. Each value is a tag, its content and a
//! mark that its content cannot hold, so two forms are equal only if the values are. Members are
//! sorted; a large object is its hash, so no byte is moved more than a bounded number of times,
//! however deep it lies.
//!
//! Why a reader of its own: serde_json gives numbers as doubles, in which large ones become equal.
//! A test holds the two to the same grammar.

mod scalar;

/// How deep a body may nest: as deep as aifd reads bodies, and many a host.
const DEPTH: usize = 127;

/// An object whose members take more is put down as their hash, bytes. Smaller than this, and a
/// conversation would be hashed in pieces that are too small to be fast.
const SMALL: usize = 4096;

/// What the top level of an object may leave out.
pub(super) struct Rules {
    /// Members that do not count.
    pub(super) left_out: &'static [&'static str],
    /// Members that count as absent when they are null.
    pub(super) nullable: &'static [&'static str],
}

/// Reads `json` and writes its form as it goes.
struct Canon<'a> {
    json: &'a [u8],
    at: usize,
    form: Vec<u8>,
    open: Vec<Open>,
    /// The members of all objects that are open, those of the innermost last.
    members: Vec<Member>,
    /// To put members in order.
    scratch: Vec<u8>,
}

/// An array or object whose end has not come.
struct Open {
    /// Where its form begins.
    form: usize,
    /// Of an object: where its members begin.
    members: Option<usize>,
    /// Nothing is in it yet.
    empty: bool,
}

/// Where the form of a member begins, where its name ends and where its value does.
#[derive(Clone, Copy)]
struct Member {
    start: usize,
    value: usize,
    end: usize,
}

/// Hashes the form of `json`; `None` if it is not one JSON object, is too deep, has a member twice
/// or a number beyond all measure.
pub(super) fn hash(json: &[u8], rules: &Rules, hasher: &mut blake3::Hasher) -> Option<()> {
    str::from_utf8(json).ok()?;
    let mut canon = Canon {
        json,
        at: 0,
        form: Vec::with_capacity(json.len() + json.len() / 4),
        open: Vec::new(),
        members: Vec::new(),
        scratch: Vec::new(),
    };
    canon.space();
    canon.expect(b'{')?;
    canon.open(b'{')?;
    while canon.open.len() > 1 || !canon.closes(b'}') {
        canon.step()?;
    }
    canon.space();
    if canon.at < json.len() {
        return None;
    }
    canon.order(0)?;
    for member in &canon.members {
        if !canon.is_left_out(member, rules) {
            hasher.update(&canon.form[member.start..member.end]);
        }
    }
    Some(())
}

// === impl Canon ===

impl Canon<'_> {
    /// Reads one value or the end of what is open.
    fn step(&mut self) -> Option<()> {
        let open = self.open.last()?;
        let (members, was_empty) = (open.members, open.empty);
        if self.closes(if members.is_some() { b'}' } else { b']' }) {
            return self.close();
        }
        if !was_empty {
            self.expect(b',')?;
            self.space();
        }
        self.open.last_mut()?.empty = false;
        if members.is_some() {
            self.name()?;
        }
        match self.next()? {
            b'{' => self.open(b'{'),
            b'[' => self.open(b'['),
            first => {
                self.scalar(first)?;
                self.ended();
                Some(())
            }
        }
    }

    fn name(&mut self) -> Option<()> {
        let start = self.form.len();
        self.expect(b'"')?;
        self.text()?;
        self.members.push(Member { start, value: self.form.len(), end: 0 });
        self.space();
        self.expect(b':')?;
        self.space();
        Some(())
    }

    fn open(&mut self, kind: u8) -> Option<()> {
        if self.open.len() == DEPTH {
            return None;
        }
        let members = (kind == b'{').then_some(self.members.len());
        self.open.push(Open { form: self.form.len(), members, empty: true });
        if members.is_none() {
            self.form.push(b'[');
        }
        Some(())
    }

    fn close(&mut self) -> Option<()> {
        let open = self.open.pop()?;
        if let Some(members) = open.members {
            self.order(members)?;
            self.put_down(open.form, members);
        } else {
            self.form.push(b']');
        }
        self.ended();
        Some(())
    }

    /// A value ended, and with it the member that it belongs to.
    fn ended(&mut self) {
        if let (Some(Open { members: Some(_), .. }), Some(member)) =
            (self.open.last(), self.members.last_mut())
        {
            member.end = self.form.len();
        }
    }

    /// Sorts the members from `first` on by their names; `None` if two have the same.
    fn order(&mut self, first: usize) -> Option<()> {
        let form = &self.form;
        let name = |member: &Member| &form[member.start..member.value];
        let members = &mut self.members[first..];
        members.sort_unstable_by(|a, b| name(a).cmp(name(b)));
        members.windows(2).all(|two| name(&two[0]) != name(&two[1])).then_some(())
    }

    /// Writes the members from `first` on, in their order, where their object began.
    fn put_down(&mut self, start: usize, first: usize) {
        let members = &self.members[first..];
        if self.form.len() - start > SMALL {
            let mut hasher = blake3::Hasher::new();
            for member in members {
                hasher.update(&self.form[member.start..member.end]);
            }
            self.form.truncate(start);
            self.form.push(b'h');
            self.form.extend_from_slice(hasher.finalize().as_bytes());
        } else {
            self.scratch.clear();
            for member in members {
                self.scratch.extend_from_slice(&self.form[member.start..member.end]);
            }
            self.form.truncate(start);
            self.form.push(b'{');
            self.form.extend_from_slice(&self.scratch);
            self.form.push(b'}');
        }
        self.members.truncate(first);
    }

    fn is_left_out(&self, member: &Member, rules: &Rules) -> bool {
        // Without its tag and its end.
        let name = &self.form[member.start + 1..member.value - 1];
        let among = |names: &[&str]| names.iter().any(|known| known.as_bytes() == name);
        among(rules.left_out)
            || &self.form[member.value..member.end] == b"n" && among(rules.nullable)
    }

    /// Whether `mark` comes next, which is taken then.
    fn closes(&mut self, mark: u8) -> bool {
        self.space();
        self.expect(mark).is_some()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (*self.json.get(self.at)? == byte).then(|| self.at += 1)
    }

    fn next(&mut self) -> Option<u8> {
        let byte = *self.json.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.json.get(self.at) {
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests;
