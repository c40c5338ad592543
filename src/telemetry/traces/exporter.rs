//! From OpenTelemetry's variables to a provider that sends spans with the HTTP client of the server.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tokio::runtime::Handle;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
/// Each may choose the protocol; the later goes first.
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"];

/// `None` without an endpoint, or where it is switched off. Sampling, batches, headers, time limits and the name
/// of the service are read by the SDK.
pub(super) fn provider(
    variable: impl Fn(&'static str) -> Option<String>,
    http: reqwest::Client,
) -> anyhow::Result<Option<SdkTracerProvider>> {
    let set = |name| variable(name).filter(|value| !value.is_empty());
    let is_off = set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
        || set("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
    if is_off || (set(ENDPOINT).is_none() && set(TRACES_ENDPOINT).is_none()) {
        return Ok(None);
    }
    for name in PROTOCOLS {
        if let Some(protocol) = set(name).filter(|protocol| protocol != "http/protobuf") {
            anyhow::bail!("{name}: '{protocol}' is not 'http/protobuf', which is what is spoken");
        }
    }
    for name in [ENDPOINT, TRACES_ENDPOINT] {
        if let Some(url) = set(name).filter(|url| !url.starts_with("http://") && !url.starts_with("https://"))
        {
            anyhow::bail!("{name}: '{url}' is not an http:// or https:// URL");
        }
    }
    let client = Client { http, runtime: Handle::current(), is_failing: AtomicBool::new(false) };
    let exporter = SpanExporter::builder().with_http().with_http_client(client).build();
    let exporter = exporter.context("OTEL_EXPORTER_OTLP_*: spans can't be sent like this")?;
    let mut resource = Resource::builder();
    if set("OTEL_SERVICE_NAME").is_none()
        && !set("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|attributes| attributes.contains("service.name="))
    {
        resource = resource.with_service_name("besty");
    }
    let provider = SdkTracerProvider::builder()
        .with_resource(resource.build())
        // A batch is linked to each of its requests.
        .with_max_links_per_span(256)
        .with_batch_exporter(exporter)
        .build();
    Ok(Some(provider))
}

/// Sends from the exporter's own thread, in the runtime.
#[derive(Debug)]
struct Client {
    http: reqwest::Client,
    runtime: Handle,
    is_failing: AtomicBool,
}

impl Client {
    /// The SDK says nothing of it. Once, and again after a success.
    fn heard(&self, problem: Option<String>) {
        let was_failing = self.is_failing.swap(problem.is_some(), Ordering::Relaxed);
        if let Some(problem) = problem.filter(|_| !was_failing) {
            tracing::warn!(problem, "spans can't be sent; those are lost");
        }
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let http = self.http.clone();
        let sending = self.runtime.spawn(async move {
            let answer = http.execute(request).await?;
            Ok::<_, reqwest::Error>((answer.status(), answer.bytes().await?))
        });
        let (status, body) = match sending.await? {
            Ok(answer) => answer,
            Err(error) => {
                self.heard(Some(error.without_url().to_string()));
                return Err("the collector does not answer".into());
            }
        };
        self.heard((!status.is_success()).then(|| format!("the collector answered {status}")));
        Ok(Response::builder().status(status).body(body)?)
    }
}
