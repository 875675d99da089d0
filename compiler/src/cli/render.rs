//! Errors for people and for programs. May import: `farc::error`.

use std::fmt;
use std::fs;

use farc::error::Error;
use miette::{Diagnostic, GraphicalReportHandler, LabeledSpan, NamedSource, SourceCode, SourceOffset};

/// One line of JSON.
pub(super) fn json(error: &Error) -> String {
    // Strings and numbers only: nothing that JSON can't say.
    serde_json::to_string(&serde_json::json!({ "error": error })).unwrap_or_default() + "\n"
}

/// What, where, expected and got, the line of a text file, and a hint.
pub(super) fn text(error: &Error) -> String {
    let mut text = String::new();
    let handler =
        GraphicalReportHandler::new().with_links(false).with_wrap_lines(false).with_break_words(false);
    match handler.render_report(&mut text, &Report::new(error)) {
        Ok(()) => text,
        Err(_) => format!("error: {error}\n"),
    }
}

#[derive(Debug)]
struct Report<'a> {
    error: &'a Error,
    source: Option<(NamedSource<String>, SourceOffset)>,
}

impl<'a> Report<'a> {
    fn new(error: &'a Error) -> Self {
        let source = error.place.line.zip(error.place.file.as_deref()).and_then(|((line, column), file)| {
            let text = fs::read_to_string(file).ok()?;
            let at = SourceOffset::from_location(&text, line, column);
            Some((NamedSource::new(file.display().to_string(), text), at))
        });
        Self { error, source }
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Error { what, place, expected, got, .. } = self.error;
        f.write_str(what)?;
        if let Some(file) = &place.file {
            write!(f, "\nin file   {}", file.display())?;
            if let Some((line, column)) = place.line {
                write!(f, ", line {line}, column {column}")?;
            }
        }
        for (title, text) in [("at node", &place.node), ("field", &place.field)] {
            if let Some(text) = text {
                write!(f, "\n{title:9} `{text}`")?;
            }
        }
        for (title, text) in [("expected", expected), ("got", got)] {
            if let Some(text) = text {
                write!(f, "\n{title:9} {text}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Report<'_> {}

impl Diagnostic for Report<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        match serde_json::to_value(self.error.kind) {
            Ok(serde_json::Value::String(kind)) => Some(Box::new(format!("error: {kind}"))),
            _ => None,
        }
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.error.hint.as_ref().map(|hint| Box::new(hint) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|(source, _)| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let (_, at) = self.source.as_ref()?;
        let label = LabeledSpan::at_offset(at.offset(), "here");
        Some(Box::new(std::iter::once(label)))
    }
}
