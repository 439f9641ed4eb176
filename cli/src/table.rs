//! Rows that line up although they come one by one: columns only grow, as in `kubectl get -w`.

/// Widths of columns so far.
pub(crate) struct Table {
    widths: Vec<usize>,
}

const GAP: &str = "   ";

impl Table {
    /// Columns at least as wide as their headings.
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self { widths: headings.iter().map(|heading| heading.len()).collect() }
    }

    /// Makes room for a line to come.
    pub(crate) fn fit(&mut self, cells: &[String]) {
        for (width, cell) in self.widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count());
        }
    }

    /// One line; wider cells make their column wider from here on.
    pub(crate) fn row(&mut self, cells: &[String]) -> String {
        self.fit(cells);
        let padded = cells.iter().zip(&self.widths).map(|(cell, width)| format!("{cell:<width$}", width = *width));
        padded.collect::<Vec<_>>().join(GAP).trim_end().to_owned() + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn columns_only_grow() {
        let mut table = Table::new(&["NAME", "X"]);
        let mut row = |cells: [&str; 2]| table.row(&cells.map(str::to_owned));
        assert_eq!(row(["a", "1"]), "a      1\n");
        assert_eq!(row(["longer", ""]), "longer\n");
        assert_eq!(row(["a", "2"]), "a        2\n");
    }
}
