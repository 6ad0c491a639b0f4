//! Following an answer: what comes goes through the tap, as if a host sent it to this client alone.
//!
//! Why through the tap: pacing, comments and the watch on the client are there, and the answer is
//! noted and counted by the same code as any other.
//! The trap: an answer in the other form is read to its end before a byte of it goes out, or it could
//! not go its own way when it cannot be put in form.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{StatusCode, Version};
use pingora::http::ResponseHeader;
use pingora::protocols::http::HttpTask;
use pingora::proxy::Session;
use pingora::{Error, ErrorSource, ErrorType, Result};
use tokio::time::Instant;

use super::source::Source;
use crate::cache::fill::{End, Head, Next, Share, Via};
use crate::cache::{Stream, whole};
use crate::edge::ctx::Ctx;
use crate::edge::{Edge, relay};

const X_CACHE: HeaderName = HeaderName::from_static("x-cache");

/// One follower.
pub(super) struct Following {
    source: Source,
    /// It asks for a stream.
    stream: bool,
    /// Usage shall stand in a stream that is made for it.
    usage: bool,
    /// An answer that breaks off before its head, or is a passing refusal, is asked for again.
    may_again: bool,
    /// The head is out.
    begun: bool,
    /// An answer in the other form, so far.
    gathered: Option<Gathered>,
    /// What goes out next.
    out: Vec<HttpTask>,
}

/// How it went.
pub(super) enum Followed {
    /// All of it is out.
    ToItsEnd,
    /// It broke off before a byte of it was out.
    BrokeOff,
    /// It cannot be put in the form that was asked for.
    InVain,
}

struct Gathered {
    head: Head,
    pieces: Vec<Bytes>,
    share: Share,
}

/// What follows from what came.
enum Step {
    On,
    Whole,
    Broken,
    InVain,
    /// An answer as the stream it could have been.
    Streams(Box<Stream>),
}

/// Tasks that are written at once.
const BATCH: usize = 64;

/// The longest answer that is put in another form, bytes.
const GATHERED_MOST: usize = 16 * 1024 * 1024;

impl Edge {
    /// Passes on what comes, to its end.
    pub(super) async fn follow(
        &self,
        session: &mut Session,
        ctx: &mut Ctx,
        mut following: Following,
    ) -> Result<Followed> {
        let followed = self.pass_on(session, ctx, &mut following).await;
        if !matches!(followed, Ok(Followed::BrokeOff | Followed::InVain)) {
            ctx.came(following.source.via());
        }
        followed
    }

    async fn pass_on(
        &self,
        session: &mut Session,
        ctx: &mut Ctx,
        following: &mut Following,
    ) -> Result<Followed> {
        loop {
            let mut next = awaited(session, ctx, &mut following.source).await?;
            let step = loop {
                let step = self.step(session, ctx, following, next)?;
                if !matches!(step, Step::On) || following.out.len() >= BATCH {
                    break step;
                }
                match following.source.ready() {
                    Some(ready) => next = ready,
                    None => break step,
                }
            };
            write(session, &mut following.out).await?;
            match step {
                Step::On => {}
                Step::Whole => return Ok(Followed::ToItsEnd),
                Step::Streams(stream) => {
                    write_all(session, ctx, *stream).await?;
                    return Ok(Followed::ToItsEnd);
                }
                Step::InVain => return Ok(Followed::InVain),
                Step::Broken if following.may_again && !following.begun => {
                    return Ok(Followed::BrokeOff);
                }
                Step::Broken => return Err(broken(ctx, &following.source)),
            }
        }
    }

    fn step(
        &self,
        session: &Session,
        ctx: &mut Ctx,
        following: &mut Following,
        next: Next,
    ) -> Result<Step> {
        match next {
            Next::Head(head) if following.may_again && is_passing(head.status) => Ok(Step::Broken),
            Next::Head(head) if following.crosses(&head) => {
                let Some(shelf) = &self.shelf else { return Ok(Step::InVain) };
                let share = shelf.fills.share();
                following.gathered = Some(Gathered { head, pieces: Vec::new(), share });
                Ok(Step::On)
            }
            Next::Head(head) => {
                following.begun = true;
                let head = self.begin(session, ctx, &head, following.source.x_cache())?;
                following.out.push(head);
                Ok(Step::On)
            }
            Next::Piece(piece) => match &mut following.gathered {
                Some(gathered) => Ok(gathered.push(piece.data)),
                None => {
                    following.out.extend(body(ctx, Some(piece.data), false));
                    Ok(Step::On)
                }
            },
            Next::End(End::Broken) => Ok(Step::Broken),
            Next::End(End::Whole) => match following.gathered.take() {
                Some(gathered) => self.cross(session, ctx, following, gathered),
                None => {
                    end(ctx, &mut following.out);
                    Ok(Step::Whole)
                }
            },
        }
    }

    /// Puts a whole answer in the other form.
    fn cross(
        &self,
        session: &Session,
        ctx: &mut Ctx,
        following: &mut Following,
        gathered: Gathered,
    ) -> Result<Step> {
        let Gathered { mut head, pieces, .. } = gathered;
        head.headers.remove(CONTENT_LENGTH);
        let (label, out) = (following.source.x_cache(), &mut following.out);
        if following.stream {
            let all = Bytes::from(pieces.concat());
            let Some(stream) = Stream::of(&all, following.usage) else { return Ok(Step::InVain) };
            head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
            out.push(self.begin(session, ctx, &head, label)?);
            return Ok(Step::Streams(Box::new(stream)));
        }
        let Some(all) = whole(pieces) else { return Ok(Step::InVain) };
        head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(all.len()));
        out.push(self.begin(session, ctx, &head, label)?);
        out.extend(body(ctx, Some(all), false));
        end(ctx, out);
        Ok(Step::Whole)
    }

    /// The head, complete for this client.
    fn begin(
        &self,
        session: &Session,
        ctx: &mut Ctx,
        head: &Head,
        label: Option<&'static str>,
    ) -> Result<HttpTask> {
        let mut response = ResponseHeader::build(head.status, Some(head.headers.len() + 6))?;
        for (name, value) in head.headers.iter().filter(|(name, _)| **name != TRANSFER_ENCODING) {
            response.append_header(name.clone(), value.clone())?;
        }
        if let Some(label) = label {
            response.insert_header(X_CACHE, label)?;
        }
        if head.status == StatusCode::OK && relay::is_stream(&head.headers) {
            self.follows(session, ctx);
        }
        relay::head(session, &mut response, ctx)?;
        let bare = matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let chunked = !bare && !response.headers.contains_key(CONTENT_LENGTH);
        if chunked && session.req_header().version != Version::HTTP_10 {
            // Or its end would be that of the connection; h2 leaves it out.
            response.insert_header(TRANSFER_ENCODING, "chunked")?;
        }
        Ok(HttpTask::Header(Box::new(response), false))
    }
}

/// Whether a host that says so may say something else to who asks again.
fn is_passing(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
}

/// Waits for what comes next, unless the client leaves or its time is over.
async fn awaited(session: &mut Session, ctx: &Ctx, source: &mut Source) -> Result<Next> {
    if let Some(pulse) = &ctx.tap.pulse {
        pulse.rest();
    }
    let client = &mut session.downstream_session;
    tokio::select! {
        biased;
        next = source.next() => Ok(next),
        left = client.read_body_or_idle(true) => Err(match left {
            Ok(_) => Error::new_down(ErrorType::ConnectionClosed),
            Err(error) => ours(error),
        }),
    }
}

async fn write_all(session: &mut Session, ctx: &mut Ctx, mut stream: Stream) -> Result<()> {
    loop {
        let mut out = Vec::new();
        for event in stream.by_ref().take(BATCH) {
            out.extend(body(ctx, Some(event), false));
        }
        let over = out.is_empty();
        if over {
            end(ctx, &mut out);
        }
        write(session, &mut out).await?;
        if over {
            return Ok(());
        }
    }
}

async fn write(session: &mut Session, tasks: &mut Vec<HttpTask>) -> Result<()> {
    if tasks.is_empty() {
        return Ok(());
    }
    let tasks = std::mem::take(tasks);
    let written = session.downstream_session.response_duplex_vec(tasks).await;
    written.map(|_| ()).map_err(ours)
}

/// An error of this session: the client's, unless the tap says that its time is over.
fn ours(error: Box<Error>) -> Box<Error> {
    if *error.esource() == ErrorSource::Upstream { error } else { error.into_down() }
}

fn body(ctx: &mut Ctx, mut piece: Option<Bytes>, end: bool) -> Option<HttpTask> {
    relay::piece(&mut piece, end, ctx);
    piece.map(|piece| HttpTask::Body(Some(piece), false))
}

fn end(ctx: &mut Ctx, out: &mut Vec<HttpTask>) {
    out.extend(body(ctx, None, true));
    out.push(HttpTask::Done);
}

/// The end of an answer that has none.
fn broken(ctx: &mut Ctx, source: &Source) -> Box<Error> {
    ctx.tap.refusal = source.refusal();
    Error::explain(ErrorType::ConnectionClosed, "the answer that was followed broke off").into_up()
}

// === impl Following ===

impl Following {
    pub(super) fn new(source: Source, ctx: &Ctx, may_again: bool) -> Self {
        let (ask, ours) = (&ctx.heard.ask, ctx.heard.usage_is_ours);
        let (stream, usage) = (ask.stream, ask.include_usage || ours);
        Self { source, stream, usage, may_again, begun: false, gathered: None, out: Vec::new() }
    }

    /// Whether this answer must be put in another form.
    fn crosses(&self, head: &Head) -> bool {
        let other = self.source.is_stream() != self.stream;
        other && head.status == StatusCode::OK && relay::is_stream(&head.headers) != self.stream
    }
}

// === impl Gathered ===

impl Gathered {
    fn push(&mut self, piece: Bytes) -> Step {
        self.share.add(piece.len());
        self.pieces.push(piece);
        let too_much = self.share.bytes() > GATHERED_MOST || self.share.is_too_much();
        if too_much { Step::InVain } else { Step::On }
    }
}

impl Ctx {
    /// Notes where an answer came from that was followed.
    fn came(&mut self, via: Via) {
        self.attempts.count = via.attempts;
        if via.attempts > 0 {
            self.attempts.begun = Some(Instant::now());
        }
        if let (Some(host), Some(entry)) = (&via.host, &mut self.entry) {
            entry.via(host);
        }
        self.answer.from = via.host;
    }
}
