//! Spans of time as people write them.

use std::time::Duration;

/// Longest span that makes sense in a configuration: ten years.
const LONGEST: u64 = 3650 * 86_400;

/// Reads `90s`, `15m`, `1h`, `7d` or `2w`: one positive whole number and one unit.
///
/// # Errors
/// A sentence that says what would be right.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration; write a number and one of s, m, h, d, w, for example 90s or 7d");
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return Err(wrong()),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    match digits.parse::<u64>().ok().and_then(|number| number.checked_mul(seconds)) {
        Some(0) => Err(format!("{text:?} is no time at all")),
        Some(total) if total <= LONGEST => Ok(Duration::from_secs(total)),
        _ => Err(format!("{text:?} is longer than ten years")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_one_number_and_one_unit() {
        let read = ["90s", "15m", "1h", "7d", "2w"].map(|text| parse_duration(text).unwrap().as_secs());
        assert_eq!(read, [90, 900, 3600, 604_800, 1_209_600]);
        for bad in ["", "s", "5", "1 h", "-1h", "+1h", "1.5h", "1h30m", "0s", "99999999999999999999d", "4000d", "1ä", "ä"] {
            assert!(parse_duration(bad).is_err(), "{bad:?}");
        }
    }
}
