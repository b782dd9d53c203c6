//! Units, as people read them.

use std::{fmt, iter::Sum, ops::AddAssign};

use serde::{Deserialize, Serialize};

/// A number of bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ByteCount(pub u64);

impl fmt::Display for ByteCount {
    /// Binary units, three significant digits: `17 B`, `1.50 KiB`, `312 MiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let mut value = self.0 as f64 / 1024.0;
        let mut unit = 0;
        while value >= 999.5 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        let decimals = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
        write!(f, "{value:.decimals$} {}", UNITS[unit])
    }
}

impl AddAssign for ByteCount {
    fn add_assign(&mut self, other: ByteCount) {
        self.0 += other.0;
    }
}

impl Sum for ByteCount {
    fn sum<I: Iterator<Item = ByteCount>>(parts: I) -> ByteCount {
        ByteCount(parts.map(|part| part.0).sum())
    }
}

/// A whole number of seconds.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seconds(pub u64);

impl Seconds {
    /// The time between two instants; none when `to` is not after `from`.
    pub fn between(from: jiff::Timestamp, to: jiff::Timestamp) -> Seconds {
        Seconds(u64::try_from(to.duration_since(from).as_secs()).unwrap_or(0))
    }

    /// The same as the standard library has it.
    pub fn duration(self) -> std::time::Duration {
        std::time::Duration::from_secs(self.0)
    }
}

impl From<std::time::Duration> for Seconds {
    fn from(duration: std::time::Duration) -> Seconds {
        Seconds(duration.as_secs())
    }
}

impl fmt::Display for Seconds {
    /// `45 s`, `12:07 min`, `1:02:07 h`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hours, minutes, seconds) = (self.0 / 3600, self.0 / 60 % 60, self.0 % 60);
        match (hours, minutes) {
            (0, 0) => write!(f, "{seconds} s"),
            (0, _) => write!(f, "{minutes}:{seconds:02} min"),
            _ => write!(f, "{hours}:{minutes:02}:{seconds:02} h"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_counts_read_well() {
        let shown = [0, 1023, 1536, 10 << 10, 327_155_712, 1 << 60].map(|n| ByteCount(n).to_string());
        assert_eq!(shown, ["0 B", "1023 B", "1.50 KiB", "10.0 KiB", "312 MiB", "1.00 EiB"]);
    }
}
