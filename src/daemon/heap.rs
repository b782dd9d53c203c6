//! What a run used goes back to the system. The allocator keeps what is freed, in one heap per thread, and each run has a thread of its own: over
//! months all of these heaps would grow to the size of the largest run.

/// Gives back what is free.
#[expect(unsafe_code, reason = "no library that is used here knows this call")]
pub fn give_back() {
    // SAFETY: it may be called at any time, by any thread.
    #[cfg(target_env = "gnu")]
    let _given = unsafe { libc::malloc_trim(0) };
}
