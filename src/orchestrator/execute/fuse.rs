//! The lease as the kernel holds it: what stands still when it runs out is ended, because only what is gone cannot wake in front of full queues.

use std::{
    io, ptr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

use crate::model::Lease;

/// Ends this process at a moment that can be moved, unless it is dropped before.
#[derive(Debug)]
pub(super) struct Fuse(Mutex<Timer>);

impl Fuse {
    /// One that burns as long as the lease counts.
    pub(super) fn of(lease: &Lease) -> io::Result<Fuse> {
        let fuse = Fuse(Mutex::new(Timer::new()?));
        fuse.follow(lease)?;
        Ok(fuse)
    }

    /// Burns to the end of the lease. One that has none left burns as it did.
    pub(super) fn follow(&self, lease: &Lease) -> io::Result<()> {
        self.set(|| lease.left())
    }

    /// Leaves this process so much time to end by itself.
    pub(super) fn leave(&self, time: Duration) -> io::Result<()> {
        self.set(|| Some(time))
    }

    /// Never burns down.
    pub(super) fn put_out(&self) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).set(Duration::ZERO)
    }

    fn set(&self, left: impl Fn() -> Option<Duration>) -> io::Result<()> {
        let timer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked at before what is left, so that a process that is frozen in between has less time, and not more.
        let now = clock_gettime(ClockId::Boottime);
        let Some(left) = left() else { return Ok(()) };
        timer.set(Duration::new(now.tv_sec as u64, now.tv_nsec as u32) + left)
    }
}

/// A timer of the kernel that kills this process, on the clock that also counts while the machine sleeps.
#[derive(Debug)]
struct Timer(usize);

#[expect(unsafe_code, reason = "no library that is used here knows these calls")]
impl Timer {
    fn new() -> io::Result<Timer> {
        // SAFETY: both are plain data, for which zeros are valid, and live longer than the call.
        let (mut timer, mut event): (libc::timer_t, libc::sigevent) = unsafe { (ptr::null_mut(), std::mem::zeroed()) };
        event.sigev_notify = libc::SIGEV_SIGNAL;
        event.sigev_signo = libc::SIGKILL;
        // SAFETY: the pointers are valid, and the call keeps none of them.
        done(unsafe { libc::timer_create(libc::CLOCK_BOOTTIME, &raw mut event, &raw mut timer) })?;
        Ok(Timer(timer as usize))
    }

    /// When it kills, counted from the start of the machine; never, at zero.
    fn set(&self, at: Duration) -> io::Result<()> {
        let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let at = libc::timespec { tv_sec: at.as_secs() as i64, tv_nsec: i64::from(at.subsec_nanos()) };
        let times = libc::itimerspec { it_interval: never, it_value: at };
        // SAFETY: the timer was created by us and not deleted yet, and the pointer is valid.
        done(unsafe { libc::timer_settime(self.0 as libc::timer_t, libc::TIMER_ABSTIME, &raw const times, ptr::null_mut()) })
    }
}

#[expect(unsafe_code, reason = "no library that is used here knows this call")]
impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: the timer was created by us and is deleted nowhere else.
        let _deleted = unsafe { libc::timer_delete(self.0 as libc::timer_t) };
    }
}

fn done(status: libc::c_int) -> io::Result<()> {
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
