//! An answer on its way through the tap: held until it says something, and commented on while it is
//! silent. Pure: Pingora's tasks in, tasks out.
//!
//! Why here and not in a hook: a hook sees the pieces but cannot hold a head back, and it is not
//! called while nothing comes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pingora::http::ResponseHeader;
use pingora::protocols::http::HttpTask;
use tokio::time::Instant;

use super::beat::{Beat, COMMENT};
use super::early::{Early, Told};
use super::hold::{HELD_MOST, Held, Hold};
use super::paced::Paced;
use crate::pace::Pacer;
use crate::retry::{self, Attempt, Failure, Policy, Verdict};
use crate::route::Streaming;

/// What is known of a stream when its head comes.
#[derive(Debug)]
pub(in crate::edge) struct Opening {
    pub(in crate::edge) rules: Streaming,
    pub(in crate::edge) chances: Chances,
    /// It is no stream but a refusal: held to its end, since its body says what kind of one.
    pub(in crate::edge) refusal: Option<Failure>,
    /// How its events leave, if not as they come.
    pub(in crate::edge) pacer: Option<Pacer>,
}

/// Whether another attempt would follow, should this one come to nothing.
#[derive(Debug)]
pub(in crate::edge) struct Chances {
    pub(in crate::edge) policy: Arc<Policy>,
    pub(in crate::edge) facts: Attempt,
}

/// How long the body of a refusal is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// One answer.
#[derive(Debug, Default)]
pub(in crate::edge) struct Flow {
    early: Early,
    opening: Option<Opening>,
    held: Option<HeldBack>,
    beat: Option<Beat>,
    paced: Option<Paced>,
}

#[derive(Debug)]
struct HeldBack {
    /// `None` when one of our own is out.
    head: Option<Box<ResponseHeader>>,
    hold: Hold,
    chances: Chances,
    refusal: Option<Failure>,
}

/// What is due although the host sent nothing.
#[derive(Debug)]
pub(super) struct Overdue {
    /// The head, unless it is out.
    pub(super) head: Option<Box<ResponseHeader>>,
    pub(super) pieces: Vec<Bytes>,
    /// It is nothing but comments.
    pub(super) comment: bool,
}

// === impl Chances ===

impl Chances {
    /// Of an answer that stands as it is.
    pub(in crate::edge) fn none() -> Self {
        let policy = Policy { attempts: 1, on: Vec::new(), backoff: Duration::ZERO };
        let facts = Attempt {
            failure: Failure::Empty,
            committed: true,
            sent: true,
            replayable: false,
            attempts: 1,
            stale: 0,
            left: Duration::ZERO,
            hosts_left: 0,
            hosts: 0,
            keys_left: 0,
            wanted: None,
        };
        Self { policy: Arc::new(policy), facts }
    }

    fn another_after(&self, failure: Failure) -> bool {
        let facts = Attempt { failure, ..self.facts };
        retry::decide(&self.policy, &facts, 0) != Verdict::GiveUp
    }
}

// === impl Flow ===

impl Flow {
    /// An answer that begins with `head` and a comment when its host is silent for so long.
    pub(in crate::edge) fn before(head: Box<ResponseHeader>, silence: Duration) -> Self {
        let beat = Some(Beat::new(silence, Instant::now()));
        Self { early: Early::Ready(head), beat, ..Self::default() }
    }

    /// The head that comes next is that of a stream.
    pub(super) fn open(&mut self, opening: Opening) {
        self.opening = Some(opening);
    }

    /// The attempt is over: nothing of its answer that was not passed on may come later.
    pub(super) fn forget(&mut self) {
        self.held = None;
        self.opening = None;
        self.paced = None;
        if matches!(self.early, Early::No) {
            self.beat = None;
        }
    }

    /// What of these goes on to the client now.
    ///
    /// # Errors
    /// Why the answer is to be thrown away: there is another attempt, and nothing of this one is
    /// out.
    pub(super) fn pass(
        &mut self,
        tasks: Vec<HttpTask>,
        now: Instant,
    ) -> Result<Vec<HttpTask>, Failure> {
        if self.opening.is_none() && self.held.is_none() && matches!(self.early, Early::No) {
            if self.paced.is_none() {
                self.note(&tasks, now);
            }
            return Ok(tasks);
        }
        let mut out = Vec::with_capacity(tasks.len());
        for task in tasks {
            match (self.held.take(), &mut self.early) {
                (Some(held), _) => self.sift(held, task, now, &mut out)?,
                (None, Early::Told(told)) => tell(told, task, &mut out),
                (None, _) => self.begin(task, now, &mut out)?,
            }
        }
        if self.paced.is_none() {
            self.note(&out, now);
        }
        Ok(out)
    }

    /// Whether what is passed leaves in turn ([`Flow::queue`], [`Flow::take_turn`]).
    pub(super) fn is_paced(&self) -> bool {
        self.paced.is_some()
    }

    /// These were passed, and leave in turn.
    pub(super) fn queue(&mut self, tasks: Vec<HttpTask>, now: Instant) {
        if let Some(paced) = &mut self.paced {
            paced.put(tasks, now);
        }
    }

    /// Whose turn comes next, and when; `None` when all is out.
    pub(super) fn turn(&self) -> Option<Instant> {
        self.paced.as_ref()?.due()
    }

    /// What goes out in this turn.
    pub(super) fn take_turn(&mut self, now: Instant) -> Vec<HttpTask> {
        let tasks = self.paced.as_mut().map_or_else(Vec::new, Paced::take);
        self.note(&tasks, now);
        tasks
    }

    /// When [`Flow::overdue`] has something to say if nothing more comes.
    pub(super) fn due(&self) -> Option<Instant> {
        match &self.held {
            Some(held) => held.hold.due(),
            None => self.beat.as_ref().and_then(Beat::due),
        }
    }

    /// The end of the patience with what is held, or a comment into the silence.
    pub(super) fn overdue(&mut self, now: Instant) -> Option<Overdue> {
        if self.due().is_none_or(|due| due > now) {
            return None;
        }
        if let Some(mut held) = self.held.take() {
            let pieces = held.hold.release();
            self.commits(&held);
            for piece in &pieces {
                self.note_piece(piece, now);
            }
            return Some(Overdue { head: held.head, pieces, comment: false });
        }
        self.beat.as_mut()?.sent(now);
        let head = match std::mem::take(&mut self.early) {
            Early::Ready(head) => {
                self.early = Early::Begun;
                Some(head)
            }
            early => {
                self.early = early;
                None
            }
        };
        Some(Overdue { head, pieces: vec![Bytes::from_static(COMMENT)], comment: true })
    }

    fn begin(
        &mut self,
        task: HttpTask,
        now: Instant,
        out: &mut Vec<HttpTask>,
    ) -> Result<(), Failure> {
        let (head, end) = match task {
            HttpTask::Header(head, end) if !head.status.is_informational() => (head, end),
            task => {
                out.push(task);
                return Ok(());
            }
        };
        let begun = matches!(self.early, Early::Begun);
        match self.opening.take() {
            Some(Opening { refusal: Some(why), chances, .. }) if !begun => {
                let hold = Hold::new(HELD_MOST, now + PATIENCE);
                let held = HeldBack { head: Some(head), hold, chances, refusal: Some(why) };
                return self.begin_refusal(held, why, end, out);
            }
            Some(Opening { rules, chances, refusal: None, pacer }) if !end => {
                self.paced = pacer.map(Paced::new);
                let head = (!begun).then_some(head);
                let hold = Hold::new(HELD_MOST, now + rules.hold.unwrap_or_default());
                let held = HeldBack { head, hold, chances, refusal: None };
                self.begin_stream(held, rules, now, out);
            }
            _ => self.begin_plain(head, end, out),
        }
        Ok(())
    }

    fn begin_stream(
        &mut self,
        held: HeldBack,
        rules: Streaming,
        now: Instant,
        out: &mut Vec<HttpTask>,
    ) {
        self.beat = rules.keepalive.map(|every| Beat::new(every, now));
        match rules.hold {
            Some(_) => self.held = Some(held),
            None => {
                self.commits(&held);
                release(held.head, Vec::new(), out);
            }
        }
    }

    fn begin_refusal(
        &mut self,
        held: HeldBack,
        why: Failure,
        end: bool,
        out: &mut Vec<HttpTask>,
    ) -> Result<(), Failure> {
        if !end {
            self.held = Some(held);
            return Ok(());
        }
        self.give_up(held, why, out)?;
        out.push(HttpTask::Done);
        Ok(())
    }

    /// The host's answer is no stream.
    fn begin_plain(&mut self, head: Box<ResponseHeader>, end: bool, out: &mut Vec<HttpTask>) {
        self.beat = None;
        if !matches!(self.early, Early::Begun) {
            self.early = Early::No;
            return out.push(HttpTask::Header(head, end));
        }
        let mut told = Told::new(head.status);
        if end {
            tell(&mut told, HttpTask::Done, out);
        }
        self.early = Early::Told(told);
    }

    /// One more task of an answer that is held.
    fn sift(
        &mut self,
        mut held: HeldBack,
        task: HttpTask,
        now: Instant,
        out: &mut Vec<HttpTask>,
    ) -> Result<(), Failure> {
        let (word, rest) = match task {
            HttpTask::Body(piece, end) => {
                let piece = piece.filter(|piece| !piece.is_empty());
                let word = piece.map_or(Held::Wait, |piece| held.push(&piece, now));
                (word, end.then_some(HttpTask::Done))
            }
            HttpTask::Trailer(_) | HttpTask::Done => (Held::Wait, Some(task)),
            // It broke off. Nothing of it is out, so nothing of it needs to be.
            HttpTask::Failed(_) => {
                out.push(task);
                return Ok(());
            }
            HttpTask::Header(..) | HttpTask::UpgradedBody(..) => (Held::Wait, None),
        };
        let word = match (word, &rest) {
            (Held::Wait, Some(_)) => held.finish(),
            (word, _) => word,
        };
        match word {
            Held::Wait => {
                self.held = Some(held);
                return Ok(());
            }
            Held::Commit(pieces) => {
                self.commits(&held);
                release(held.head, pieces, out);
            }
            Held::Failed { code } => {
                self.give_up(held, code.map_or(Failure::Empty, Failure::Status), out)?;
            }
            Held::Empty => self.give_up(held, Failure::Empty, out)?,
        }
        out.extend(rest);
        Ok(())
    }

    /// The answer came to nothing: thrown away if there is another attempt, else as it is.
    fn give_up(
        &mut self,
        mut held: HeldBack,
        why: Failure,
        out: &mut Vec<HttpTask>,
    ) -> Result<(), Failure> {
        if held.chances.another_after(why) {
            return Err(why);
        }
        self.commits(&held);
        release(held.head, held.hold.release(), out);
        Ok(())
    }

    /// What is held goes out: no other answer can follow.
    fn commits(&mut self, held: &HeldBack) {
        self.early = Early::No;
        if held.refusal.is_some() {
            // It is no stream.
            self.beat = None;
        }
    }

    /// These go out now.
    fn note(&mut self, out: &[HttpTask], now: Instant) {
        for task in out {
            if let HttpTask::Body(Some(piece), _) = task {
                self.note_piece(piece, now);
            }
        }
    }

    fn note_piece(&mut self, piece: &Bytes, now: Instant) {
        if let Some(beat) = &mut self.beat {
            beat.push(piece, now);
        }
    }
}

// === impl HeldBack ===

impl HeldBack {
    fn push(&mut self, piece: &Bytes, now: Instant) -> Held {
        match self.refusal {
            Some(_) => self.hold.keep(piece, now),
            None => self.hold.push(piece, now),
        }
    }

    fn finish(&mut self) -> Held {
        match self.refusal {
            Some(Failure::Status(code)) => Held::Failed { code: Some(code) },
            _ => self.hold.finish(),
        }
    }
}

/// One more task of an answer that is told in an event.
fn tell(told: &mut Told, task: HttpTask, out: &mut Vec<HttpTask>) {
    let end = task.is_end();
    match task {
        HttpTask::Body(Some(piece), _) => told.push(&piece),
        HttpTask::Failed(_) => return out.push(task),
        _ => {}
    }
    if end {
        out.push(HttpTask::Body(Some(told.event()), false));
        out.push(HttpTask::Done);
    }
}

fn release(head: Option<Box<ResponseHeader>>, pieces: Vec<Bytes>, out: &mut Vec<HttpTask>) {
    out.extend(head.map(|head| HttpTask::Header(head, false)));
    out.extend(pieces.into_iter().map(|piece| HttpTask::Body(Some(piece), false)));
}

#[cfg(test)]
mod tests;
