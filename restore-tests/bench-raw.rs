//! The raw limit: what the pipeline's stages reach on this machine without a repository around them. The benchmarks compare with it.
//!
//!     bench-raw backup  SOURCE PACKS THREADS    read, chunk, hash, compress, verify, encrypt, hash, write packs
//!     bench-raw restore PACKS TARGET THREADS    read packs, decrypt, decompress, write files, read them back, hash
//!     bench-raw stages  FILE                    each stage alone, on one thread
//!
//! SOURCE is a directory of files. A file is the work of one thread, so threads help as far as there are files.
#![expect(clippy::print_stdout, reason = "its result is what it prints")]

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};
use hourglass::{
    model::Sha256,
    pipeline::{
        ChunkKey, ChunkSizes, Chunker, FrameEncoder, OpenPack, PackBuilder, Placement, Sha256Hasher, VaultIdentity, VaultRecipient, decode_frames,
        frame::{DEFAULT_LEVEL, FrameDecoder},
        pack::PACK_TARGET,
        seal, sha256,
    },
    repository::map,
    restore::{RestoreError, fetch::Frames, walk::FrameWalk},
};
use serde::{Deserialize, Serialize};

/// Bytes that are read back and hashed at once, as the product does.
const READ_BACK: usize = 256 << 10;

/// Where a file's bytes went.
#[derive(Serialize, Deserialize)]
struct Stored {
    name: String,
    sha256: Sha256,
    runs: Vec<Run>,
}

/// Frames of a file that lie side by side in one pack.
#[derive(Clone, Serialize, Deserialize)]
struct Run {
    pack: Option<Sha256>,
    place: Placement,
    plain: u64,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["backup", source, packs, threads] => timed("backup", || backup(source.as_ref(), packs.as_ref(), threads.parse()?)),
        ["restore", packs, target, threads] => timed("restore", || restore(packs.as_ref(), target.as_ref(), threads.parse()?)),
        ["stages", file] => stages(file.as_ref()),
        _ => bail!("usage: bench-raw backup SOURCE PACKS THREADS | restore PACKS TARGET THREADS | stages FILE"),
    }
}

/// Prints wall seconds, MB/s, and the processor seconds of the whole process, which a busy machine disturbs less.
fn timed(name: &str, work: impl FnOnce() -> Result<u64>) -> Result<()> {
    let (begun, used) = (Instant::now(), processor_seconds()?);
    let bytes = work()? as f64 / 1e6;
    let (wall, used) = (begun.elapsed().as_secs_f64(), processor_seconds()? - used);
    println!("{name}: {wall:.3} s, {:.0} MB/s; {used:.2} processor s, {:.0} MB each", bytes / wall, bytes / used);
    Ok(())
}

fn processor_seconds() -> Result<f64> {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(')').next().context("no end of the name")?.split_whitespace();
    let ticks: Vec<f64> = fields.skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
}

/// Runs `work` on every item, on so many threads, each with a state of its own, and ends the states.
fn in_parallel<I: Sync, S>(
    items: &[I],
    threads: usize,
    begin: impl Fn() -> Result<S> + Sync,
    work: impl Fn(&mut S, &I) -> Result<()> + Sync,
    end: impl Fn(S) -> Result<()> + Sync,
) -> Result<()> {
    let next = AtomicUsize::new(0);
    let one = || -> Result<()> {
        let mut state = begin()?;
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(&mut state, item)?;
        }
        end(state)
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        running.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// One thread's half-filled pack, and the files whose runs wait for its name.
struct Writer<'a> {
    encoder: FrameEncoder,
    pack: PackBuilder,
    files: Vec<Stored>,
    vault: &'a VaultRecipient,
    packs: &'a Path,
}

impl Writer<'_> {
    fn store(&mut self, path: &Path, key: &ChunkKey) -> Result<u64> {
        let name = path.file_name().and_then(|name| name.to_str()).context("a file name that is not UTF-8")?.to_owned();
        let mut content = Sha256Hasher::new();
        self.files.push(Stored { name, sha256: Sha256::ZERO, runs: Vec::new() });
        let mut total = 0;
        for chunk in Chunker::new(File::open(path)?, ChunkSizes::FILE) {
            let chunk = chunk?;
            content.update(&chunk);
            std::hint::black_box(key.id(&chunk));
            let place = self.pack.append(&self.encoder.encode(&chunk)?)?;
            total += chunk.len() as u64;
            let runs = &mut self.files.last_mut().context("just pushed")?.runs;
            match runs.last_mut().filter(|run| run.pack.is_none()) {
                Some(run) => {
                    run.place.length += place.length;
                    run.plain += chunk.len() as u64;
                }
                None => runs.push(Run { pack: None, place, plain: chunk.len() as u64 }),
            }
            if self.pack.is_full() {
                self.flush()?;
            }
        }
        self.files.last_mut().context("just pushed")?.sha256 = content.finish();
        Ok(total)
    }

    fn flush(&mut self) -> Result<()> {
        let sealed = std::mem::replace(&mut self.pack, PackBuilder::new(PACK_TARGET)).seal(self.vault)?;
        fs::write(self.packs.join(format!("{}.age", sealed.sha256)), &sealed.bytes)?;
        for run in self.files.iter_mut().flat_map(|file| &mut file.runs) {
            run.pack.get_or_insert(sealed.sha256);
        }
        Ok(())
    }
}

fn backup(source: &Path, packs: &Path, threads: usize) -> Result<u64> {
    fs::create_dir_all(packs)?;
    let (identity, key) = (VaultIdentity::generate(), ChunkKey::generate());
    fs::write(packs.join("identity"), identity.to_secret().expose())?;
    let vault = identity.recipient();
    let (total, stored) = (Mutex::new(0), Mutex::new(Vec::new()));
    let files: Vec<PathBuf> = fs::read_dir(source)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    let begin = || {
        let (encoder, pack) = (FrameEncoder::new(DEFAULT_LEVEL)?, PackBuilder::new(PACK_TARGET));
        Ok(Writer { encoder, pack, files: Vec::new(), vault: &vault, packs })
    };
    let work = |writer: &mut Writer<'_>, path: &PathBuf| {
        let bytes = writer.store(path, &key)?;
        *total.lock().expect("no thread panics with it") += bytes;
        Ok(())
    };
    let end = |mut writer: Writer<'_>| {
        if !writer.pack.is_empty() {
            writer.flush()?;
        }
        stored.lock().expect("no thread panics with it").extend(writer.files);
        Ok(())
    };
    in_parallel(&files, threads, begin, work, end)?;
    fs::write(packs.join("map.json"), serde_json::to_vec(&stored.into_inner()?)?)?;
    Ok(total.into_inner()?)
}

fn restore(packs: &Path, target: &Path, threads: usize) -> Result<u64> {
    fs::create_dir_all(target)?;
    let identity: VaultIdentity = fs::read_to_string(packs.join("identity"))?.parse()?;
    let files: Vec<Stored> = serde_json::from_slice(&fs::read(packs.join("map.json"))?)?;
    let work = |(): &mut (), file: &Stored| {
        let mut out = File::options().read(true).write(true).create_new(true).open(target.join(&file.name))?;
        let (mut content, mut buffer, mut at) = (Sha256Hasher::new(), vec![0; READ_BACK], 0);
        for Run { pack, place, plain } in &file.runs {
            let pack = pack.context("a run without a pack")?;
            let sealed = fs::read(packs.join(format!("{pack}.age")))?;
            let frames = Frames::Whole(OpenPack::open_unproved(sealed.into(), &identity)?);
            let run = map::Run { pack, offset: place.offset, length: place.length, skip: 0, size: *plain };
            let write = |plain: &[u8]| out.write_all(plain).map_err(|error| RestoreError::Usage(error.to_string()));
            FrameWalk::new(&frames)?.run(&run, write)?;
            let end = at + plain;
            while at < end {
                let part = buffer.len().min((end - at) as usize);
                out.read_exact_at(&mut buffer[..part], at)?;
                content.update(&buffer[..part]);
                at += part as u64;
            }
        }
        ensure!(content.finish() == file.sha256, "{} came back different", file.name);
        Ok(())
    };
    in_parallel(&files, threads, || Ok(()), work, Ok)?;
    Ok(files.iter().flat_map(|file| &file.runs).map(|run| run.plain).sum())
}

/// Times each stage on the file's bytes, which are held in memory; rates are of plaintext, or of frames for seal and open.
fn stages(file: &Path) -> Result<()> {
    let plain = fs::read(file)?;
    let (identity, key) = (VaultIdentity::generate(), ChunkKey::generate());
    let chunks = || Chunker::new(&plain[..], ChunkSizes::FILE).collect::<std::io::Result<Vec<_>>>();
    let cut = chunks()?;
    let length = plain.len() as u64;
    timed("chunk (dump sizes)", || Ok(Chunker::new(&plain[..], ChunkSizes::DUMP).map(|chunk| chunk.map_or(0, |c| c.len() as u64)).sum()))?;
    timed("chunk (file sizes)", || Ok(Chunker::new(&plain[..], ChunkSizes::FILE).map(|chunk| chunk.map_or(0, |c| c.len() as u64)).sum()))?;
    timed("keyed blake3", || {
        for chunk in &cut {
            std::hint::black_box(key.id(chunk));
        }
        Ok(length)
    })?;
    timed("sha256", || {
        std::hint::black_box(sha256(&plain));
        Ok(length)
    })?;
    let mut frames = Vec::new();
    timed("encode and verify", || {
        let mut encoder = FrameEncoder::new(DEFAULT_LEVEL)?;
        frames = cut.iter().map(|chunk| encoder.encode(chunk)).collect::<Result<_, _>>()?;
        Ok(length)
    })?;
    let joined: Vec<u8> = frames.concat();
    println!("ratio {:.4}", joined.len() as f64 / length as f64);
    timed("decode", || {
        let (mut decoder, mut out) = (FrameDecoder::new()?, Vec::new());
        frames.iter().zip(&cut).try_for_each(|(frame, chunk)| decoder.decode(frame, chunk.len(), &mut out))?;
        Ok(length)
    })?;
    decode_frames(&joined, plain.len(), &mut Vec::new())?;
    let parts: Vec<&[u8]> = joined.chunks(PACK_TARGET).collect();
    let mut sealed = Vec::new();
    timed("seal", || {
        sealed = parts.iter().map(|part| seal(&[&identity.recipient()], part)).collect::<Result<_, _>>()?;
        Ok(joined.len() as u64)
    })?;
    timed("open", || {
        sealed.iter().try_for_each(|part| hourglass::pipeline::open(&identity, part).map(drop))?;
        Ok(joined.len() as u64)
    })
}
