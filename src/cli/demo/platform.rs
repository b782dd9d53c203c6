//! Makes a small API platform on disk, and lets a day pass in it: the site files of a portal, the event logs of gateways, an export of
//! key-value data.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, BufWriter, Write},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde::Serialize;

use super::content::{Dice, event, media, page, record};
use crate::model::ByteCount;

const SEED: u64 = 0x686f_7572_676c_6173;
const GATEWAYS: u64 = 3;
const DAYS: u64 = 8;
const SITES: u64 = 6;
const PAGE_MEAN: u64 = 9 << 10;
const MEDIA_MEAN: u64 = 160 << 10;
/// A record is nearly this long.
const RECORD: u64 = 300;
const TOPICS: u64 = 10;
/// One of so many records changes in a day.
const CHANGED: u64 = 150;
/// 2026-11-01T00:00:00Z.
const NOVEMBER: u64 = 1_793_491_200;

/// Where the export of key-value data lies, from the root of the platform.
pub(super) const EXPORT: &str = "kv/export.jsonl";

/// The platform: where, and how large.
#[derive(Debug, Clone)]
pub(super) struct Platform {
    pub root: PathBuf,
    pub size: ByteCount,
}

/// What was written.
#[derive(Debug, Default, Clone, Copy, Serialize)]
pub(super) struct Made {
    pub files: u64,
    pub bytes: ByteCount,
}

impl Made {
    fn add(&mut self, bytes: usize) {
        self.files += 1;
        self.bytes.0 += bytes as u64;
    }

    fn and(self, other: Made) -> Made {
        Made { files: self.files + other.files, bytes: ByteCount(self.bytes.0 + other.bytes.0) }
    }
}

impl Platform {
    fn pages(&self) -> u64 {
        self.size.0 / 5 / PAGE_MEAN
    }

    fn media(&self) -> u64 {
        self.size.0 / 10 / MEDIA_MEAN
    }

    fn records(&self) -> u64 {
        self.size.0 / 5 / RECORD
    }

    fn log_bytes(&self) -> usize {
        usize::try_from(self.size.0 / 2 / (GATEWAYS * DAYS)).expect("a log is smaller than memory")
    }

    /// Makes all of it, each member on a thread of its own.
    pub(super) fn make(&self) -> io::Result<Made> {
        fs::create_dir_all(self.root.join("kv"))?;
        std::thread::scope(|scope| {
            let events = scope.spawn(|| self.make_events());
            let export = scope.spawn(|| self.write_export(0));
            let portal = self.make_portal()?;
            let events = events.join().expect("making logs does not panic")?;
            Ok(portal.and(events).and(export.join().expect("making an export does not panic")?))
        })
    }

    /// A day passes: calls are logged, pages are edited, added and taken away, keys get new values.
    pub(super) fn change(&self) -> io::Result<Made> {
        let mut made = self.write_export(1)?;
        for gateway in 1..=GATEWAYS {
            let path = self.log(gateway, DAYS);
            let text = calls(Dice::new(SEED, gateway << 32), gateway, DAYS, self.log_bytes() / 10);
            OpenOptions::new().append(true).open(path)?.write_all(text.as_bytes())?;
            made.add(text.len());
        }
        // Somebody works on one topic of one site.
        let topic = (0..self.pages()).step_by(usize::try_from(SITES * TOPICS).expect("a small number"));
        for (turn, number) in topic.enumerate() {
            match turn % 8 {
                0..5 => made = made.and(self.write_page(number, 1)?),
                5 => fs::remove_file(self.page(number))?,
                _ => {}
            }
        }
        for number in self.pages()..self.pages() + 3 {
            made = made.and(self.write_page(number, 0)?);
        }
        Ok(made)
    }

    fn make_portal(&self) -> io::Result<Made> {
        let portal = self.root.join("portal");
        for site in 0..SITES {
            let site = portal.join(format!("sites/site-{site}"));
            (0..TOPICS).try_for_each(|topic| fs::create_dir_all(site.join(format!("pages/topic-{topic}"))))?;
            ["media", "cache", "private"].iter().try_for_each(|folder| fs::create_dir_all(site.join(folder)))?;
            let settings = site.join("private/settings.php");
            fs::write(&settings, "<?php $settings['trusted_host_patterns'] = ['^portal\\.example$'];\n")?;
            fs::set_permissions(&settings, Permissions::from_mode(0o440))?;
            fs::set_permissions(site.join("private"), Permissions::from_mode(0o700))?;
            symlink("../../sites/site-0/pages/topic-0", site.join("start"))?;
        }
        let mut made = Made { files: SITES, ..Made::default() };
        for number in 0..self.pages() {
            made = made.and(self.write_page(number, 0)?);
        }
        for number in 0..self.media() {
            let mut dice = Dice::new(SEED, (1 << 40) + number);
            let length = MEDIA_MEAN / 2 + dice.below(MEDIA_MEAN);
            let bytes = media(&mut dice, usize::try_from(length).expect("a medium is small"));
            fs::write(portal.join(format!("sites/site-{}/media/picture-{number:04}.jpg", number % SITES)), &bytes)?;
            made.add(bytes.len());
        }
        Ok(made)
    }

    fn page(&self, number: u64) -> PathBuf {
        self.root.join(format!("portal/sites/site-{}/pages/topic-{}/page-{number:05}.html", number % SITES, number / SITES % TOPICS))
    }

    fn write_page(&self, number: u64, turn: u64) -> io::Result<Made> {
        let mut dice = Dice::new(SEED ^ turn, (2 << 40) + number);
        let length = PAGE_MEAN / 4 + dice.below(PAGE_MEAN * 3 / 2);
        let text = page(&mut dice, &format!("Page {number}, edition {turn}"), usize::try_from(length).expect("a page is small"));
        let mut file = File::create(self.page(number))?;
        file.write_all(text.as_bytes())?;
        // Pages are of the days before the logs; an edited one is of the last day.
        let at = if turn == 0 { NOVEMBER - dice.below(90 * 86_400) } else { NOVEMBER + DAYS * 86_400 };
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::new(at, u32::try_from(number).unwrap_or(0)))?;
        let mut made = Made::default();
        made.add(text.len());
        Ok(made)
    }

    fn log(&self, gateway: u64, day: u64) -> PathBuf {
        self.root.join(format!("events/gateway-{gateway}/2026-11-{day:02}.jsonl"))
    }

    fn make_events(&self) -> io::Result<Made> {
        let mut made = Made::default();
        for gateway in 1..=GATEWAYS {
            fs::create_dir_all(self.root.join(format!("events/gateway-{gateway}")))?;
            for day in 1..=DAYS {
                let text = calls(Dice::new(SEED, (gateway << 8) + day), gateway, day, self.log_bytes());
                fs::write(self.log(gateway, day), &text)?;
                made.add(text.len());
            }
        }
        Ok(made)
    }

    /// Writes the export anew; in a later turn, some records have new values.
    fn write_export(&self, turn: u64) -> io::Result<Made> {
        write_export(&self.root.join(EXPORT), self.records(), turn)
    }
}

fn write_export(path: &Path, records: u64, turn: u64) -> io::Result<Made> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let (mut line, mut bytes) = (String::new(), 0);
    for number in 0..records {
        line.clear();
        // What changes in a day lies together, as fresh sessions do.
        let is_fresh = number / 64 % CHANGED == 0;
        record(SEED, number, if is_fresh { turn } else { 0 }, &mut line);
        file.write_all(line.as_bytes())?;
        bytes += line.len();
    }
    file.flush()?;
    let mut made = Made::default();
    made.add(bytes);
    Ok(made)
}

/// Lines of a log, of `length` bytes together or a little more.
fn calls(mut dice: Dice, gateway: u64, day: u64, length: usize) -> String {
    let mut text = String::with_capacity(length + 512);
    while text.len() < length {
        let second = (text.len() as u64 * 86_400) / length.max(1) as u64;
        event(&mut dice, gateway, day, second, &mut text);
    }
    text
}
