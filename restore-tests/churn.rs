//! A month of daily points of data that changes: what a restore of any of them reads, compared with what it uses.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    sync::Arc,
};

use hourglass::{
    model::{ByteCount, Context},
    orchestrator::backup::back_up,
    storage::{Counting, OperationKind},
};

use crate::crash::{
    snapshot::{assert_same, boundary_names, noise},
    world::{World, context, tick},
};

const DAY: i64 = 86_400;

/// What restores of a month's points would read and use, and how often a new epoch was opened.
struct Month {
    world: World,
    /// Per point: the ratio of bytes in packs that it needs to those that it uses.
    ratios: Vec<f64>,
    epochs: usize,
    stored: u64,
    live: u64,
}

/// Makes a point a day for 30 days; `change` is called before each but the first.
async fn month(pack: u64, begin: impl Fn(&World), change: impl Fn(&World, u64)) -> Month {
    let world = World::new();
    begin(&world);
    let mut month = Month { world, ratios: Vec::new(), epochs: 0, stored: 0, live: 0 };
    let mut epoch = None;
    for day in 0..30 {
        if day > 0 {
            tick();
            change(&month.world, day);
        }
        let ctx = context(i64::try_from(day).unwrap() * DAY);
        let ctx = Context { limits: hourglass::model::Limits { pack: ByteCount(pack), memory: ByteCount(128 << 20), ..ctx.limits }, ..ctx };
        let request = month.world.request("weekly", &month.world.stores()).await.unwrap();
        let end = back_up(request, &ctx).await.unwrap();
        assert!(end.outcome.is_success(), "{:?}", end.outcome);
        let point = end.record.point(end.entry.unwrap()).unwrap().1;
        month.ratios.push(point.needed_bytes.0 as f64 / point.live_bytes.0 as f64);
        month.stored += point.stored_bytes.0;
        month.live = point.live_bytes.0;
        let (_, of) = &end.record.state().points[&end.entry.unwrap()];
        month.epochs += usize::from(epoch.replace(of.clone()).as_ref() != Some(of));
    }
    month
}

impl Month {
    /// Restores the last point; no point is to need, and this one is not to read, more than 1.5 times what it uses.
    async fn judge(self, what: &str) {
        let Month { world, ratios, epochs, stored, live } = self;
        let (number, _) = world.points("weekly").await.pop().unwrap();
        let counting = Arc::new(Counting::new(world.store("repository")));
        let store: Arc<dyn hourglass::storage::ObjectStore> = counting.clone();
        assert_same(&world.restored("weekly", number, &store).await, &world.present("weekly"), what);
        let read = counting.count(OperationKind::Get).bytes.0 as f64 / live as f64;
        let worst = ratios.iter().copied().fold(0.0, f64::max);
        println!(
            "{what}: the last reads {read:.2}, all need at most {worst:.2}; {epochs} epochs, {:.1} times the data stored",
            stored as f64 / live as f64
        );
        println!("{}", ratios.iter().map(|ratio| format!("{ratio:.2}")).collect::<Vec<_>>().join(" "));
        assert!(read <= 1.5 && worst <= 1.5, "{what}: {read:.2} {worst:.2}");
    }
}

/// Which of `count` things change on a day: a tenth of them, each day others.
fn tenth(day: u64, count: u64) -> impl Iterator<Item = u64> {
    (0..count).filter(move |i| blake3::hash(format!("{day} {i}").as_bytes()).as_bytes()[0].is_multiple_of(10))
}

/// Sixteen files to a pack, as files of a MiB are in packs of full size.
#[tokio::test(flavor = "multi_thread")]
async fn restores_of_a_tree_of_which_a_tenth_changes_daily_read_little_more_than_they_use() {
    const FILES: usize = 500;
    let names = boundary_names(FILES);
    let write = |world: &World, i: u64, day: u64| fs::write(world.tree().join(&names[i as usize]), noise(day << 32 | i, 12 << 10)).unwrap();
    let begin = |world: &World| (0..FILES as u64).for_each(|i| write(world, i, 0));
    let change = |world: &World, day: u64| tenth(day, FILES as u64).for_each(|i| write(world, i, day));
    month(192 << 10, begin, change).await.judge("a tree").await;
}

/// Four chunks to a pack.
#[tokio::test(flavor = "multi_thread")]
async fn restores_of_large_files_that_change_in_the_middle_read_little_more_than_they_use() {
    const FILES: u64 = 4;
    const BLOCKS: u64 = 12;
    let path = |world: &World, file: u64| world.tree().join(format!("large-{file}"));
    let begin = |world: &World| (0..FILES).for_each(|file| fs::write(path(world, file), noise(file, (BLOCKS << 20) as usize)).unwrap());
    let change = |world: &World, day: u64| {
        for block in tenth(day, FILES * BLOCKS) {
            let file = File::options().write(true).open(path(world, block / BLOCKS)).unwrap();
            file.write_all_at(&noise(day << 32 | block, 64 << 10), ((block % BLOCKS) << 20) + (300 << 10)).unwrap();
        }
    };
    month(4 << 20, begin, change).await.judge("large files").await;
}
