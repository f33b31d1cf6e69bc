//! Where requests are answered, one after another: a future that outlives them, so that a request costs neither a task nor an
//! allocation, and that is given up with a request that is.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::bells::{Bell, Hub};
use super::head::read;
use super::inbox::RequestBody;
use crate::answer::Answer;
use crate::field_block::FieldBlock;
use crate::river::{Scratch, answer, answer_unread};
use crate::viewer::{Unread, Viewer};
use crate::worker::Worker;

/// Memory that a paper may hold to be used again.
const MAX_KEPT_BYTES: usize = 8 << 10;

/// What a request is read from and its answer written to, used again for the next one.
#[derive(Debug, Default)]
pub(super) struct Paper {
    pub(super) block: FieldBlock,
    pub(super) scratch: Scratch,
}

impl Paper {
    /// Whether it is worth keeping.
    pub(super) fn is_small(&self) -> bool {
        self.block.capacity() <= MAX_KEPT_BYTES
    }
}

/// What lies between a lane and its connection.
#[derive(Debug, Default)]
enum Desk {
    #[default]
    Empty,
    Asked(Paper, RequestBody),
    Answered(Answer, Paper),
}

/// One lane.
pub(super) struct Lane {
    work: Pin<Box<dyn Future<Output = Infallible> + Send>>,
    desk: Arc<Mutex<Desk>>,
    pub(super) bell: Arc<Bell>,
    waker: Waker,
    /// Whether it is answering a request.
    busy: bool,
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane").field("busy", &self.busy).finish_non_exhaustive()
    }
}

impl Lane {
    pub(super) fn new(worker: &Arc<Worker>, viewer: &Viewer, hub: &Arc<Hub>) -> Self {
        let desk = Arc::new(Mutex::new(Desk::Empty));
        let bell = Bell::new(hub);
        let work = Box::pin(work(worker.clone(), viewer.clone(), desk.clone()));
        Self { work, desk, waker: bell.clone().into(), bell, busy: false }
    }

    /// Whether it can take a request.
    pub(super) fn is_free(&self) -> bool {
        !self.busy
    }

    /// Gives it a request to answer.
    pub(super) fn ask(&mut self, paper: Paper, body: RequestBody) {
        *self.desk.lock() = Desk::Asked(paper, body);
        self.busy = true;
        self.bell.ring();
    }

    /// Goes on with the request; the answer when it is there.
    pub(super) fn poll(&mut self) -> Poll<(Answer, Paper)> {
        if !self.busy {
            return Poll::Pending;
        }
        let Poll::Pending = self.work.as_mut().poll(&mut Context::from_waker(&self.waker));
        match std::mem::take(&mut *self.desk.lock()) {
            Desk::Answered(answer, paper) => {
                self.busy = false;
                Poll::Ready((answer, paper))
            }
            Desk::Empty | Desk::Asked(..) => Poll::Pending,
        }
    }

    /// The waker of what the lane's stream waits for.
    pub(super) fn context(&self) -> Context<'_> {
        Context::from_waker(&self.waker)
    }
}

async fn work(worker: Arc<Worker>, viewer: Viewer, desk: Arc<Mutex<Desk>>) -> Infallible {
    let mut table = arc_swap::Cache::new(worker.table());
    loop {
        let (mut paper, mut body) = poll_fn(|_| {
            let mut desk = desk.lock();
            match std::mem::take(&mut *desk) {
                Desk::Asked(paper, body) => Poll::Ready((paper, body)),
                other => {
                    *desk = other;
                    Poll::Pending
                }
            }
        })
        .await;
        let answered = match read(&paper.block, &viewer) {
            Ok(request) => answer(&worker, table.load(), &request, &mut body, &mut paper.scratch).await,
            Err(status) => {
                let unread = Unread { viewer: &viewer, status, received: None };
                answer_unread(&worker, unread, &mut paper.scratch)
            }
        };
        *desk.lock() = Desk::Answered(answered, paper);
    }
}
