//! When a policy runs, as written: five cron fields. What is due is decided elsewhere.

use std::{fmt, str::FromStr};

/// Five cron fields of which each is known to be well formed and in range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule(String);

/// Name, least and greatest number of each field, in order.
const FIELDS: [(&str, u32, u32); 5] = [("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 7)];

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Schedule, String> {
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        if fields.len() != FIELDS.len() {
            return Err(format!("{text:?} has {} fields; write five: minute, hour, day of month, month, day of week", fields.len()));
        }
        for (field, (name, least, most)) in fields.iter().zip(FIELDS) {
            if !field.split(',').all(|part| is_part(part, least, most)) {
                return Err(format!("{field:?} is not a valid {name}; use {least} to {most}, *, ranges (1-5), lists (1,3) and steps (*/15)"));
            }
        }
        Ok(Schedule(fields.join(" ")))
    }
}

/// `*`, `7`, `1-5`, each with an optional `/step`.
fn is_part(part: &str, least: u32, most: u32) -> bool {
    let number = |text: &str| text.parse::<u32>().ok().filter(|n| (least..=most).contains(n) && text.len() <= 2);
    let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
    let range_ok = match range.split_once('-') {
        Some((from, to)) => matches!((number(from), number(to)), (Some(from), Some(to)) if from <= to),
        None => range == "*" || (number(range).is_some() && step.is_none()),
    };
    range_ok && step.is_none_or(|step| step.parse::<u32>().is_ok_and(|n| (1..=most).contains(&n)))
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_have_five_fields_in_range() {
        for good in ["0 * * * *", "*/15 0-6 1,15 * 1-5", "59  23 31 12 7", "0 8-18/2 * * *"] {
            good.parse::<Schedule>().unwrap();
        }
        for bad in [
            "",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "5-1 * * * *",
            "*/0 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "5/10 * * * *",
            "a * * * *",
            "1, * * * *",
        ] {
            assert!(bad.parse::<Schedule>().is_err(), "{bad:?}");
        }
    }
}
