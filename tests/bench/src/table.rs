//! Figures, their goals, and the table they are printed as.

/// What a figure should be at most, or at least. What is not given has no goal.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Goal {
    /// What p50 should reach.
    pub(crate) least: Option<f64>,
    pub(crate) p50: Option<f64>,
    pub(crate) p99: Option<f64>,
    pub(crate) max: Option<f64>,
}

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) what: String,
    /// While what else ran.
    pub(crate) load: String,
    pub(crate) unit: &'static str,
    pub(crate) samples: Vec<f64>,
    pub(crate) goal: Goal,
}

const HEAD: [&str; 8] = ["figure", "load", "n", "p50", "p99", "max", "goal", ""];

/// The figures as a Markdown table that is also readable as it is.
pub(crate) fn table(figures: &[Figure]) -> String {
    let rows: Vec<[String; 8]> = figures.iter().map(Figure::cells).collect();
    let head = HEAD.map(str::to_owned);
    let width = |column: usize| std::iter::once(&head).chain(&rows).map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
    let line = |cells: &[String; 8]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("| {} |", padded.collect::<Vec<_>>().join(" | "))
    };
    let rule = format!("|{}|", widths.iter().map(|width| "-".repeat(width + 2)).collect::<Vec<_>>().join("|"));
    let lines: Vec<String> = [line(&head), rule].into_iter().chain(rows.iter().map(line)).collect();
    lines.join("\n")
}

impl Figure {
    fn cells(&self) -> [String; 8] {
        let at = |percent| percentile(&self.samples, percent).map_or_else(|| "–".to_owned(), |value| self.written(value));
        let several = |cell: String| if self.samples.len() > 1 { cell } else { String::new() };
        [
            self.what.clone(),
            self.load.clone(),
            self.samples.len().to_string(),
            at(50.0),
            several(at(99.0)),
            several(at(100.0)),
            self.goal_written(),
            self.verdict().to_owned(),
        ]
    }

    fn goal_written(&self) -> String {
        let part = |(name, sign, limit, _): (&str, char, Option<f64>, f64)| {
            limit.map(|limit| format!("{name} {sign} {}", self.written(limit)))
        };
        self.limits().into_iter().filter_map(part).collect::<Vec<_>>().join(", ")
    }

    /// `met` or `missed`; nothing where there is no goal.
    fn verdict(&self) -> &'static str {
        let mut held = self.limits().into_iter().filter_map(|(_, sign, limit, percent)| {
            let limit = limit?;
            let holds = |value| if sign == '≥' { value >= limit } else { value <= limit };
            Some(percentile(&self.samples, percent).is_some_and(holds))
        });
        match held.next() {
            None => "",
            Some(first) if first && held.all(|held| held) => "met",
            Some(_) => "missed",
        }
    }

    /// Each part of the goal: its name, on which side it lies, the limit if there is one, and the percentile it is about.
    fn limits(&self) -> [(&'static str, char, Option<f64>, f64); 4] {
        let Goal { least, p50, p99, max } = self.goal;
        [("p50", '≥', least, 50.0), ("p50", '≤', p50, 50.0), ("p99", '≤', p99, 99.0), ("max", '≤', max, 100.0)]
    }

    fn written(&self, value: f64) -> String {
        let digits = if value.fract() == 0.0 || value >= 100.0 { 0 } else { 1 + usize::from(self.unit.is_empty()) };
        format!("{value:.digits$} {}", self.unit).trim_end().to_owned()
    }
}

/// The smallest sample that `percent` of all do not exceed; none of none.
fn percentile(samples: &[f64], percent: f64) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank of few samples"
    )]
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(samples: &[f64], goal: Goal) -> Figure {
        Figure { what: "w".into(), load: "l".into(), unit: "ms", samples: samples.to_vec(), goal }
    }

    #[test]
    fn percentiles_are_samples_that_were_measured() {
        let samples: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile(&samples, 50.0), Some(50.0));
        assert_eq!(percentile(&samples, 99.0), Some(99.0));
        assert_eq!(percentile(&samples, 100.0), Some(100.0));
        assert_eq!(percentile(&[7.0], 50.0), Some(7.0));
        assert_eq!(percentile(&[], 50.0), None);
    }

    #[test]
    fn a_goal_is_met_when_every_part_of_it_is() {
        let goal = Goal { p50: Some(2.0), p99: Some(3.0), ..Goal::default() };
        assert_eq!(figure(&[1.0, 2.0, 3.0], goal).verdict(), "met");
        assert_eq!(figure(&[1.0, 2.0, 4.0], goal).verdict(), "missed");
        assert_eq!(figure(&[], goal).verdict(), "missed", "what was not measured was not met");
        assert_eq!(figure(&[9.0], Goal::default()).verdict(), "");
        let least = Goal { least: Some(2.0), ..Goal::default() };
        assert_eq!(figure(&[1.0, 2.0, 3.0], least).verdict(), "met");
        assert_eq!(figure(&[1.0, 1.0, 3.0], least).verdict(), "missed");
    }

    #[test]
    fn the_table_is_aligned() {
        let table = table(&[figure(&[1.5, 250.4], Goal { p50: Some(40.0), ..Goal::default() })]);
        let widths: Vec<usize> = table.lines().map(|line| line.chars().count()).collect();
        assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{table}");
        assert!(table.contains("1.5 ms") && table.contains("250 ms") && table.contains("p50 ≤ 40 ms"), "{table}");
    }
}
