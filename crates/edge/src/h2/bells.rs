//! Wakers of a connection's parts: each knows which part may go on, and the task sleeps only when none may.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use parking_lot::Mutex;

/// What bells share with the task.
#[derive(Debug, Default)]
pub(super) struct Hub {
    /// Whether the task is looking at its bells anyway.
    looking: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Hub {
    /// The task has begun to look.
    pub(super) fn look(&self, cx: &Context<'_>) {
        let mut task = self.task.lock();
        match &mut *task {
            Some(known) => known.clone_from(cx.waker()),
            None => *task = Some(cx.waker().clone()),
        }
        self.looking.store(true, Ordering::SeqCst);
    }

    /// The task looks for the last time now: whoever rings later wakes it.
    pub(super) fn look_away(&self) {
        self.looking.store(false, Ordering::SeqCst);
    }
}

/// Rings when a part may go on.
#[derive(Debug)]
pub(super) struct Bell {
    rung: AtomicBool,
    hub: Arc<Hub>,
}

impl Bell {
    /// One that has rung.
    pub(super) fn new(hub: &Arc<Hub>) -> Arc<Self> {
        Arc::new(Self { rung: AtomicBool::new(true), hub: hub.clone() })
    }

    /// Rings it, by the task itself.
    pub(super) fn ring(&self) {
        self.rung.store(true, Ordering::SeqCst);
    }

    pub(super) fn has_rung(&self) -> bool {
        self.rung.load(Ordering::SeqCst)
    }

    /// Whether it has rung since this was last asked.
    pub(super) fn take(&self) -> bool {
        self.has_rung() && self.rung.swap(false, Ordering::SeqCst)
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
