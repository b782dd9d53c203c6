//! Patterns that name objects: `NAMESPACE/KIND/NAME`, and conditions on their labels.

use serde_json::Value;

use super::object::CLUSTER;

/// Whether a word fits a pattern in which `*` stands for any text.
pub fn fits(pattern: &str, word: &str) -> bool {
    let Some((head, mut rest)) = pattern.split_once('*') else { return pattern == word };
    let Some(mut left) = word.strip_prefix(head) else { return false };
    while let Some((part, more)) = rest.split_once('*') {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
        rest = more;
    }
    left.ends_with(rest)
}

/// Whether any of the patterns fits.
pub fn fits_any<'a>(patterns: impl IntoIterator<Item = &'a String>, word: &str) -> bool {
    patterns.into_iter().any(|pattern| fits(pattern, word))
}

/// Whether the words of a pattern fit those of `path`, of which further ones do not matter.
pub fn fits_path(pattern: &str, path: &str) -> bool {
    let mut words = path.split('/');
    pattern.split('/').all(|pattern| words.next().is_some_and(|word| fits(pattern, word)))
}

/// Whether a pattern `NAMESPACE/KIND/NAME`, in which the last words may be missing, means an object. The group of a kind may be missing too.
pub fn means(pattern: &str, component: &str, path: &str) -> bool {
    let (namespace, name) = path.split_once('/').unwrap_or(("", path));
    let short = component.split('.').next().unwrap_or(component);
    [component, short].iter().any(|kind| fits_path(pattern, &format!("{namespace}/{kind}/{name}")))
}

/// What a restore asks for: patterns of objects, of which one has to fit, and conditions `KEY=VALUE` on labels, all of which have to hold.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    objects: Vec<String>,
    labels: Vec<(String, String)>,
}

impl Selection {
    /// From words; everything when there is none.
    pub fn new(words: &[String]) -> Selection {
        let label = |word: &String| word.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        let objects = words.iter().filter(|word| label(word).is_none()).cloned().collect();
        Selection { objects, labels: words.iter().filter_map(label).collect() }
    }

    /// Whether objects of this component may be meant.
    pub fn may_mean(&self, component: &str) -> bool {
        let kind = |pattern: &String| pattern.split('/').nth(1).is_none_or(|kind| means(&format!("*/{kind}"), component, "_/_"));
        self.objects.is_empty() || component == "namespaces" || self.objects.iter().any(kind)
    }

    /// The namespace of all objects in namespaces that it can mean, if there is just one.
    pub fn namespace(&self) -> Option<&str> {
        let mut names = self.objects.iter().filter_map(|pattern| pattern.split('/').next()).filter(|name| *name != CLUSTER);
        let first = names.next().filter(|first| !first.contains('*'))?;
        names.all(|name| name == first).then_some(first)
    }

    /// Whether it means this object.
    pub fn means(&self, component: &str, path: &str, object: &Value) -> bool {
        // A namespace comes along with what is in it.
        let inside = |pattern: &String| path.split_once('/').is_some_and(|(_, name)| fits_path(pattern.split('/').next().unwrap_or_default(), name));
        if component == "namespaces" && self.objects.iter().any(inside) {
            return true;
        }
        let labels = &object["metadata"]["labels"];
        self.labels.iter().all(|(key, value)| labels[key] == **value)
            && (self.objects.is_empty() || self.objects.iter().any(|pattern| means(pattern, component, path)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_star_stands_for_any_text_and_nothing_else_does() {
        assert!(fits("*", "") && fits("a*c", "abbc") && fits("*b*", "abc") && fits("a", "a") && fits("a*a", "aa"));
        assert!(!fits("a*c", "ab") && !fits("a", "ab") && !fits("a*a", "a") && !fits("a?", "ab"));
    }

    #[test]
    fn a_selection_means_objects_by_namespace_kind_name_and_label() {
        let selection = Selection::new(&["apic/deployments/gate*".to_owned(), "_cluster".to_owned(), "tier=front".to_owned()]);
        let front = json!({"metadata": {"labels": {"tier": "front"}}});
        assert!(selection.means("deployments.apps", "apic/gateway", &front));
        assert!(selection.means("clusterroles.rbac.authorization.k8s.io", "_cluster/reader", &front));
        assert!(!selection.means("deployments.apps", "apic/gateway", &json!({})), "the label lacks");
        assert!(!selection.means("secrets", "apic/gateway", &front) && !selection.means("deployments.apps", "other/gateway", &front));
        assert!(Selection::new(&["a/secrets".to_owned()]).may_mean("secrets") && !Selection::new(&["a/secrets".to_owned()]).may_mean("pods"));
        assert!(Selection::new(&[]).means("pods", "a/b", &Value::Null));
        assert_eq!(selection.namespace(), Some("apic"));
        for more in ["other", "api*"] {
            assert_eq!(Selection::new(&["apic".to_owned(), more.to_owned()]).namespace(), None, "{more}");
        }
    }
}
