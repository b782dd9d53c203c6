//! Runs what computes on blocking threads, a bounded number at a time.

use std::sync::Arc;

use tokio::{sync::Semaphore, task::spawn_blocking};
use tokio_util::task::AbortOnDropHandle;

use super::PipelineError;

/// A bound on the threads that hash, compress and encrypt. Clones share it.
#[derive(Debug, Clone)]
pub struct CpuPool {
    free: Arc<Semaphore>,
    workers: usize,
}

impl CpuPool {
    /// A pool that runs at most `workers` things at a time; at least one.
    pub fn new(workers: usize) -> CpuPool {
        let workers = workers.max(1);
        CpuPool { free: Arc::new(Semaphore::new(workers)), workers }
    }

    /// How many things run at a time.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// Runs `work` on a blocking thread as soon as one of the pool is free, first come, first served. A panic in it goes on here.
    /// Dropping the future before `work` has begun means that it never does. Work must not wait for other work of the same pool.
    pub async fn run<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> Result<R, PipelineError> {
        let free = self.free.clone();
        // The wait is a task of its own. A future that got its turn and is not polled would keep the thread from all others, for ever
        // if its owner waits for one of them.
        let waiting = tokio::spawn(async move {
            let permit = free.acquire_owned().await.expect("the pool is never closed");
            let running = spawn_blocking(move || {
                let result = work();
                drop(permit);
                result
            });
            running.await
        });
        let running = async { AbortOnDropHandle::new(waiting).await? };
        match running.await {
            Ok(result) => Ok(result),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(PipelineError::Stopped),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn no_more_runs_at_a_time_than_the_pool_allows() {
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let pool = CpuPool::new(2);
        let all = (0..12).map(|number| {
            let (running, most) = (running.clone(), most.clone());
            pool.run(move || {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(5));
                running.fetch_sub(1, Ordering::SeqCst);
                number
            })
        });
        let results: Vec<_> = futures::future::join_all(all).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(results, (0..12).collect::<Vec<_>>());
        assert_eq!(most.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn work_whose_result_nobody_awaits_yet_does_not_keep_others_from_the_pool() {
        let pool = CpuPool::new(1);
        let (release, wait) = std::sync::mpsc::channel();
        let mut first = Box::pin(pool.run(move || wait.recv()));
        let mut second = Box::pin(pool.run(|| ()));
        assert!(futures::poll!(&mut first).is_pending() && futures::poll!(&mut second).is_pending());
        tokio::task::yield_now().await;
        release.send(()).unwrap();
        let third = tokio::time::timeout(std::time::Duration::from_secs(5), pool.run(|| ()));
        third.await.expect("a worker gets free").unwrap();
        first.await.unwrap().unwrap();
        second.await.unwrap();
    }

    #[tokio::test]
    async fn dropped_work_that_has_not_begun_never_does() {
        let pool = CpuPool::new(1);
        let (release, wait) = std::sync::mpsc::channel();
        let mut first = Box::pin(pool.run(move || wait.recv()));
        let (begun, seen) = std::sync::mpsc::channel();
        let mut second = Box::pin(pool.run(move || begun.send(())));
        assert!(futures::poll!(&mut first).is_pending() && futures::poll!(&mut second).is_pending());
        tokio::task::yield_now().await;
        drop(second);
        release.send(()).unwrap();
        first.await.unwrap().unwrap();
        pool.run(|| ()).await.unwrap();
        assert!(seen.recv().is_err());
    }
}
