//! What all reports share: pages of HTML without anything from outside, for screens light and dark and for paper.

/// The style sheet.
pub(super) const STYLE: &str = include_str!("page.css");

/// What every page has in its head.
pub(super) const HEAD: &str = "<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
    <meta name=\"color-scheme\" content=\"light dark\">\n";

/// A text as part of a page.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A large figure with its name above and its reason below, all of it HTML.
pub(super) fn tile(class: &str, what: &str, value: &str, why: &str) -> String {
    format!("<div class=\"tile {class}\"><p class=\"what\">{what}</p><p class=\"value\">{value}</p><p class=\"why\">{why}</p></div>\n")
}

/// A table whose columns from `numeric` on hold numbers, up to the last when that is text. Cells are texts.
pub(super) fn table(heads: &[&str], numeric: std::ops::Range<usize>, rows: &[Vec<String>]) -> String {
    let class = |i: usize| if numeric.contains(&i) { " class=\"n\"" } else { "" };
    let head: String = heads.iter().enumerate().map(|(i, head)| format!("<th{}>{head}</th>", class(i))).collect();
    let row = |row: &Vec<String>| {
        let cells: String = row.iter().enumerate().map(|(i, cell)| format!("<td{}>{}</td>", class(i), escape(cell))).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let body: String = rows.iter().map(row).collect();
    format!("<div class=\"wide\"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table></div>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped() {
        assert_eq!(escape("<a href=\"b\">&"), "&lt;a href=&quot;b&quot;&gt;&amp;");
        assert!(table(&["a"], 0..0, &[vec!["<b>".to_owned()]]).contains("<td>&lt;b&gt;</td>"));
    }
}
