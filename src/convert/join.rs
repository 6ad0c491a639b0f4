//! Requests and answers, joined by their uid.
//!
//! Why twice: the items stand in the order of the requests, so an answer that never comes would
//! hold back everything behind it. The first reading only counts, and finds those that stay alone.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;

use crate::pyrepr::Value;

use super::Layout;
use super::layout;
use super::line::Said;
use super::target::Target;

/// The first reading: who is there.
#[derive(Default)]
pub(super) struct Tally {
    join: Join<usize, usize>,
    requests: usize,
    answers: usize,
}

/// Those without a partner, by their number, and how many there are of all.
pub(super) struct Unpaired {
    requests: HashSet<usize>,
    answers: HashSet<usize>,
    counts: (usize, usize),
}

/// The second reading: what is written.
pub(super) struct Pairs<'u> {
    unpaired: &'u Unpaired,
    layout: Layout,
    seen: (usize, usize),
    /// Calls in their order, from the first whose answer has not come yet.
    open: VecDeque<(Value, Option<Value>)>,
    /// The place of the first of them among all calls.
    first: usize,
    join: Join<usize, Value>,
}

/// What waits for its partner, by uid; a uid that is there twice is taken in order.
struct Join<R, A> {
    requests: HashMap<String, VecDeque<R>>,
    answers: HashMap<String, VecDeque<A>>,
}

// === impl Tally ===

impl Tally {
    pub(super) fn add(&mut self, said: &Said) {
        match said {
            Said::Request(uid, _) => {
                self.join.request(uid, self.requests);
                self.requests += 1;
            }
            Said::Answer(uid, _) => {
                self.join.answer(uid, self.answers);
                self.answers += 1;
            }
            Said::Call(..) => {
                self.requests += 1;
                self.answers += 1;
            }
            Said::Stray => self.answers += 1,
        }
    }

    /// Requests and answers so far.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.requests, self.answers)
    }

    pub(super) fn finish(self) -> Unpaired {
        let counts = self.counts();
        let requests = self.join.requests.into_values().flatten().collect();
        let answers = self.join.answers.into_values().flatten().collect();
        Unpaired { requests, answers, counts }
    }
}

// === impl Unpaired ===

impl Unpaired {
    pub(super) fn counts(&self) -> (usize, usize) {
        self.counts
    }
}

// === impl Pairs ===

impl<'u> Pairs<'u> {
    pub(super) fn new(unpaired: &'u Unpaired, layout: Layout) -> Self {
        let join = Join::default();
        Self { unpaired, layout, seen: (0, 0), open: VecDeque::new(), first: 0, join }
    }

    /// Takes the next line, and writes the calls that are complete up to the first that is not.
    pub(super) fn add(&mut self, said: Said, target: &mut Target) -> io::Result<()> {
        let (request, answer) = self.seen;
        let pair = match said {
            Said::Request(uid, value) => {
                self.seen.0 += 1;
                if self.unpaired.requests.contains(&request) {
                    return Ok(());
                }
                self.open.push_back((value, None));
                self.join.request(&uid, self.first + self.open.len() - 1)
            }
            Said::Answer(uid, value) => {
                self.seen.1 += 1;
                if self.unpaired.answers.contains(&answer) {
                    return Ok(());
                }
                self.join.answer(&uid, value)
            }
            Said::Call(request, answer) => {
                self.seen = (self.seen.0 + 1, self.seen.1 + 1);
                self.open.push_back((request, Some(answer)));
                None
            }
            Said::Stray => {
                self.seen.1 += 1;
                return Ok(());
            }
        };
        if let Some((place, value)) = pair
            && let Some(call) = self.open.get_mut(place - self.first)
        {
            call.1 = Some(value);
        }
        self.write(target)
    }

    fn write(&mut self, target: &mut Target) -> io::Result<()> {
        while self.open.front().is_some_and(|(_, answer)| answer.is_some()) {
            let Some((request, Some(answer))) = self.open.pop_front() else { break };
            self.first += 1;
            target.item(&layout::item(request, answer, self.layout))?;
        }
        Ok(())
    }

    /// Writes the rest: files that were changed in between leave calls open that were not.
    pub(super) fn finish(mut self, target: &mut Target) -> io::Result<()> {
        self.open.retain(|(_, answer)| answer.is_some());
        self.write(target)
    }
}

// === impl Join ===

impl<R, A> Join<R, A> {
    fn request(&mut self, uid: &str, request: R) -> Option<(R, A)> {
        match take(&mut self.answers, uid) {
            Some(answer) => Some((request, answer)),
            None => {
                self.requests.entry(uid.to_owned()).or_default().push_back(request);
                None
            }
        }
    }

    fn answer(&mut self, uid: &str, answer: A) -> Option<(R, A)> {
        match take(&mut self.requests, uid) {
            Some(request) => Some((request, answer)),
            None => {
                self.answers.entry(uid.to_owned()).or_default().push_back(answer);
                None
            }
        }
    }
}

impl<R, A> Default for Join<R, A> {
    fn default() -> Self {
        Self { requests: HashMap::new(), answers: HashMap::new() }
    }
}

/// The first that waits under a uid.
fn take<T>(waiting: &mut HashMap<String, VecDeque<T>>, uid: &str) -> Option<T> {
    let line = waiting.get_mut(uid)?;
    let first = line.pop_front();
    if line.is_empty() {
        waiting.remove(uid);
    }
    first
}
