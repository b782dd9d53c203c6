//! When a policy runs, as written: five cron fields, and windows in which nothing begins. What is due is decided elsewhere.

use std::{fmt, str::FromStr};

use jiff::civil::{DateTime, Time};

/// Five cron fields of which each is known to be well formed and in range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    text: String,
    fields: [Field; 5],
}

/// The values of one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Field {
    /// Bit n is set when n is among them.
    values: u64,
    /// It begins with `*`.
    is_star: bool,
}

impl Field {
    fn has(self, value: i8) -> bool {
        self.values >> value & 1 == 1
    }
}

/// Name, least and greatest number of each field, in order.
const FIELDS: [(&str, u32, u32); 5] = [("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 7)];

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Schedule, String> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let Ok(words) = <[&str; 5]>::try_from(words.clone()) else {
            return Err(format!("{text:?} has {} fields; write five: minute, hour, day of month, month, day of week", words.len()));
        };
        let mut fields = [Field { values: 0, is_star: false }; 5];
        for ((word, field), (name, least, most)) in words.iter().zip(&mut fields).zip(FIELDS) {
            *field = parse(word, least, most)
                .ok_or_else(|| format!("{word:?} is not a valid {name}; use {least} to {most}, *, ranges (1-5), lists (1,3) and steps (*/15)"))?;
        }
        let [_, _, _, _, day_of_week] = &mut fields;
        // Sunday is 0 and 7.
        day_of_week.values |= day_of_week.values >> 7;
        let schedule = Schedule { text: words.join(" "), fields };
        match schedule.is_possible() {
            true => Ok(schedule),
            false => Err(format!("{text:?} never comes: no month of it has such a day")),
        }
    }
}

/// A list of `*`, `7`, `1-5`, each with an optional `/step`.
fn parse(word: &str, least: u32, most: u32) -> Option<Field> {
    let number = |text: &str| text.parse::<u32>().ok().filter(|n| (least..=most).contains(n) && text.len() <= 2);
    let mut values = 0;
    for part in word.split(',') {
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (number(from)?, number(to)?),
            None if range == "*" => (least, most),
            // A step needs a range.
            None if step.is_none() => (number(range)?, number(range)?),
            None => return None,
        };
        let step = step.map_or(Some(1), |step| step.parse::<u32>().ok().filter(|n| (1..=most).contains(n)))?;
        if from > to {
            return None;
        }
        (from..=to).step_by(step as usize).for_each(|value| values |= 1 << value);
    }
    Some(Field { values, is_star: word.starts_with('*') })
}

impl Schedule {
    /// Whether it names times of day. With `*` at the beginning of minute or hour it names intervals instead: it follows the time that passes, whatever
    /// the clock on the wall is set to.
    pub fn is_fixed_time(&self) -> bool {
        let [minute, hour, ..] = &self.fields;
        !minute.is_star && !hour.is_star
    }

    /// Whether it names this minute of the clock on the wall.
    pub fn names(&self, local: DateTime) -> bool {
        let [minute, hour, ..] = &self.fields;
        self.names_day(local.date()) && hour.has(local.hour()) && minute.has(local.minute())
    }

    /// Whether any minute of this day is named. Where day of month and day of week are both given, one of them is enough.
    pub fn names_day(&self, date: jiff::civil::Date) -> bool {
        let [_, _, day, month, weekday] = &self.fields;
        let (by_day, by_weekday) = (day.has(date.day()), weekday.has(date.weekday().to_sunday_zero_offset()));
        let is_day = if day.is_star || weekday.is_star { by_day && by_weekday } else { by_day || by_weekday };
        month.has(date.month()) && is_day
    }

    /// The minutes of a day that it names, in order, if it names the day.
    pub fn minutes(&self) -> impl Iterator<Item = Time> {
        let [minute, hour, ..] = self.fields;
        let hours = (0..24).filter(move |h| hour.has(*h));
        hours.flat_map(move |h| (0..60).filter(move |m| minute.has(*m)).map(move |m| jiff::civil::time(h, m, 0, 0)))
    }

    /// The thirtieth of February never comes.
    fn is_possible(&self) -> bool {
        let [_, _, day, month, weekday] = &self.fields;
        let length = |month: i8| if month == 2 { 29 } else { 30 + i8::from(matches!(month, 1 | 3 | 5 | 7 | 8 | 10 | 12)) };
        let by_weekday = !weekday.is_star && !day.is_star;
        by_weekday || (1..=12).any(|m| month.has(m) && (1..=length(m)).any(|d| day.has(d)))
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A window of the week in which no run begins by itself: `08:00-18:00`, or with days of the week before it, as cron writes them, `1-5 08:00-18:00`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blackout {
    text: String,
    days: Field,
    from: Time,
    to: Time,
}

impl FromStr for Blackout {
    type Err = String;

    fn from_str(text: &str) -> Result<Blackout, String> {
        let wrong = || format!("{text:?} is not a window; write 08:00-18:00, or with days of the week before it, 1-5 08:00-18:00");
        let (days, hours) = text.split_once(' ').unwrap_or(("*", text));
        let mut days = parse(days, 0, 7).ok_or_else(wrong)?;
        days.values |= days.values >> 7;
        let (from, to) = hours.split_once('-').ok_or_else(wrong)?;
        let time = |text: &str| Time::strptime("%H:%M", text).ok().filter(|_| text.len() == 5).ok_or_else(wrong);
        let (from, to) = (time(from)?, time(to)?);
        if from == to {
            return Err(format!("{text:?} begins when it ends"));
        }
        Ok(Blackout { text: text.to_owned(), days, from, to })
    }
}

impl Blackout {
    /// Whether this minute of the clock on the wall lies in it. One that ends before it begins lasts over midnight and belongs to the day on which it begins.
    pub fn covers(&self, local: DateTime) -> bool {
        let begins_on = |date: jiff::civil::Date| self.days.has(date.weekday().to_sunday_zero_offset());
        let (date, time) = (local.date(), local.time());
        if self.from < self.to {
            return begins_on(date) && (self.from..self.to).contains(&time);
        }
        let began_yesterday = time < self.to && date.yesterday().is_ok_and(begins_on);
        began_yesterday || time >= self.from && begins_on(date)
    }
}

impl fmt::Display for Blackout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_have_five_fields_in_range() {
        for good in ["0 * * * *", "*/15 0-6 1,15 * 1-5", "59  23 31 12 7", "0 8-18/2 * * *", "0 0 29 2 *", "0 0 30 2 1"] {
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
            "0 0 30 2 *",
            "0 0 31 4,6 *",
        ] {
            assert!(bad.parse::<Schedule>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_day_is_named_by_both_its_fields_or_by_either_when_both_are_given() {
        let names = |schedule: &str, day: &str| schedule.parse::<Schedule>().unwrap().names_day(day.parse().unwrap());
        assert!(names("0 0 13 * 5", "2026-11-13") && names("0 0 13 * 5", "2026-12-13") && names("0 0 13 * 5", "2026-11-20"));
        assert!(!names("0 0 13 * *", "2026-11-20") && !names("0 0 */2 * 5", "2026-11-20") && names("0 0 */2 * 5", "2026-11-13"));
        assert!(names("0 0 * * 7", "2026-11-29") && names("0 0 * * 0", "2026-11-29") && !names("0 0 * * 1-6", "2026-11-29"));
    }

    #[test]
    fn a_window_may_last_over_midnight_and_belongs_to_the_day_on_which_it_begins() {
        let covers = |window: &str, local: &str| window.parse::<Blackout>().unwrap().covers(local.parse().unwrap());
        assert!(
            covers("08:00-18:00", "2026-11-28T08:00") && !covers("08:00-18:00", "2026-11-28T18:00") && !covers("1-5 08:00-18:00", "2026-11-28T12:00")
        );
        // A Friday, and the Saturday after it.
        assert!(covers("5 22:00-06:00", "2026-11-27T23:00") && covers("5 22:00-06:00", "2026-11-28T05:59"));
        assert!(!covers("5 22:00-06:00", "2026-11-27T05:00") && !covers("5 22:00-06:00", "2026-11-28T06:00"));
        for bad in ["", "8:00-18:00", "08:00", "08:00-08:00", "8 08:00-18:00", "08:00-24:00", "mon 08:00-09:00"] {
            assert!(bad.parse::<Blackout>().is_err(), "{bad:?}");
        }
    }
}
