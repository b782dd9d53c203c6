//! Runs what computes on blocking threads, a bounded number at a time.

use std::sync::Arc;

use tokio::{sync::Semaphore, task::spawn_blocking};

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
        let permit = self.free.clone().acquire_owned().await.expect("the pool is never closed");
        let running = spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
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
}
