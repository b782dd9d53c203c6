//! What a run used goes back to the system. The allocator keeps what is freed, in a heap for each thread, and gives back the end of the first of
//! these alone; so over months all of them would grow to the size of the largest run, or of the longest record that was read.

/// Has all threads that are yet to begin use one heap.
#[expect(unsafe_code, reason = "no library that is used here knows this call")]
pub fn share() {
    // SAFETY: it changes a number of the allocator, and may be called at any time.
    #[cfg(target_env = "gnu")]
    let _set = unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// Gives back what is free.
#[expect(unsafe_code, reason = "no library that is used here knows this call")]
pub fn give_back() {
    // SAFETY: it may be called at any time, by any thread.
    #[cfg(target_env = "gnu")]
    let _given = unsafe { libc::malloc_trim(0) };
}
