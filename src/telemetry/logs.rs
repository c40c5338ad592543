//! Lines of the log: to standard error, so that what a command prints stays alone on standard output.
//!
//! As text for people, or one JSON object a line (`LOG_FORMAT=json`). Either has the identifier of the request
//! that a line was written for.

use std::{
    fmt::{self, Write as _},
    io::IsTerminal as _,
};

use serde_json::{Map, Value};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{
    EnvFilter,
    filter::filter_fn,
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Format, Writer},
        time::{FormatTime as _, SystemTime},
    },
    layer::SubscriberExt as _,
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};

use super::request_id;

/// What is said when nothing is chosen: our own news and others' warnings.
const FILTER: &str = "warn,besty=info";

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl LogFormat {
    /// `LOG_FORMAT`; left out: text.
    pub fn parse(text: Option<&str>) -> anyhow::Result<Self> {
        match text {
            None | Some("text") => Ok(Self::Text),
            Some("json") => Ok(Self::Json),
            Some(other) => anyhow::bail!("LOG_FORMAT: '{other}' is neither 'text' nor 'json'"),
        }
    }
}

/// Starts logging. `filter` is `RUST_LOG`, which chooses what is said. One that can't be read is an error.
/// Whatever it asks for, there are no names, addresses, messages, tokens or secrets in the logs.
pub fn init(filter: Option<&str>, format: Option<&str>) -> anyhow::Result<()> {
    let filter =
        EnvFilter::try_new(filter.unwrap_or(FILTER)).map_err(|error| anyhow::anyhow!("RUST_LOG: {error}"))?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match LogFormat::parse(format)? {
        LogFormat::Json => logs.event_format(Json).finish().with(filter_fn(is_discreet)).init(),
        LogFormat::Text => {
            let color = std::io::stderr().is_terminal();
            let lines = logs.with_ansi(color).event_format(Text(Format::default().with_ansi(color)));
            lines.finish().with(filter_fn(is_discreet)).init();
        }
    }
    Ok(())
}

/// Whether what is said can't be of people. Of ours nothing is; libraries write down what goes through them,
/// messages and headers too, but not as news.
fn is_discreet(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("besty") || *metadata.level() <= LevelFilter::INFO
}

/// The usual lines, with the request at the end.
struct Text(Format);

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(id) = request_id::current() else {
            return self.0.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        writeln!(writer, "{} request_id={id}", line.trim_end_matches('\n'))
    }
}

/// An object a line: when, how bad, where, what, for which request, and the fields.
struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let mut line = Map::from_iter([
            ("timestamp".to_owned(), Value::from(timestamp)),
            ("level".to_owned(), Value::from(metadata.level().as_str())),
            ("target".to_owned(), Value::from(metadata.target())),
            ("message".to_owned(), Value::from(fields.message)),
        ]);
        if let Some(id) = request_id::current() {
            line.insert("request_id".to_owned(), Value::from(&*id));
        }
        if !fields.others.is_empty() {
            line.insert("fields".to_owned(), Value::Object(fields.others));
        }
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// What an event holds.
#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.others.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // A text can't fail to be written to.
            let _ = write!(self.message, "{value:?}");
        } else {
            self.put(field, format!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.put(field, value);
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }
}
