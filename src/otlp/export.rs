//! The transport to the collector: OTLP as protobuf over HTTP, with the same HTTP client and TLS as for Asana.

use crate::one_line::one_line;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig as _};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;

/// The timeout of one request: the specification's default of `OTEL_EXPORTER_OTLP_TIMEOUT`. The exporter limits all
/// tries together by the variable.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// An exporter whose requests run on `runtime`, because spans are sent from a thread without one.
///
/// # Errors
/// The variables ask for something unsupported.
pub(super) fn exporter(runtime: &Handle) -> anyhow::Result<SpanExporter> {
    // If a provider is installed already, that one is used.
    rustls::crypto::ring::default_provider().install_default().ok();
    let http = reqwest::Client::builder().timeout(REQUEST_TIMEOUT).build()?;
    let client = Client { http, runtime: runtime.clone(), fails: Arc::default() };
    Ok(SpanExporter::builder().with_http().with_http_client(client).build()?)
}

/// Sends requests. Logs once when the collector fails, and once when it works again.
#[derive(Debug)]
struct Client {
    http: reqwest::Client,
    runtime: Handle,
    fails: Arc<AtomicBool>,
}

impl HttpClient for Client {
    // As `async_trait` writes it.
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let (http, fails) = (self.http.clone(), Arc::clone(&self.fails));
        let exchanging = self.runtime.spawn(async move {
            let exchanged = exchange(&http, request).await;
            let failure = match &exchanged {
                Ok(answer) if answer.status().is_success() => None,
                Ok(answer) => Some(answer.status().to_string()),
                Err(error) => Some(one_line(error)),
            };
            match (fails.swap(failure.is_some(), Ordering::Relaxed), failure) {
                (false, Some(error)) => tracing::warn!(error, "trace export failed, dropping traces"),
                (true, None) => tracing::info!("trace export works again"),
                (true, Some(_)) | (false, None) => {}
            }
            exchanged
        });
        Box::pin(async move { Ok(exchanging.await??) })
    }
}

async fn exchange(http: &reqwest::Client, request: Request<Bytes>) -> reqwest::Result<Response<Bytes>> {
    // The error without its URL, which may contain a password.
    let mut answer = http.execute(request.try_into()?).await.map_err(reqwest::Error::without_url)?;
    let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
    let mut response = Response::new(answer.bytes().await.map_err(reqwest::Error::without_url)?);
    (*response.status_mut(), *response.headers_mut()) = (status, headers);
    Ok(response)
}
