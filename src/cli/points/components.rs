//! What a point's sealed part says of its components, for `points show`.

use serde_json::{Value, json};

use crate::{
    cli::{CliError, Globals, output::table, repo::Repo, restore},
    model::ByteCount,
    repository::catalog::CatalogPoint,
};

/// Components with sizes and digests, for people and for programs; `None` without an operator key, or when nothing is left of the point.
///
/// # Errors
/// The operator key does not open it, or the sealed part is at no location as it should be.
pub(super) async fn components(repo: &Repo, point: &CatalogPoint<'_>, globals: &Globals) -> Result<Option<(String, Value)>, CliError> {
    let has_key = repo.config.operator_key_file.as_ref().is_some_and(|path| path.exists());
    if !has_key || point.pruned {
        return Ok(None);
    }
    let opened = restore::open(repo, point.name.clone(), point.point.clone(), &repo.operator()?, &globals.context()).await?;
    let (mut rows, mut data, mut notes) = (Vec::new(), Vec::new(), String::new());
    for member in &opened.sealed.members {
        for component in &member.components {
            let size = ByteCount(component.bytes).to_string();
            rows.push(vec![member.name.to_string(), component.name.clone(), size, component.items.to_string(), component.digest.to_string()]);
            data.push(json!({"member": member.name, "component": component.name, "shape": component.shape, "bytes": component.bytes,
                "items": component.items, "digest": component.digest, "source": member.source, "problems": member.problems,
                "notes": member.notes}));
        }
        for note in &member.notes {
            notes += &format!("{}: note: {} {}\n", member.name, note.subject, note.what);
        }
    }
    let text = table(&["MEMBER", "COMPONENT", "SIZE", "ITEMS", "DIGEST"], &rows);
    Ok(Some((text + &notes, Value::from(data))))
}
