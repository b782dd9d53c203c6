//! How hard the chunks of one reader are compressed: fast where that makes them hardly larger, which one of them is asked now and then.

use std::sync::{Mutex, PoisonError};

/// Chunks between two trials, at least; they double as long as trials agree.
const BETWEEN_MIN: u32 = 16;
/// Chunks between two trials, at most.
const BETWEEN_MAX: u32 = 128;

/// How a chunk is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// At the level that was asked for.
    Thorough,
    /// At the fast level.
    Fast,
    /// At both, to learn whether the fast one will do.
    Trial,
}

/// What is known of the chunks of one reader, which tend to be alike. Begins with a trial.
#[derive(Debug, Default)]
pub struct Pace(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    fast: bool,
    between: u32,
    left: u32,
}

impl Pace {
    /// How the next chunk is compressed.
    pub fn next(&self) -> Effort {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.left.checked_sub(1) {
            None => {
                known.left = known.between.max(BETWEEN_MIN);
                Effort::Trial
            }
            Some(left) => {
                known.left = left;
                if known.fast { Effort::Fast } else { Effort::Thorough }
            }
        }
    }

    /// Takes in what a trial has shown.
    pub fn tried(&self, fast: bool) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.fast == fast {
            known.between = (2 * known.between).clamp(BETWEEN_MIN, BETWEEN_MAX);
        } else {
            *known = Known { fast, between: BETWEEN_MIN, left: known.left.min(BETWEEN_MIN) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Chunks until the next trial, which this one is.
    fn until_a_trial(pace: &Pace, fast: bool) -> u32 {
        let count = (0..).take_while(|_| pace.next() != Effort::Trial).count();
        pace.tried(fast);
        u32::try_from(count).unwrap()
    }

    #[test]
    fn trials_become_rare_while_they_agree_and_frequent_when_the_data_changes() {
        let pace = Pace::default();
        let counts = [true, true, true, true, true, false, false].map(|fast| until_a_trial(&pace, fast));
        assert_eq!(counts, [0, 16, 16, 32, 64, 128, 16]);
        assert_eq!(until_a_trial(&pace, false), 16);
        assert_eq!(pace.next(), Effort::Thorough);
    }
}
