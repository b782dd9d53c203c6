//! Restores a member into the system that a source describes: stage by stage, several components at a time, and reads it back.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
    sync::Arc,
};

use futures::{StreamExt, TryStreamExt, stream};

use super::{
    RestoreError,
    member::{Earlier, Report, RestoreEnd},
    opened::OpenedPoint,
    stream::restore_stream,
};
use crate::{
    model::{ByteCount, Context, MemberName, Outcome, Problem, Progress},
    repository::sealed::{SealedComponent, SealedMember},
    sources::{Judged, Loading, RowKey, Sink, Source, SourceError, StreamSink, SystemTarget, Target},
};

/// Components that are written at a time at most.
const LANES_MAX: usize = 8;
/// Differences that are named; more are counted.
const DIFFERENCES_MAX: usize = 1000;

/// A component, with its position in the point.
type Numbered<'a> = (u32, &'a SealedComponent);

struct Restoring<'a> {
    point: &'a OpenedPoint,
    source: Arc<dyn Source>,
    target: SystemTarget,
    lanes: usize,
    ctx: &'a Context,
}

/// Restores what is selected of a member. What is there afterwards is compared row by row where the source can read it back.
pub(super) async fn restore_system(
    point: &OpenedPoint,
    member: &SealedMember,
    source: Arc<dyn Source>,
    target: SystemTarget,
    earlier: Earlier,
    progress: Progress,
    ctx: &Context,
) -> Result<RestoreEnd, RestoreError> {
    let lanes = source.lanes().clamp(1, LANES_MAX);
    let restoring = Restoring { point, source, target, lanes, ctx };
    let chosen = restoring.chosen(member)?;
    let row_key = member.row_key.unwrap_or_else(|| RowKey::from_bytes([0; 32]));
    let done: BTreeSet<String> = chosen.iter().filter(|(number, _)| earlier.done.contains(number)).map(|(_, c)| c.name.clone()).collect();
    let loading = Loading {
        components: chosen.iter().map(|(_, component)| component.component()).collect(),
        done,
        resumed: earlier.resumed,
        row_key,
        run: earlier.run.clone(),
    };
    restoring.learn(member).await?;
    let target = restoring.target.clone();
    restoring.call(move |source, ctx| source.begin(&loading, &target, ctx)).await?;
    earlier.tell(Report::Admitted).await?;
    let stages: BTreeMap<u8, Vec<Numbered<'_>>> = chosen.iter().fold(BTreeMap::new(), |mut stages, component| {
        stages.entry(component.1.stage).or_insert_with(Vec::new).push(*component);
        stages
    });
    let mut missing = Vec::new();
    for components in stages.into_values() {
        let left = components.into_iter().filter(|(number, _)| !earlier.done.contains(number));
        let written = stream::iter(left).map(|(number, component)| {
            let (restoring, progress, report) = (&restoring, progress.clone(), &earlier.report);
            async move {
                let refused = restoring.write(component, progress).await?;
                if refused.is_empty() {
                    // Nobody listens any more only when the journal is lost, and then the run ends.
                    let _told = report.send(Report::Written(number));
                }
                Ok::<_, RestoreError>(refused)
            }
        });
        missing.extend(written.buffer_unordered(lanes).try_collect::<Vec<_>>().await?.concat());
    }
    // At its end the source forgets how far it came: by then it must be known elsewhere.
    earlier.tell(Report::All).await?;
    let mut notes = restoring.call(|source, ctx| source.end(ctx)).await?;
    notes.extend(member.notes.iter().cloned());
    let (differences, compared) = restoring.compare(&chosen).await?;
    missing.extend(differences);
    Ok(RestoreEnd {
        outcome: if missing.is_empty() { Outcome::Succeeded } else { Outcome::Incomplete { missing } },
        bytes: ByteCount(chosen.iter().map(|(_, component)| component.bytes).sum()),
        items: chosen.iter().map(|(_, component)| component.rows.map_or(1, |rows| rows.rows)).sum(),
        compared,
        notes,
        tally: restoring.source.tally(),
        ..RestoreEnd::nothing()
    })
}

/// What a person has to decide before what is selected of a member can go into a system; that is not asked.
///
/// # Errors
/// When there is no such member or object, or it cannot be read from the repository.
pub async fn objections(
    point: &OpenedPoint,
    member: &MemberName,
    source: Arc<dyn Source>,
    target: SystemTarget,
    ctx: &Context,
) -> Result<Vec<Problem>, RestoreError> {
    if !source.foresees() {
        return Ok(Vec::new());
    }
    let lanes = source.lanes().clamp(1, LANES_MAX);
    let restoring = Restoring { point, source, target, lanes, ctx };
    let member = point.member(member)?;
    let chosen = restoring.chosen(member)?;
    restoring.learn(member).await?;
    let looks = chosen.iter().map(|(_, sealed)| {
        let (component, target) = (sealed.component(), restoring.target.clone());
        restoring.reread(sealed, move |source, saved, _| source.objections(&component, saved, &target))
    });
    let found: Vec<Vec<Problem>> = stream::iter(looks).buffer_unordered(lanes).try_collect().await?;
    Ok(limited(found.concat()))
}

impl Restoring<'_> {
    /// The components that the target asks for, in the order of their stages.
    fn chosen<'m>(&self, member: &'m SealedMember) -> Result<Vec<Numbered<'m>>, RestoreError> {
        let mut chosen: Vec<Numbered<'m>> = (0..).zip(&member.components).collect();
        chosen.retain(|(_, component)| self.source.is_selected(&component.component(), &self.target));
        chosen.sort_by_key(|(_, component)| component.stage);
        match chosen.is_empty() {
            true => Err(RestoreError::Absent { what: "object", name: self.target.select.join(", ") }),
            false => Ok(chosen),
        }
    }

    /// Lets the source learn from the components that it wants for that.
    async fn learn(&self, member: &SealedMember) -> Result<(), RestoreError> {
        for sealed in member.components.iter().filter(|sealed| self.source.learns_from(&sealed.component())) {
            let component = sealed.component();
            self.reread(sealed, move |source, saved, _| source.learn(&component, saved).map(|()| Vec::new())).await?;
        }
        Ok(())
    }

    /// Calls the source on a thread that may block.
    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Source, &Context) -> Result<T, SourceError> + Send + 'static,
    ) -> Result<T, RestoreError> {
        let (source, ctx) = (Arc::clone(&self.source), self.ctx.clone());
        let called = tokio::task::spawn_blocking(move || work(source.as_ref(), &ctx)).await;
        Ok(called.map_err(|_| RestoreError::TornDown)??)
    }

    /// Writes a component. What the target did not take of it is the result.
    async fn write(&self, sealed: &SealedComponent, progress: Progress) -> Result<Vec<Problem>, RestoreError> {
        if self.ctx.cancel.is_draining() {
            return Err(RestoreError::Cancelled);
        }
        let (component, target) = (sealed.component(), Target::System(self.target.clone()));
        let sink = match self.call(move |source, ctx| source.sink(&component, &target, ctx)).await? {
            Sink::Stream(sink) => sink,
            Sink::Tree(_) => return Err(RestoreError::Usage(format!("{} was a stream and is configured as a tree", sealed.name))),
        };
        restore_stream(sealed, sink, &self.point.packs, progress, self.ctx).await?;
        Ok(self.source.refused(&sealed.component()))
    }

    /// What differs between the target and the point, and whether everything was compared.
    async fn compare(&self, chosen: &[Numbered<'_>]) -> Result<(Vec<Problem>, bool), RestoreError> {
        if self.source.compares_alone() {
            let all = stream::iter(chosen).map(|(_, sealed)| self.differences(sealed));
            let found: Vec<Vec<Problem>> = all.buffer_unordered(self.lanes).try_collect().await?;
            return Ok((limited(found.into_iter().flatten().collect()), true));
        }
        let checks = stream::iter(chosen).map(|(_, sealed)| async move {
            let component = sealed.component();
            let Some(saved) = sealed.rows else {
                return Ok(match self.call(move |source, ctx| source.judge(&component, ctx)).await? {
                    None => None,
                    Some(Judged::Unknown) => Some((Vec::new(), false)),
                    Some(Judged::Compared(differences)) => Some((differences, true)),
                });
            };
            match self.call(move |source, ctx| source.read_back(&component, ctx)).await? {
                None => Ok(Some((Vec::new(), false))),
                Some(found) if found == saved => Ok(Some((Vec::new(), true))),
                Some(found) => {
                    let what =
                        format!("{} rows with the digest {} were saved, and {} with {} are there", saved.rows, saved.sum, found.rows, found.sum);
                    let mut differences = vec![Problem { subject: sealed.name.clone(), what }];
                    differences.extend(self.differences(sealed).await?);
                    Ok::<_, RestoreError>(Some((differences, true)))
                }
            }
        });
        let checked: Vec<Option<(Vec<Problem>, bool)>> = checks.buffer_unordered(self.lanes).try_collect().await?;
        let checked: Vec<(Vec<Problem>, bool)> = checked.into_iter().flatten().collect();
        let compared = !checked.is_empty() && checked.iter().all(|(_, compared)| *compared);
        Ok((limited(checked.into_iter().flat_map(|(differences, _)| differences).collect()), compared))
    }

    /// Reads the component once more from the repository and lets the source say which rows differ.
    async fn differences(&self, sealed: &SealedComponent) -> Result<Vec<Problem>, RestoreError> {
        let component = sealed.component();
        self.reread(sealed, move |source, saved, ctx| source.differences(&component, saved, ctx)).await
    }

    /// Reads the component from the repository once more, and hands it to the source.
    async fn reread(
        &self,
        sealed: &SealedComponent,
        work: impl FnOnce(&dyn Source, &mut (dyn Read + Send), &Context) -> Result<Vec<Problem>, SourceError> + Send + 'static,
    ) -> Result<Vec<Problem>, RestoreError> {
        let pipe = |source| SourceError::Io { doing: "make", path: "a pipe".to_owned(), source };
        let (mut saved, writer) = io::pipe().map_err(pipe)?;
        let finding = self.call(move |source, ctx| work(source, &mut saved, ctx));
        let quiet = Progress::new(Arc::new(crate::model::Quiet), crate::model::step_id(&["compare"]), None);
        let reading = restore_stream(sealed, StreamSink::new(writer, || Ok(())), &self.point.packs, quiet, self.ctx);
        // Once enough is found the reader goes, and the writing end breaks.
        let (found, _read) = tokio::join!(finding, reading);
        found
    }
}

/// As many differences as are named, and how many more there are.
fn limited(mut differences: Vec<Problem>) -> Vec<Problem> {
    if differences.len() > DIFFERENCES_MAX {
        let what = format!("{} further differences", differences.len() - DIFFERENCES_MAX);
        differences.truncate(DIFFERENCES_MAX);
        differences.push(Problem { subject: "the member".to_owned(), what });
    }
    differences
}
