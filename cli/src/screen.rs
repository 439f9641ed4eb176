//! Where output goes and how it looks: colours and glyphs on a terminal, plain ASCII everywhere else.

use anyhow::Context;
use clap::ValueEnum;
use serde::Serialize;
use std::io::{self, IsTerminal, Write};

/// Whom the output is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// People.
    #[default]
    People,
    /// Scripts, as JSON.
    Json,
    /// Scripts, as YAML.
    Yaml,
}

/// What the reader's screen can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Style {
    /// Colours.
    pub colour: bool,
    /// Signs beyond ASCII.
    pub glyphs: bool,
}

/// What a colour says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Went well.
    Good,
    /// Failed.
    Bad,
    /// Needs a look.
    Warn,
    /// Runs now.
    Busy,
    /// Beside the point.
    Faint,
    /// To the point.
    Strong,
}

impl Style {
    /// What stdout can show. `NO_COLOR` and `TERM=dumb` make it plain.
    #[must_use]
    pub fn of_stdout() -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let rich = io::stdout().is_terminal() && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self { colour: rich, glyphs: rich }
    }

    /// `text` in `colour`.
    #[must_use]
    pub fn paint(self, colour: Colour, text: &str) -> String {
        if !self.colour || text.is_empty() {
            return text.to_owned();
        }
        let code = match colour {
            Colour::Good => "32",
            Colour::Bad => "31",
            Colour::Warn => "33",
            Colour::Busy => "36",
            Colour::Faint => "2",
            Colour::Strong => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// `rich` where signs beyond ASCII can be shown, else `plain`.
    #[must_use]
    pub fn sign(self, rich: &'static str, plain: &'static str) -> &'static str {
        if self.glyphs { rich } else { plain }
    }
}

/// Where a command writes.
pub struct Screen {
    /// Whom for.
    pub format: Format,
    /// How.
    pub style: Style,
    out: Box<dyn Write + Send>,
    notes: Box<dyn Write + Send>,
}

impl Screen {
    /// stdout, with notes on stderr.
    #[must_use]
    pub fn stdout(format: Format) -> Self {
        Self { format, style: Style::of_stdout(), out: Box::new(io::stdout()), notes: Box::new(io::stderr()) }
    }

    /// Writes `text` as it is.
    ///
    /// # Errors
    /// When stdout is gone.
    pub fn say(&mut self, text: &str) -> anyhow::Result<()> {
        self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).context("cannot write to stdout")
    }

    /// A word on progress, for people only; it goes to stderr, so that output stays clean.
    pub fn note(&mut self, text: &str) {
        if self.format == Format::People {
            // Losing a note is no reason to stop.
            let _ = writeln!(self.notes, "{text}");
        }
    }

    /// Writes `value` for scripts: JSON unless YAML was asked for.
    ///
    /// # Errors
    /// When stdout is gone.
    pub fn data(&mut self, format: Format, value: &impl Serialize) -> anyhow::Result<()> {
        let text = match format {
            Format::Yaml => serde_saphyr::to_string(value).context("cannot write YAML")?,
            Format::Json | Format::People => serde_json::to_string_pretty(value).context("cannot write JSON")? + "\n",
        };
        self.say(&text)
    }

    /// Writes `value` as one line of JSON, for streams.
    ///
    /// # Errors
    /// When stdout is gone.
    pub fn line(&mut self, value: &impl Serialize) -> anyhow::Result<()> {
        let text = serde_json::to_string(value).context("cannot write JSON")?;
        self.say(&format!("{text}\n"))
    }
}
