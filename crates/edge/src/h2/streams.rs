//! The requests of a connection, run by the connection's own task: a request and its answer cost no task of their own, and what a
//! stream has just read is still in the processor's cache when the connection sends it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;
use tokio_util::sync::ReusableBoxFuture;

/// Turns of connection and streams before other connections of the thread get theirs.
const TURNS: usize = 16;

/// Allocations of finished streams that are kept for the next ones.
const KEPT_BOXES: usize = 4;

type Stream = ReusableBoxFuture<'static, ()>;

/// What wakers share with the task.
#[derive(Default)]
struct Hub {
    /// Whether the task is looking at its bells anyway.
    looking: AtomicBool,
    task: Mutex<Option<Waker>>,
    /// Streams that have begun since the task last looked.
    begun: Mutex<Vec<Stream>>,
    kept: Mutex<Vec<Stream>>,
}

/// Runs what the library begins for each request.
#[derive(Clone, Default)]
pub(crate) struct Executor(Arc<Hub>);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Executor {
    #[expect(
        clippy::redundant_async_block,
        reason = "an async block drops what it awaits when that ends, the future itself does not"
    )]
    fn execute(&self, future: F) {
        // The box may lie until the next request: nothing of this one may stay in it.
        let future = async move { future.await };
        let kept = self.0.kept.lock().pop();
        let stream = match kept {
            Some(mut stream) => {
                stream.set(future);
                stream
            }
            None => ReusableBoxFuture::new(future),
        };
        self.0.begun.lock().push(stream);
    }
}

/// Rings when something may go on.
struct Bell {
    rung: AtomicBool,
    hub: Arc<Hub>,
}

impl Bell {
    fn new(hub: &Arc<Hub>) -> Arc<Self> {
        Arc::new(Self { rung: AtomicBool::new(true), hub: hub.clone() })
    }

    fn take(&self) -> bool {
        self.rung.load(Ordering::SeqCst) && self.rung.swap(false, Ordering::SeqCst)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::SeqCst);
        // Whoever looks sees the bell: the task says that it has stopped looking before it looks for the last time.
        if !self.hub.looking.load(Ordering::SeqCst)
            && let Some(task) = &*self.hub.task.lock()
        {
            task.wake_by_ref();
        }
    }
}

/// A place for a stream; its waker serves one stream after another.
struct Slot {
    stream: Option<Stream>,
    bell: Arc<Bell>,
    waker: Waker,
}

/// A connection with its streams.
pub(crate) struct Streams {
    hub: Arc<Hub>,
    bell: Arc<Bell>,
    waker: Waker,
    slots: Vec<Slot>,
    free: Vec<usize>,
}

impl Streams {
    pub(crate) fn new(executor: &Executor) -> Self {
        let bell = Bell::new(&executor.0);
        Self { hub: executor.0.clone(), waker: bell.clone().into(), bell, slots: Vec::new(), free: Vec::new() }
    }

    /// The connection is to be polled again: something has been said to it.
    pub(crate) fn ring(&self) {
        self.bell.rung.store(true, Ordering::SeqCst);
    }

    /// Gives back what only busy connections need.
    pub(crate) fn shrink(&mut self) {
        self.hub.kept.lock().clear();
        if self.free.len() == self.slots.len() {
            self.free = Vec::new();
            self.slots = Vec::new();
        }
    }

    /// Polls connection and streams as long as they get further, then `rest`, with the connection's waker. Ready when the
    /// connection or `rest` is.
    pub(crate) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut connection: impl FnMut(&mut Context<'_>) -> Poll<T>,
        mut rest: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.know(cx.waker());
        self.hub.looking.store(true, Ordering::SeqCst);
        let mut ends = None;
        for _ in 0..TURNS {
            let waker = self.waker.clone();
            let mut own = Context::from_waker(&waker);
            let mut further = self.bell.take();
            if further {
                if let Poll::Ready(end) = connection(&mut own) {
                    ends = Some(end);
                    break;
                }
                self.adopt();
            }
            further |= self.poll_streams();
            if further && tokio::task::coop::has_budget_remaining() {
                continue;
            }
            if let Poll::Ready(end) = rest(&mut own) {
                ends = Some(end);
                break;
            }
            self.hub.looking.store(false, Ordering::SeqCst);
            if !self.rung() {
                return Poll::Pending;
            }
            self.hub.looking.store(true, Ordering::SeqCst);
            if !tokio::task::coop::has_budget_remaining() {
                break;
            }
        }
        self.hub.looking.store(false, Ordering::SeqCst);
        match ends {
            Some(end) => Poll::Ready(end),
            None => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn know(&self, waker: &Waker) {
        let mut task = self.hub.task.lock();
        match &mut *task {
            Some(known) => known.clone_from(waker),
            None => *task = Some(waker.clone()),
        }
    }

    fn rung(&self) -> bool {
        self.bell.rung.load(Ordering::SeqCst)
            || self.slots.iter().any(|slot| slot.stream.is_some() && slot.bell.rung.load(Ordering::SeqCst))
    }

    fn adopt(&mut self) {
        loop {
            let Some(stream) = self.hub.begun.lock().pop() else { return };
            let index = self.free.pop().unwrap_or_else(|| {
                let bell = Bell::new(&self.hub);
                self.slots.push(Slot { stream: None, waker: bell.clone().into(), bell });
                self.slots.len() - 1
            });
            let slot = &mut self.slots[index];
            slot.bell.rung.store(true, Ordering::SeqCst);
            slot.stream = Some(stream);
        }
    }

    /// Polls those whose bells have rung; whether there were any.
    fn poll_streams(&mut self) -> bool {
        let mut any = false;
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let Some(stream) = &mut slot.stream else { continue };
            if !slot.bell.take() {
                continue;
            }
            any = true;
            if Pin::new(stream).poll(&mut Context::from_waker(&slot.waker)).is_ready() {
                self.free.push(index);
                if let Some(ended) = slot.stream.take() {
                    let mut kept = self.hub.kept.lock();
                    if kept.len() < KEPT_BOXES {
                        kept.push(ended);
                    }
                }
            }
        }
        any
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use hyper::rt::Executor as _;
    use tokio::sync::mpsc;

    use super::*;

    /// Runs `count` streams that are woken from elsewhere, begun by a connection that ends when all have.
    async fn run(count: usize) {
        let executor = Executor::default();
        let mut streams = Streams::new(&executor);
        let ended = Arc::new(AtomicUsize::new(0));
        let (told, mut tell) = mpsc::channel(1);
        let mut begun = 0;
        let connection = poll_fn(|cx| {
            streams.poll(
                cx,
                |cx| {
                    while begun < count {
                        begun += 1;
                        let (ended, told) = (ended.clone(), told.clone());
                        executor.execute(async move {
                            let waiting = tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(2)));
                            waiting.await.unwrap();
                            tokio::task::yield_now().await;
                            ended.fetch_add(1, Ordering::SeqCst);
                            told.send(()).await.unwrap();
                        });
                    }
                    while let Poll::Ready(Some(())) = tell.poll_recv(cx) {}
                    if ended.load(Ordering::SeqCst) == count { Poll::Ready(()) } else { Poll::Pending }
                },
                |_| Poll::Pending,
            )
        });
        tokio::time::timeout(Duration::from_secs(20), connection).await.expect("no wake-up is lost");
        streams.shrink();
    }

    #[tokio::test]
    async fn streams_are_run_to_their_end() {
        for count in [1, 2, 100, 1, 30] {
            run(count).await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn wake_ups_from_other_threads_are_not_lost() {
        let all: Vec<_> = (0..200).map(|_| tokio::spawn(run(8))).collect();
        for one in all {
            one.await.unwrap();
        }
    }
}
