//! Restores a component that is a stream: in order, into whatever takes it, checked on the way.

use std::io::Write;

use tokio::sync::mpsc;

use super::{
    RestoreError,
    fetch::{Frames, PackReader},
    maps::segment_lines,
    walk::FrameWalk,
};
use crate::{
    model::{Context, Progress, Sha256},
    pipeline::Sha256Hasher,
    repository::{
        map::{Run, StreamLine},
        sealed::SealedComponent,
    },
    sources::StreamSink,
};

/// Runs of one pack that are read together.
const RUNS_AHEAD: usize = 2;

/// Writes the stream into `sink`. Returns only when the target has taken all of it and it was what the manifest says.
///
/// # Errors
/// When it cannot be read, is not what was saved, or the target does not take it. The sink is then abandoned, never ended well.
pub async fn restore_stream(
    component: &SealedComponent,
    sink: StreamSink,
    packs: &PackReader,
    progress: Progress,
    ctx: &Context,
) -> Result<u64, RestoreError> {
    let (send, receive) = mpsc::channel(RUNS_AHEAD);
    let expected = component.digest;
    let writing = tokio::task::spawn_blocking(move || write(receive, sink, expected, progress));
    let fed = feed(component, packs, send, ctx).await;
    let written = writing.await.map_err(|_| RestoreError::TornDown)?;
    // Whoever stops reading makes feeding fail as well: its own error says why.
    match (fed, written) {
        (Err(RestoreError::TornDown), Err(error)) | (Ok(()), Err(error)) => Err(error),
        (Err(error), _) => Err(error),
        (Ok(()), Ok(bytes)) => Ok(bytes),
    }
}

/// What the writer is given.
enum Part {
    Run(Frames, Run),
    /// Everything was sent: without it the stream is cut and must not be ended well.
    End,
}

async fn feed(component: &SealedComponent, packs: &PackReader, send: mpsc::Sender<Part>, ctx: &Context) -> Result<(), RestoreError> {
    for segment in &component.segments {
        let lines: Vec<StreamLine> = segment_lines(packs, segment, &component.name).await?;
        for run in lines.into_iter().flat_map(|line| line.runs) {
            if ctx.cancel.is_draining() {
                return Err(RestoreError::Cancelled);
            }
            let frames = packs.frames(run.pack, vec![(run.offset, run.length)]).await?;
            send.send(Part::Run(frames, run)).await.map_err(|_| RestoreError::TornDown)?;
        }
    }
    send.send(Part::End).await.map_err(|_| RestoreError::TornDown)
}

fn write(mut receive: mpsc::Receiver<Part>, mut sink: StreamSink, expected: Sha256, mut progress: Progress) -> Result<u64, RestoreError> {
    let mut hasher = Sha256Hasher::new();
    let mut bytes = 0;
    let mut ended = false;
    let mut broken = None;
    while let Some(part) = receive.blocking_recv() {
        let Part::Run(frames, run) = part else {
            ended = true;
            break;
        };
        let written = FrameWalk::new(&frames)?.run(&run, |part| {
            hasher.update(part);
            sink.write_all(part).map_err(|error| RestoreError::Usage(format!("the target does not take the stream: {error}")))?;
            bytes += part.len() as u64;
            progress.add(part.len() as u64, 0);
            Ok(())
        });
        if let Err(error) = written {
            broken = Some(error);
            break;
        }
    }
    progress.flush();
    match broken {
        // The target knows better why it stopped taking.
        Some(RestoreError::Usage(text)) => Err(sink.finish().map_or_else(RestoreError::from, |()| RestoreError::Usage(text))),
        Some(error) => Err(error),
        None if !ended => Err(RestoreError::TornDown),
        None if hasher.finish() != expected => Err(RestoreError::Different { what: "the stream".to_owned() }),
        None => sink.finish().map(|()| bytes).map_err(RestoreError::from),
    }
}
