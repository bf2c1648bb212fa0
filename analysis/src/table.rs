//! Text tables for the terminal: columns as wide as their widest cell, two blanks between.

use std::fmt;

use crate::ladder::escaped;

/// How the cells of a column are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// A table of text cells under a heading.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(columns: &[(&str, Align)]) -> Self {
        let columns = columns.iter().map(|&(name, align)| (name.to_owned(), align)).collect();
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row; cells beyond the columns are dropped, missing ones empty.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut cells: Vec<_> = cells.into_iter().take(self.columns.len()).collect();
        cells.resize(self.columns.len(), String::new());
        self.rows.push(cells);
    }

    /// The table as HTML.
    pub(crate) fn to_html(&self) -> String {
        let mut html = "<div class=\"wide\"><table>\n<tr>".to_owned();
        let cell = |html: &mut String, tag: &str, align: Align, text: &str| {
            let class = if align == Align::Left { " class=\"l\"" } else { "" };
            html.push_str(&format!("<{tag}{class}>{}</{tag}>", escaped(text.trim_start())));
        };
        for (name, align) in &self.columns {
            cell(&mut html, "th", *align, name);
        }
        for row in &self.rows {
            html.push_str("</tr>\n<tr>");
            for (text, (_, align)) in row.iter().zip(&self.columns) {
                cell(&mut html, "td", *align, text);
            }
        }
        html.push_str("</tr>\n</table></div>\n");
        html
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.chain([self.columns[column].0.chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..self.columns.len()).map(width).collect();
        let heading: Vec<_> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        for row in std::iter::once(&heading).chain(&self.rows) {
            let mut line = String::new();
            for ((cell, &width), (_, align)) in row.iter().zip(&widths).zip(&self.columns) {
                match align {
                    Align::Left => line.push_str(&format!("{cell:<width$}  ")),
                    Align::Right => line.push_str(&format!("{cell:>width$}  ")),
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&[("link", Align::Left), ("drops", Align::Right)]);
        table.row(["wifi".into(), "7".into()]);
        table.row(["lte-uplink".into(), "1234567".into()]);
        assert_eq!(table.to_string(), "link          drops\nwifi              7\nlte-uplink  1234567\n");
    }
}
