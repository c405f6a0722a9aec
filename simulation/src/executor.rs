//! Tasks and timers of a simulation.

use super::World;
use servicebus_core::time::Instant;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    flag: Arc<Flag>,
}

/// Polls tasks that were woken, in the order in which they were spawned.
#[derive(Default)]
pub(super) struct Executor {
    tasks: RefCell<Vec<Task>>,
    spawned: RefCell<Vec<Task>>,
    timers: RefCell<BTreeMap<(Instant, u64), Waker>>,
    timer_ids: Cell<u64>,
}

impl Executor {
    pub(super) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        self.spawned.borrow_mut().push(Task { future: Box::pin(future), flag });
    }

    /// Drops every task.
    pub(super) fn clear(&self) {
        // What a task drops may spawn and wake others.
        while !(self.tasks.borrow().is_empty() && self.spawned.borrow().is_empty()) {
            let tasks = (self.tasks.take(), self.spawned.take());
            drop(tasks);
        }
    }

    /// Polls every task that was woken; true when there was one.
    pub(super) fn run_woken(&self) -> bool {
        let mut any = false;
        let mut tasks = self.tasks.borrow_mut();
        tasks.append(&mut self.spawned.borrow_mut());
        tasks.retain_mut(|task| {
            if !task.flag.0.swap(false, Ordering::Relaxed) {
                return true;
            }
            any = true;
            let waker = Waker::from(Arc::clone(&task.flag));
            task.future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
        });
        any
    }

    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.timers.borrow().keys().next().map(|(at, _)| *at)
    }

    pub(super) fn fire_timers(&self, now: Instant) {
        let mut timers = self.timers.borrow_mut();
        while let Some(entry) = timers.first_entry() {
            if entry.key().0 > now {
                return;
            }
            entry.remove().wake();
        }
    }

    /// Waits until the clock has reached `at`.
    pub(super) async fn sleep_until(&self, world: World, at: Instant) {
        let id = self.timer_ids.get();
        self.timer_ids.set(id + 1);
        let timer = Timer { world: world.clone(), key: (at, id) };
        poll_fn(|cx| {
            if world.clock().now >= at {
                return Poll::Ready(());
            }
            self.timers.borrow_mut().insert(timer.key, cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// Takes its entry out when it is dropped.
struct Timer {
    world: World,
    key: (Instant, u64),
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.world.0.executor.timers.borrow_mut().remove(&self.key);
    }
}
