//! Log lines on stderr, and which of them.

use std::fmt;
use std::io::{self, IsTerminal};
use std::str::FromStr;

use thiserror::Error;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Which lines are written: a level such as `info`, or directives such as `info,bursar::decision=debug`.
///
/// A level alone is Bursar's; its dependencies speak from `warn` on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(String);

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    #[default]
    Auto,
    Json,
    Text,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LogError {
    #[error(
        "is not a level (`error`, `warn`, `info`, `debug`, `trace`, `off`) \
         nor directives such as `info,bursar::decision=debug`"
    )]
    Filter,
    #[error("is not `auto`, `json` or `text`")]
    Format,
    #[error("this process logs already")]
    Twice,
}

impl FromStr for LogFilter {
    type Err = LogError;

    fn from_str(text: &str) -> Result<Self, LogError> {
        // `EnvFilter` reads any word as a target, and nothing as a level; here both are mistakes.
        let misread = |part: &str| {
            part.is_empty() || !part.contains(['=', '[', ':']) && LevelFilter::from_str(part).is_err()
        };
        if text.split(',').any(misread) || EnvFilter::builder().parse(text).is_err() {
            return Err(LogError::Filter);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl LogFilter {
    fn directives(&self) -> String {
        match LevelFilter::from_str(&self.0) {
            // h2 warns of each frame of a peer that does not know HTTP/2: a flood of them would fill the disk.
            Ok(level) if level >= LevelFilter::WARN => format!("warn,h2=error,bursar={level}"),
            _ => self.0.clone(),
        }
    }
}

impl FromStr for LogFormat {
    type Err = LogError;

    fn from_str(text: &str) -> Result<Self, LogError> {
        match text {
            "auto" => Ok(Self::Auto),
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err(LogError::Format),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Json => "json",
            Self::Text => "text",
        })
    }
}

/// From here on the process logs to stderr.
///
/// Errors: `LogError::Twice`.
pub fn start(filter: &LogFilter, format: LogFormat) -> Result<(), LogError> {
    let json = match format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !io::stderr().is_terminal(),
    };
    tracing::subscriber::set_global_default(subscriber(filter, json, io::stderr)?)
        .map_err(|_| LogError::Twice)
}

fn subscriber<W>(
    filter: &LogFilter,
    json: bool,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, LogError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder().parse(filter.directives()).map_err(|_| LogError::Filter)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    Ok(if json {
        Box::new(lines.json().flatten_event(true).with_current_span(false).with_span_list(false).finish())
    } else {
        Box::new(lines.with_ansi(io::stderr().is_terminal()).finish())
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(filter: &str, work: impl FnOnce()) -> Vec<serde_json::Value> {
        let page = Page::default();
        let writer = page.clone();
        let lines = subscriber(&filter.parse().unwrap(), true, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(lines, work);
        let text = String::from_utf8(page.0.lock().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn lines_are_json_with_their_fields() {
        let lines = written("info", || tracing::info!(target: "bursar::sidecar", account = "acme", "ready"));
        assert_eq!(lines[0]["message"], "ready");
        assert_eq!(lines[0]["account"], "acme");
        assert_eq!(lines[0]["level"], "INFO");
        assert_eq!(lines[0]["target"], "bursar::sidecar");
    }

    #[test]
    fn a_level_is_bursars_and_dependencies_speak_from_warn_on() {
        let work = || {
            tracing::debug!(target: "bursar::decision", "refused");
            tracing::info!(target: "h2", "frame");
            tracing::warn!(target: "h2", "a frame that is none");
            tracing::warn!(target: "hyper", "trouble");
        };
        for (filter, want) in
            [("debug", 2), ("info", 1), ("error", 0), ("off", 0), ("info,bursar::decision=debug", 4)]
        {
            assert_eq!(written(filter, work).len(), want, "{filter}");
        }
    }

    #[test]
    fn refuses_what_is_no_filter() {
        for text in ["", "loud", "info,loud", "bursar=loud", "=", "info,,debug"] {
            assert_eq!(text.parse::<LogFilter>(), Err(LogError::Filter), "{text}");
        }
        assert_eq!("xml".parse::<LogFormat>(), Err(LogError::Format));
        for text in ["auto", "json", "text"] {
            assert_eq!(text.parse::<LogFormat>().unwrap().to_string(), text);
        }
    }
}
